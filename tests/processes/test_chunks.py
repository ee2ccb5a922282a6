"""A chunk of which one item cannot be sent: that item fails, and the others are run."""

from __future__ import annotations

import contextlib
import functools
import pickle
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

import onecopy as oc
from onecopy.pool import Method
from tests import tasks
from tests.conftest import MakePool

pytestmark = pytest.mark.door


def _broken(why: str) -> Any:
    if why == "pickling":
        return threading.Lock()
    return tasks.AtUnpickle(tasks.fail_to_unpickle)


@pytest.mark.parametrize("why", ["pickling", "unpickling"])
@pytest.mark.parametrize("chunk", [None, 4, 64])
def test_imap_goes_on_after_it(
    make_pool: MakePool, process_method: str, why: str, chunk: int | None
) -> None:
    pool = make_pool(process_method)
    for bad in (0, 5, 29):
        items = [_broken(why) if at == bad else at for at in range(30)]
        stream: Any = pool.imap(tasks.same, items, chunk)
        for at in range(30):
            if at == bad:
                with pytest.raises(pickle.PickleError):
                    stream.next(60)
            else:
                assert stream.next(60) == at
        assert next(stream, "end") == "end"


@pytest.mark.parametrize("why", ["pickling", "unpickling"])
def test_map_runs_all_the_others(
    make_pool: MakePool, signs: tasks.Signs, process_method: str, why: str
) -> None:
    pool = make_pool(process_method, 1)
    items = [(signs, at) for at in range(50)]
    items[20:20] = [(_broken(why), 0)]
    with pytest.raises(pickle.PickleError):
        pool.starmap(tasks.give, items, 10)
    assert list(signs[:50]) == [1] * 50


@pytest.mark.parametrize("kind", ["partial", "method", "object", "closure"])
def test_a_map_knows_the_pace_of_the_last_one(
    make_pool: MakePool, process_method: str, kind: str
) -> None:
    """Of one function, whatever it is bound to or captures: it need not start with single items."""
    pool = make_pool(process_method, 2)
    for by in range(3):
        mul, scaled = tasks.mul, tasks.Scaled([by])  # a list: no worker keeps it
        functions: dict[str, Any] = {
            "partial": functools.partial(mul, by),
            "method": scaled.scale,
            "object": scaled,
            "closure": lambda x, scaled=scaled: scaled(x),
        }
        assert pool.map(functions[kind], range(400)) == [by * x for x in range(400)]
        spans = pool._engine.history.recorder.spans()
        first = spans[spans["task"] == spans["task"].max()]
        sizes = first["stop"] - first["start"]
        assert sizes.sum() == 400
        # Long enough that a busy machine does not matter: with an unknown pace it has one item.
        assert (sizes[first["start"].argmin()] > 1) == (by > 0)


def test_every_item_of_a_function_that_cannot_be_loaded_fails(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method)
    function = tasks.BadFunction()
    stream: Any = pool.imap(function, range(20), 8)
    for _ in range(20):
        with pytest.raises(pickle.UnpicklingError):
            stream.next(60)


def test_a_pool_that_nobody_holds_answers_all(method: Method) -> None:
    """Its calls end: they are cancelled, or fail with PoolClosed."""
    pool = oc.Pool(1, method=method)
    pending = [pool.submit(tasks.same, at) for at in range(50)]
    del pool
    for future in pending:
        with contextlib.suppress(oc.PoolClosed, CancelledError):
            future.result(timeout=60)
