"""Locks, queues and pipes of `multiprocessing` in a pool's initializer, and its managers' proxies:
what the standard library's pools pass to their workers when they start them."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import threading
from typing import Any

import pytest

import onecopy as oc
from tests.conftest import MakePool

pytestmark = [pytest.mark.door, pytest.mark.leaks("multiprocessing's own resource tracker stays")]

GOT: list[Any] = []


def keep(*args: Any) -> None:
    GOT[:] = args


def add_one(times: int) -> int:
    lock, total = GOT
    for _ in range(times):
        with lock:
            total[0] += 1
    return os.getpid()


def answer(value: int) -> int:
    queue, event, number, pipe = GOT
    event.wait()
    with number.get_lock():
        number.value += value
    pipe.send(value)
    queue.put((value, os.getpid()))
    return value


def put(shared: Any, key: int) -> None:
    shared[key] = os.getpid()


@pytest.fixture
def context(process_method: str) -> Any:
    return multiprocessing.get_context(process_method)


def test_a_lock(make_pool: MakePool, process_method: str, context: Any) -> None:
    total = oc.zeros(1, "i8")
    pool = make_pool(process_method, 2, initializer=keep, initargs=(context.Lock(), total))
    pool.map(add_one, [500] * 8, chunksize=1)
    assert total[0] == 4000


def test_queues_events_numbers_and_pipes(
    make_pool: MakePool, process_method: str, context: Any
) -> None:
    queue, event, number = context.SimpleQueue(), context.Event(), context.Value("i", 5)
    reader, writer = context.Pipe(duplex=False)
    pool = make_pool(process_method, 2, initializer=keep, initargs=(queue, event, number, writer))
    result = pool.map_async(answer, range(10), chunksize=1)
    assert not result.ready()
    event.set()
    assert result.get() == list(range(10))
    assert sorted(queue.get()[0] for _ in range(10)) == list(range(10))
    assert sorted(reader.recv() for _ in range(10)) == list(range(10))
    assert number.value == 50
    queue.close()
    reader.close()
    writer.close()


def test_replacements_get_them_too(make_pool: MakePool, process_method: str, context: Any) -> None:
    total = oc.zeros(1, "i8")
    pool = make_pool(
        process_method,
        1,
        initializer=keep,
        initargs=(context.Lock(), total),
        maxtasksperchild=1,
    )
    assert len(set(pool.map(add_one, [10] * 3, chunksize=1))) == 3
    assert total[0] == 30


def test_an_executor(process_method: str, context: Any) -> None:
    total = oc.zeros(1, "i8")
    with oc.ProcessPoolExecutor(
        2, context, initializer=keep, initargs=(context.RLock(), total)
    ) as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        list(executor.map(add_one, [100] * 4))
    assert total[0] == 400


def test_a_fork_inherits_what_nothing_can_pickle(make_pool: MakePool) -> None:
    inner = threading.Lock()
    pool = make_pool("fork", 1, initializer=keep, initargs=(inner, [0]))
    assert pool.apply(add_one, (3,)) != os.getpid()


def test_one_that_only_a_fork_can_bring(make_pool: MakePool) -> None:
    lock = multiprocessing.get_context("fork").Lock()
    with pytest.raises(RuntimeError, match="SemLock created in a fork context"):
        make_pool("spawn", 1, initializer=keep, initargs=(lock,))


def test_proxies_of_a_manager(make_pool: MakePool, process_method: str, context: Any) -> None:
    with context.Manager() as manager:
        shared = manager.dict()
        pool = make_pool(process_method, 2)
        pool.starmap(put, [(shared, key) for key in range(6)], chunksize=1)
        assert set(shared.keys()) == set(range(6))
        assert os.getpid() not in shared.values()
