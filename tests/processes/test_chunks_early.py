"""A result that is there arrives while a slow item behind it is still being run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from tests.conftest import MakePool
from tests.processes.conftest import MakeExecutor

pytestmark = pytest.mark.door

ITEMS = 60
GO = 63  # the place of the sign that the blocked item waits for

MAKES: dict[str, Callable[[int], Any]] = {
    "numbers": lambda i: i,
    "objects": lambda i: {"item": i, "words": ["a", "b"]},
    "small arrays": lambda i: np.full(5, i),
    "large": lambda i: bytes(20_000) + bytes([i]),
    "in arenas": lambda i: np.full(50_000, i),
    "not alike": lambda i: bytes(5000) if i % 7 == 5 else i,
}


def give(signs: Any, blocked: int, what: str, i: int) -> Any:
    if i == blocked:
        while not signs[GO]:
            time.sleep(0.001)
    signs[i] += 1
    return MAKES[what](i)


def same(got: Any, wanted: Any) -> bool:
    return bool(np.all(got == wanted))


@pytest.mark.parametrize("what", MAKES)
@pytest.mark.parametrize("blocked", [1, 30, ITEMS - 1])
def test_results_in_order(make_pool: MakePool, what: str, blocked: int) -> None:
    pool = make_pool("fork", 2)
    signs = oc.zeros(64, "i8")
    assert len(list(pool.imap(partial(give, signs, -1, what), range(ITEMS)))) == ITEMS
    signs[:] = 0
    results = pool.imap(partial(give, signs, blocked, what), range(ITEMS))
    for i in range(blocked):
        assert same(results.next(timeout=60), MAKES[what](i))
    signs[GO] = 1
    for i in range(blocked, ITEMS):
        assert same(next(results), MAKES[what](i))
    assert (signs[:ITEMS] == 1).all(), "each was run once"


@pytest.mark.parametrize("blocked", [0, 12, 37])
def test_all_others_come_first(make_pool: MakePool, method: str, blocked: int) -> None:
    pool = make_pool(method, 2)
    signs = oc.zeros(64, "i8")
    list(pool.imap(partial(give, signs, -1, "numbers"), range(ITEMS)))
    signs[:] = 0
    results = pool.imap_unordered(partial(give, signs, blocked, "numbers"), range(ITEMS))
    others = {results.next(timeout=60) for _ in range(ITEMS - 1)}
    assert others == set(range(ITEMS)) - {blocked}
    signs[GO] = 1
    assert list(results) == [blocked]
    assert (signs[:ITEMS] == 1).all()


def test_a_timeout_loses_no_result(make_executor: MakeExecutor, signs: Any) -> None:
    executor = make_executor("fork", 2)
    list(executor.map(partial(give, signs, -1, "numbers"), range(ITEMS)))
    signs[:] = 0
    results = executor.map(partial(give, signs, 40, "numbers"), range(ITEMS), timeout=5)
    assert [next(results) for _ in range(40)] == list(range(40))
    with pytest.raises(TimeoutError):
        next(results)


def fail_at(signs: Any, bad: int, i: int) -> int:
    if i == bad:
        raise ZeroDivisionError
    return int(give(signs, bad + 1, "numbers", i))


def test_an_error_is_told_early_too(make_pool: MakePool) -> None:
    pool = make_pool("fork", 2)
    signs = oc.zeros(64, "i8")
    for bad in (20, 25, 31):
        list(pool.imap(partial(give, signs, -1, "numbers"), range(ITEMS)))
        signs[:] = 0
        results = pool.imap(partial(fail_at, signs, bad), range(ITEMS))
        assert [next(results) for _ in range(bad)] == list(range(bad))
        with pytest.raises(ZeroDivisionError):
            results.next(timeout=60)
        signs[GO] = 1
        assert list(results) == list(range(bad + 1, ITEMS))


def die_at(signs: Any, bad: int, i: int) -> int:
    import os
    import signal

    if i == bad:
        while not signs[GO]:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)
    return i


def test_what_was_told_early_is_not_lost_with_its_worker(make_pool: MakePool) -> None:
    pool = make_pool("fork", 1)
    signs = oc.zeros(64, "i8")
    list(pool.imap(partial(give, signs, -1, "numbers"), range(ITEMS)))
    results = pool.imap(partial(die_at, signs, 9), range(ITEMS))
    assert [next(results) for _ in range(9)] == list(range(9))
    signs[GO] = 1
    came: list[int] = []
    lost = 0
    for _ in range(9, ITEMS):
        try:
            came.append(next(results))
        except oc.WorkerDied:
            lost += 1
    assert came == list(range(9 + lost, ITEMS))
    assert 1 <= lost <= 16


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """The numbers that workers have logged, as they arrive."""
    got: list[int] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            got.append(int(record.getMessage()))

    handler = Kept()
    logger = logging.getLogger("tests.early")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield got
    logger.removeHandler(handler)


def tell(signs: Any, blocked: int, i: int) -> int:
    logging.getLogger("tests.early").info("%d", i)
    return int(give(signs, blocked, "numbers", i))


def test_what_an_item_logs_is_heard_before_its_result(
    make_pool: MakePool, heard: list[int]
) -> None:
    pool = make_pool("fork", 2)
    signs = oc.zeros(64, "i8")
    list(pool.imap(partial(tell, signs, -1), range(ITEMS)))
    heard.clear()
    results = pool.imap(partial(tell, signs, 33), range(ITEMS))
    for i in range(33):
        assert next(results) == i
        assert i in heard
    signs[GO] = 1
    assert list(results) == list(range(33, ITEMS))
