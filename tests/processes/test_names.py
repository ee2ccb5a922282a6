"""Public names cross to workers by their doors: as functions, arguments and results.

The module that a public class says is the package itself, in which names are fetched when they
are first used, so that a worker may meet one before it has looked for it.
"""

from __future__ import annotations

import sys

import onecopy as oc
from tests.conftest import MakePool


def doors(*values: object) -> list[str]:
    return [type(value).__module__ for value in values]


def fetched(name: str) -> bool:
    return name in vars(sys.modules["onecopy"])


def test_as_functions(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 1)
    assert pool.submit(oc.cpu_count).result() == oc.cpu_count()
    assert pool.submit(oc.memory).result().processes
    assert pool.map(oc.Counter, ["a", "b"])[1]["b"] == 0


def test_as_arguments_and_results(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 1)
    made = (
        oc.share([1, 2]),
        oc.share({"a": 1}),
        oc.share({1, 2}),
        oc.share("x" * 70_000),
        oc.Counter(),
        oc.append_log(),
    )
    assert pool.apply(doors, made) == ["onecopy"] * len(made)
    kinds = [type(each) for each in made]
    assert pool.map(type, made) == kinds
    assert [type(each) for each in pool.map(oc.share, [[1, 2], {"a": 1}])] == kinds[:2]
    assert pool.map(isinstance_of, [(each, type(each)) for each in made]) == [True] * len(made)


def isinstance_of(pair: tuple[object, type]) -> bool:
    return isinstance(*pair)


def test_a_worker_that_has_never_looked_for_it(make_pool: MakePool) -> None:
    pool = make_pool("spawn", 1)
    assert not pool.apply(fetched, ("SharedSet",))
    assert pool.apply(len, (oc.share({1, 2}),)) == 2
    assert pool.apply(fetched, ("SharedSet",))
