"""Results and exceptions that cannot be sent as they are: an error in the caller, with the
worker's traceback; the others go on, and nothing hangs.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from tests.arrays import Array
from tests.conftest import MakePool
from tests.pooled import double
from tests.scripts import assert_clean, run

pytestmark = pytest.mark.door


# Exceptions.


class ExitsWhenRebuilt(Exception):
    def __reduce__(self) -> Any:
        return sys.exit, ("rebuilt",)


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    def __reduce__(self) -> Any:
        raise RuntimeError("no pickle")


class LeavesWhenAsked(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


class Heavy(Exception):
    def __init__(self, array: Array) -> None:
        super().__init__(array)
        self.array = array


class Bare(BaseException):
    """An error that is no Exception."""


class ShapelessArgument:
    """Its attributes raise, and so does its repr."""

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("no shape")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def throw(error: BaseException) -> None:
    raise error


def throw_made(make: Callable[[], BaseException], _: object = None) -> None:
    raise make()


def throw_heavy(nbytes: int) -> None:
    raise Heavy(np.ones(nbytes, "u1"))


def errors_of(pool: oc.Pool, function: Callable[..., Any], *args: Any) -> list[BaseException]:
    """The error of a call by each way that leads to one."""
    found: list[BaseException] = []
    ways: list[Callable[[], Any]] = [
        lambda: pool.submit(function, *args).result(),
        lambda: pool.apply(function, args),
        lambda: pool.starmap(function, [args]),
    ]
    for way in ways:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 (each caller looks closer)
            way()
        found.append(caught.value)
    return found


def test_exceptions_that_cannot_travel(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    worker = pool.apply(os.getpid)
    makers: list[Callable[[], BaseException]] = [Unsayable, ExitsWhenRebuilt]
    for make in makers:
        for error in errors_of(pool, throw_made, make, 0):
            assert isinstance(error, oc.RemoteError)
            assert error.type_name.endswith(type(make()).__qualname__)
            assert "raise make()" in str(error.__cause__)
            assert "throw_made" in str(error.__cause__)
    assert pool.apply(os.getpid) == worker


def test_an_exception_that_ends_whoever_asks(make_pool: MakePool, process_method: str) -> None:
    """A ``BaseException`` where an error was to be described."""
    pool = make_pool(process_method, 1)
    worker = pool.apply(os.getpid)
    for error in errors_of(pool, throw_made, LeavesWhenAsked, 0):
        assert isinstance(error, oc.RemoteError)
        assert "raise make()" in str(error.__cause__)
    assert pool.apply(os.getpid) == worker


def test_a_heavy_exception(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    with pytest.raises(Heavy) as caught:
        pool.apply(throw_heavy, (100 << 20,))
    assert caught.value.array.nbytes == 100 << 20
    assert caught.value.array[-1] == 1
    assert "raise Heavy" in str(caught.value.__cause__)
    assert pool.apply(double, (1,)) == 2


HEAVY = """
import sys
import numpy as np, onecopy as oc

class Heavy(Exception):
    pass

def fail(n):
    error = Heavy("too much")
    error.array = np.ones(n, "u1")
    raise error

with oc.Pool(1, method=sys.argv[1]) as pool:
    try:
        pool.apply(fail, (1 << 20,))
    except Heavy as error:
        print(error, error.array.sum() >> 20)
"""


def test_a_heavy_exception_of_main(tmp_path: Path, process_method: str) -> None:
    """Its class cannot be imported by a fresh worker, and is the caller's own all the same."""
    assert_clean(run(tmp_path, HEAVY, process_method), "too much 1")


def test_base_exceptions(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    worker = pool.apply(os.getpid)
    for kind in (Bare, KeyboardInterrupt, GeneratorExit, BaseException):
        for error in errors_of(pool, throw, kind("x")):
            assert type(error) is kind
            assert error.args == ("x",)
            assert "raise error" in str(error.__cause__)
    assert pool.apply(os.getpid) == worker


def fail_with(_: object) -> None:
    raise ValueError("of the task")


def test_an_argument_that_cannot_be_shown(make_pool: MakePool, process_method: str) -> None:
    """The task's own error arrives, not that of describing its argument."""
    pool = make_pool(process_method, 1)
    for error in errors_of(pool, fail_with, ShapelessArgument()):
        assert isinstance(error, ValueError)
        assert "ShapelessArgument" in str(error.__cause__)


# Results.


class RaisesWhenLoaded:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        return throw, (self.kind("loaded"),)


class RaisesWhenSaved:
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        raise self.kind("saved")


def loads_badly(kind: type[BaseException]) -> RaisesWhenLoaded:
    return RaisesWhenLoaded(kind)


def saves_badly(kind: type[BaseException]) -> RaisesWhenSaved:
    return RaisesWhenSaved(kind)


def test_a_result_whose_unpickling_raises(make_pool: MakePool, process_method: str) -> None:
    """Also with errors by which the owner would tell that a worker is not to be trusted."""
    pool = make_pool(process_method, 1)
    worker = pool.apply(os.getpid)
    for kind in (ValueError, KeyError, EOFError, OSError, SystemExit):
        for error in errors_of(pool, loads_badly, kind):
            assert type(error) is kind
            assert "loads_badly" in "\n".join(error.__notes__), "it says whose result it was"
    assert pool.apply(os.getpid) == worker


def test_a_result_whose_pickling_raises(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    for kind in (ValueError, MemoryError):
        for error in errors_of(pool, saves_badly, kind):
            assert isinstance(error, oc.ResultNotPicklable)
            assert "saved" in str(error)
            assert "in __reduce__" in str(error.__cause__)
    with pytest.raises(oc.WorkerDied, match="saves_badly"):
        pool.apply(saves_badly, (SystemExit,))
    assert pool.apply(double, (1,)) == 2


def test_a_bad_result_beside_good_ones(make_pool: MakePool, process_method: str) -> None:
    """In one chunk of a stream: none hangs, and what comes after is whole."""
    pool = make_pool(process_method, 1)
    stream = pool.imap(lambda x: RaisesWhenSaved(ValueError) if x == 1 else x, range(6), 3)
    assert next(stream) == 0
    with pytest.raises(oc.ResultNotPicklable):
        next(stream)
    assert list(stream) == [2, 3, 4, 5]


def test_an_item_whose_result_cannot_be_pickled_is_named(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    for chunk in (1, 3):
        found = pool.map(
            lambda x: [threading.Lock()] if x == 4 else x, range(6), chunk, errors="return"
        )
        [failed] = [each for each in found if isinstance(each, oc.Failed)]
        assert failed.index == 4
        assert str(failed.exception).startswith("the result of item 4[0] (")
