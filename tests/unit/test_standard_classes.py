"""Our pool and executor are instances of the standard classes, and use nothing of them.

They are derived from the standard classes and use none of their machinery: a method that the
base has and ours do not override would run on attributes that do not exist.
"""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import multiprocessing.pool
import subprocess
import sys
from typing import Any

import pytest

import onecopy as oc

PAIRS = [
    (oc.Pool, multiprocessing.pool.Pool),
    (oc.ProcessPoolExecutor, concurrent.futures.process.ProcessPoolExecutor),
]


def inherited(ours: type, base: type) -> set[str]:
    """Methods that ours have from the base or from what the base alone is derived from."""
    own = set(ours.__mro__[: ours.__mro__.index(base)])
    return {
        name
        for cls in ours.__mro__
        if cls is not object
        for name, value in vars(cls).items()
        if (callable(value) or isinstance(value, (staticmethod, classmethod, property)))
        and not any(name in vars(each) for each in own)
    }


@pytest.mark.parametrize(("ours", "base"), PAIRS)
def test_ours_are_recognised(ours: type, base: type) -> None:
    assert issubclass(ours, base)


@pytest.mark.parametrize(("ours", "base"), PAIRS)
def test_every_public_method_of_the_base_is_overridden(ours: type, base: type) -> None:
    left = {name for name in inherited(ours, base) if not name.startswith("_")}
    assert not left


@pytest.mark.parametrize(("ours", "base"), PAIRS)
def test_every_special_method_of_the_base_is_overridden(ours: type, base: type) -> None:
    left = {name for name in inherited(ours, base) if name.startswith("__")}
    # What makes an executor a context manager calls ``shutdown`` alone.
    assert left <= {"__enter__", "__exit__", "__class_getitem__"}
    if base is multiprocessing.pool.Pool:
        assert not left & {"__enter__", "__exit__"}


def test_a_method_that_is_not_overridden_would_be_noticed() -> None:
    class Half(multiprocessing.pool.Pool):
        def close(self) -> None: ...

    assert "terminate" in inherited(Half, multiprocessing.pool.Pool)
    assert "close" not in inherited(Half, multiprocessing.pool.Pool)


def test_the_executor_says_how_many_workers_it_has() -> None:
    executor = oc.ProcessPoolExecutor(3)
    assert isinstance(executor, concurrent.futures.ProcessPoolExecutor)
    assert executor._max_workers == 3
    assert executor._processes == {}


def test_a_context_may_not_make_the_workers() -> None:
    with pytest.raises(NotImplementedError, match="makes its workers by itself"):
        oc.Pool.Process(multiprocessing.get_context("spawn"))


def test_importing_onecopy_imports_nothing_of_theirs() -> None:
    heavy = ["multiprocessing", "concurrent.futures", "numpy", "psutil"]
    code = f"import onecopy, sys; print([m for m in {heavy} if m in sys.modules])"
    run: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
