"""The executor, beside the standard library's."""

import concurrent.futures
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import assert_type

import onecopy as oc


def half(number: int) -> float:
    return number / 2


def both(one: int, other: str) -> tuple[int, str]:
    return one, other


def three(one: int, other: str, last: bytes) -> bytes:
    return last


def takes_any(executor: concurrent.futures.Executor) -> list[float]:
    return list(executor.map(half, [1, 2]))


def calls(executor: oc.ProcessPoolExecutor, function: Callable[..., int]) -> None:
    assert_type(executor.submit(half, 4), Future[float])
    executor.submit(half, "no")  # error: arg-type | reportArgumentType
    executor.submit(half)  # error: call-arg | reportCallIssue

    assert_type(executor.map(half, [1, 2], chunksize=2, timeout=3), Iterator[float])
    assert_type(executor.map(half, [1, 2], buffersize=4), Iterator[float])
    assert_type(executor.map(both, [1], ["a"]), Iterator[tuple[int, str]])
    assert_type(executor.map(three, [1], ["a"], [b""]), Iterator[bytes])
    assert_type(executor.map(function, [1], ["a"], [b""], [2]), Iterator[int])
    assert_type(executor.map(function, *[[1], [2]]), Iterator[int])
    assert_type(executor.map(half, [1], errors="skip"), Iterator[float])
    assert_type(executor.map(half, [1], errors="return"), Iterator[float | oc.Failed])
    assert_type(executor.map(both, [1], ["a"], errors="return"), Iterator[tuple[int, str] | oc.Failed])
    executor.map(half, [1], errors="no")  # error: call-overload | reportArgumentType,reportCallIssue
    executor.map(half, ["a"])  # error: arg-type | reportArgumentType
    executor.map(both, [1], [2])  # error: arg-type | reportArgumentType
    executor.map(half, [1], timeout="a")  # error: call-overload | reportArgumentType

    takes_any(executor)
    executor.shutdown(cancel_futures=True)


def its_life() -> None:
    with oc.ProcessPoolExecutor(2, "spawn", prints="direct") as executor:
        assert_type(executor, oc.ProcessPoolExecutor)
    oc.ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork"))
    oc.ProcessPoolExecutor(initializer=half, initargs=(1,), max_tasks_per_child=3)
    oc.ProcessPoolExecutor(2, None, both, (1, "a"), preload=["numpy"], reseed=False)
    oc.ProcessPoolExecutor(initializer=half)  # error: arg-type | reportArgumentType
    oc.ProcessPoolExecutor(initializer=half, initargs=("a",))  # error: arg-type | reportArgumentType,reportCallIssue
    oc.ProcessPoolExecutor(mp_context="frok")  # error: call-overload | reportArgumentType
    oc.ProcessPoolExecutor(prints="loud")  # error: call-overload | reportArgumentType
    oc.ProcessPoolExecutor(max_workers="two")  # error: call-overload | reportArgumentType
    oc.ProcessPoolExecutor(workers=2)  # error: call-overload | reportCallIssue
