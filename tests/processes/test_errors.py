"""Any exception of a task comes back as what it is; what cannot be pickled is named once."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import sqlite3
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy.pool import Method
from tests import scripts
from tests.conftest import PROCESS_METHODS, MakePool
from tests.tasks import Signs, meet


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    why: str


class Slotted(Exception):
    __slots__ = ("code", "never_set")

    def __init__(self, *, code: int) -> None:
        super().__init__()
        self.code = code


class Insists(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.two = two


class SaysTwice(Exception):
    """Rebuilt by its own message, it would say another one."""

    def __init__(self, code: int | str) -> None:
        super().__init__(f"code {code}")


class Refuses(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("no attributes")


class Silent(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class Hides(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def noted() -> BaseException:
    error = Insists(1, 2)
    error.add_note("a note")
    return error


def caused() -> BaseException:
    error = Frozen(1, "outer")
    BaseException.__setattr__(error, "__cause__", Insists(1, 2))
    return error


def grouped() -> BaseException:
    return ExceptionGroup(
        "several", [Frozen(2, "inner"), Insists(1, 2), OSError(2, "none", "file")]
    )


MAKERS: list[Callable[[], BaseException]] = [
    lambda: Frozen(7, "no such customer"),
    lambda: Slotted(code=5),
    lambda: Insists(1, 2),
    lambda: SaysTwice(4),
    lambda: Refuses("kept"),
    Silent,
    Hides,
    noted,
    caused,
    grouped,
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: FileNotFoundError(2, "none", "file"),
]


def throw(at: int, _: object = None) -> None:
    raise MAKERS[at]()


def seen(error: BaseException) -> tuple[Any, ...]:
    """The parts of an exception that can be compared, past what its class does."""
    state = dict(object.__getattribute__(error, "__dict__"))
    if type(error) is Slotted:
        state["code"] = error.code
    args = vars(BaseException)["args"].__get__(error)
    if type(error) is ExceptionGroup:
        args = (error.message, [seen(each) for each in error.exceptions])
    return type(error), args, state


class RaisesInRepr:
    def __repr__(self) -> str:
        raise SystemExit(4)


def test_any_exception_comes_back(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 1)
    pool.apply(os.getpid)
    before = pool.pids()
    for at, make in enumerate(MAKERS):
        ways: list[Callable[[int], Any]] = [
            lambda n: pool.submit(throw, n, RaisesInRepr()).result(),
            lambda n: pool.apply(throw, (n,)),
            lambda n: pool.map(throw, [n]),
            lambda n: list(pool.imap(throw, [n])),
            lambda n: pool.map_blocks(lambda block: throw(block[0]), [n], block=1),
        ]
        for way in ways:
            with pytest.raises(type(make())) as caught:
                way(at)
            found = seen(caught.value)
            if method == "thread":  # where a note names the item
                notes = found[2].pop("__notes__", [])
                theirs = [note for note in notes if not note.startswith("onecopy: ")]
                found[2].update({"__notes__": theirs} if theirs else {})
            assert found == seen(make())
    assert pool.pids() == before
    assert pool.apply(abs, (-1,)) == 1


def test_the_worker_s_traceback_tells_of_the_causes(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    with pytest.raises(Frozen) as caught:
        pool.apply(throw, (MAKERS.index(caused),))
    told = str(caught.value.__cause__)
    assert "Insists: 1 and 2" in told
    assert "Frozen" in told


def test_an_initializer_that_raises_any(make_pool: MakePool, method: str) -> None:
    for at in (0, MAKERS.index(Silent)):
        pool = make_pool(method, 1, initializer=throw, initargs=(at,))
        with pytest.raises(oc.errors.InitializerFailed, match="the initializer failed"):
            pool.apply(abs, (1,))


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_done_callback_that_exits(
    make_pool: MakePool, signs: Signs, method: str, kind: type[BaseException]
) -> None:
    """It costs nothing: not the pool, nor the future's other callbacks."""

    def leave(_: object) -> None:
        raise kind(1)

    pool = make_pool(method, 1)
    called: list[object] = []
    first = pool.submit(meet, signs, 0, 1)
    futures = [first, *(pool.submit(abs, -at) for at in range(20))]
    for future in futures:
        future.add_done_callback(leave)
        future.add_done_callback(called.append)
    signs[1] = 1
    assert [future.result() for future in futures] == [None, *range(20)]
    assert pool.map(abs, [-1, -2]) == [1, 2]
    scripts.until(lambda: called == futures, "all callbacks were called")


# What cannot be pickled.


class Holder:
    def __init__(self, **values: object) -> None:
        vars(self).update(values)

    def work(self, x: int) -> int:
        return x


class Careful(Holder):
    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "left_out"}


class Raises:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        raise self.kind("its own words")


def circle() -> Holder:
    holder = Holder(lock=threading.Lock())
    inner = Holder(back=holder)
    vars(holder)["first"] = inner
    return Holder(inner=inner)


def test_the_path_is_right(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    lock = threading.Lock()
    nothing: tuple[object, ...] = ()
    cases: list[tuple[object, str]] = [
        (Holder(a=[1, {"k": lock}]), "argument 0.a[1]['k'] (a lock)"),
        (Careful(left_out=threading.Lock(), other=(1, lock)), "argument 0.other[1] (a lock)"),
        (circle(), "argument 0.inner.back.lock (a lock)"),
        ((each for each in nothing), "argument 0 (a generator)"),
        (ValueError(1, lock), "argument 0.args[1] (a lock)"),
        (partial(id, lock), "argument 0.args[0] (a lock)"),
        (Holder(a=sqlite3.connect(":memory:")), "argument 0.a (a Connection)"),
    ]
    for argument, path in cases:
        with pytest.raises(oc.NotPicklable) as caught:
            pool.apply(id, (argument,))
        assert caught.value.path == path
        assert len(str(caught.value)) <= 300
    with pytest.raises(oc.NotPicklable) as caught:
        pool.map(Holder(lock=lock).work, [1])
    assert caught.value.path == "function.__self__.lock (a lock)"
    ways: list[Callable[[], Any]] = [
        lambda: pool.map(id, [0, 1, 2, [lock]]),
        lambda: list(pool.imap(id, [0, 1, 2, [lock]])),
        lambda: pool.map(id, [0, 1, 2, [lock]], 4),
    ]
    for way in ways:
        with pytest.raises(oc.NotPicklable, match=r"^item 3\[0\] \(a lock\)"):
            way()


def test_a_long_path_is_cut(make_pool: MakePool) -> None:
    nested: Any = threading.Lock()
    for at in range(30):
        nested = {f"name{at}": [nested]}
    with pytest.raises(oc.NotPicklable) as caught:
        make_pool("fork", 1).apply(id, (nested,))
    said = str(caught.value)
    assert said.startswith("argument 0['name29'][0]")
    assert "['name0'][0] (a lock)" in said
    assert len(said) <= 300


def test_a_pool_inside_is_named(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    with oc.ProcessPoolExecutor(1) as executor:
        for held in (pool, executor, pool.options(name="x")):
            with pytest.raises(oc.NotPicklable, match="a pool belongs to the process") as caught:
                pool.map(Holder(pool=held).work, [1])
            assert caught.value.path == f"function.__self__.pool (a {type(held).__name__})"
            assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", [RuntimeError, TypeError, KeyError, Frozen])
def test_an_object_s_own_error_stays_what_it_is(
    make_pool: MakePool, process_method: str, kind: type[Exception]
) -> None:
    pool = make_pool(process_method, 1)
    bad = Holder(inner=[Raises(kind if kind is not Frozen else OverflowError)])
    expected = OverflowError if kind is Frozen else kind
    for way in (
        lambda: pool.submit(id, bad),
        lambda: pool.apply(id, (bad,)),
        lambda: pool.map(id, [bad]),
        lambda: list(pool.imap(id, [bad])),
        lambda: pool.map(bad.work, [1]),
        lambda: pool.apply_async(id, (bad,)).get(),
        lambda: pool.map_async(bad.work, [1]).get(),
    ):
        with pytest.raises(expected, match="its own words") as caught:
            way()
        (note,) = caught.value.__notes__
        assert ".inner[0] (a Raises)" in note
    assert pool.apply(abs, (-1,)) == 1


def lock_of(_: object) -> object:
    return threading.Lock()


def test_the_traceback_is_the_user_s(make_pool: MakePool, process_method: Method) -> None:
    """Besides the user's own lines there are twelve at most."""
    pool = make_pool(process_method, 1)
    with oc.ProcessPoolExecutor(1, process_method) as executor:
        for way in (
            lambda: pool.submit(id, threading.Lock()),
            lambda: pool.apply(id, (threading.Lock(),)),
            lambda: pool.map(id, [threading.Lock()]),
            lambda: pool.map(Holder(lock=threading.Lock()).work, [1]),
            lambda: next(pool.imap(id, [threading.Lock()])),
            lambda: pool.map_blocks(Holder(lock=threading.Lock()).work, [1]),  # type: ignore[arg-type]
            lambda: pool.apply_async(id, (threading.Lock(),)).get(),
            lambda: executor.submit(id, threading.Lock()).result(),
            lambda: list(executor.map(id, [threading.Lock()])),
            lambda: pool.map(lock_of, [1]),
        ):
            with pytest.raises(oc.NotPicklable) as caught:
                way()
            error = caught.value
            lines = "".join(traceback.format_exception(error)).splitlines()
            frames = traceback.extract_tb(error.__traceback__)
            own = sum(1 for frame in frames if frame.filename == __file__)
            # With its source, and perhaps marks beneath that, a frame is two or three lines.
            assert len(lines) - 2 * own <= 12 + own, "\n".join(lines)


MAIN = """
import sys, threading
import onecopy as oc

class Base:
    gate = threading.Lock()

    def go(self, x):
        return x

class Derived(Base):
    def go(self, x):
        return super().go(x)

class Loop(Derived):
    def go(self, x):
        return super().go(x) + 1

def build(x):
    return Loop().go(x)

pool = oc.Pool(1, method=sys.argv[1])
for call in (Derived().go, build, lambda x: pool):
    try:
        pool.map(call, [1])
    except oc.NotPicklable as error:
        print(error.path)
"""


@pytest.mark.parametrize("method", [each for each in PROCESS_METHODS if each != "fork"])
def test_what_a_class_that_travels_by_value_holds(tmp_path: Path, method: str) -> None:
    done = scripts.run(tmp_path, MAIN, method)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Base.gate (a lock)",
        "Base.gate (a lock)",
        "<lambda> (global 'pool') (a Pool)",
    ]


def test_advice(make_pool: MakePool) -> None:
    pool = make_pool("spawn", 1)
    with pytest.raises(oc.NotPicklable, match="initializer="):
        pool.apply(id, (threading.Lock(),))
    with pytest.raises(oc.NotPicklable, match="open it in each worker"), socket.socket() as file:
        pool.apply(id, (file,))
    with pytest.raises(oc.ResultNotPicklable, match="return plain data"):
        pool.apply(lock_of, (1,))


def test_what_others_write_is_told_what_to_write(make_pool: MakePool) -> None:
    given: Any = oc.Pool
    for word, instead in [
        ("n_jobs", "workers="),
        ("max_workers", "workers="),
        ("mp_context", "method="),
        ("max_tasks_per_child", "maxtasksperchild="),
        ("nonsense", "unexpected keyword"),
    ]:
        with pytest.raises(TypeError, match=instead):
            given(**{word: 2})
    given = oc.ProcessPoolExecutor
    for word in ("n_jobs", "workers", "processes"):
        with pytest.raises(TypeError, match="max_workers="):
            given(**{word: 2})
    with pytest.raises(TypeError, match="mp_context="):
        given(method="fork")
    with pytest.raises(TypeError, match="unexpected keyword"):
        given(nonsense=1)
    pool: Any = make_pool("fork", 1)
    for more in ([[3, 4]], [[3, 4], [5, 6]], [2, [3, 4]]):
        with pytest.raises(TypeError, match=r"zip\(a, b\)"):
            pool.starmap(pow, [1, 2], *more)
    for call in (pool.map, pool.imap, pool.imap_unordered):
        assert list(call(pow, [1, 2], [3, 4])) == [1, 16]
        with pytest.raises(TypeError, match="chunksize by name"):
            call(pow, [1, 2], 2, [3, 4])
    for call in (pool.imap, pool.imap_unordered):
        with pytest.raises(TypeError, match="waits no longer"):
            call(abs, [1], timeout=3)
    for call in (pool.map, pool.starmap, pool.imap, pool.imap_unordered):
        with pytest.raises(TypeError, match="write chunksize="):
            call(abs, [1], chunk_size=3)
        with pytest.raises(TypeError, match="unexpected keyword"):
            call(abs, [1], nonsense=3)
    for call in (pool.apply, pool.apply_async):
        with pytest.raises(TypeError, match="as one tuple"):
            call(abs, 3)
        with pytest.raises(TypeError, match="as one tuple"):
            call(pow, (2,), 3)
    with pytest.raises(TypeError, match="whole number"):
        pool.map_async(abs, [1], [2])
    assert pool.map(abs, [-1]) == [1]


def both(first: int, second: int) -> int:
    return first + second


def passed_on(item: tuple[int, int]) -> int:
    return both(item)  # type: ignore[call-arg, arg-type]  # the mistake is in here


def test_items_that_are_not_unpacked_get_a_hint(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    wrong: Any = both
    deep: Any = passed_on
    cases: list[tuple[Any, Any, list[Any]]] = [
        (pool.map, wrong, [1]),
        (pool.map, deep, [(1, 2)]),
        (pool.starmap, wrong, [(1,)]),
    ]
    for items in ([(1, 2)], [[1, 2], [3, 4]]):
        with pytest.raises(TypeError) as raised:
            pool.map(wrong, items)
        assert "starmap passes its elements as separate arguments" in str(raised.value.__cause__)
    for call, func, mapped in cases:
        with pytest.raises(TypeError) as raised:
            call(func, mapped)
        assert "starmap passes" not in str(raised.value.__cause__)


def test_modules_to_preload_are_named_right(make_pool: MakePool, process_method: str) -> None:
    for preload, said in (("json", r"preload=\['json'\]"), ([1], "has an int")):
        with pytest.raises(TypeError, match=said):
            oc.Pool(1, preload=preload)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(TypeError, match=said):
            oc.ProcessPoolExecutor(1, preload=preload)  # type: ignore[arg-type]  # the mistake
    for name in ("no_such_module", "no_such_module.part"):
        with pytest.raises(ModuleNotFoundError, match=f"preload: there is no module '{name}'"):
            oc.Pool(1, preload=[name])
    assert make_pool(process_method, 1, preload=["json.decoder"]).map(abs, [-1]) == [1]


def test_reprs_say_what_a_reader_can_use(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    assert "of 1 worker by" in repr(pool)
    assert repr(pool.options(retries=2).options(timeout=3)) == (
        "<onecopy.PoolView: timeout=3, retries=2>"
    )
    assert repr(pool.options()) == "<onecopy.PoolView: no rules>"
    future = pool.submit(abs, -1)
    future.result()
    assert re.fullmatch(r"<Future at 0x\w+ state=finished returned int>", repr(future))
    lost = oc.Failed(0, 1, oc.errors.TaskTimeout("f of item 0", 3.0))
    assert "TaskTimeout('f of item 0 took longer than its timeout of 3 s" in repr(lost)


def test_what_is_no_function_is_named_in_plain_words(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 1)
    for wrong, said in ((3, "an int"), ("f", "a str"), (np.ones(1), "an ndarray")):
        with pytest.raises(TypeError, match=f"the function must be callable, not {said}"):
            pool.map(wrong, [1])  # type: ignore[call-overload]  # the mistake
