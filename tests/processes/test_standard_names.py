"""Names that programs read of the standard classes although they are private, with workers."""

from __future__ import annotations

import concurrent.futures
import multiprocessing.pool

import pytest

import onecopy as oc
from onecopy.pool import Method
from tests.pooled import double
from tests.processes.conftest import MakeExecutor
from tests.scripts import until
from tests.tasks import Signs, take_long


def test_a_pool_has_as_many_processes_as_workers(method: Method) -> None:
    with oc.Pool(3, method=method) as pool:
        assert isinstance(pool, multiprocessing.pool.Pool)
        assert pool._processes == len(pool._pool) == 3
        assert pool.apply(double, (2,)) == 4
        if method != "thread":
            until(lambda: len(pool.pids()) == 3, "all workers have a pid")
            assert sorted(str(each.pid) for each in pool._pool) == sorted(map(str, pool.pids()))
            assert all(each.is_alive() for each in pool._pool)
            handles = pool._pool
    if method != "thread":
        for handle in handles:
            handle.join(30)
            assert not handle.is_alive()
            handle.kill()  # no process any more: nothing happens
            handle.terminate()


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_ending_an_executor_s_processes(
    make_executor: MakeExecutor, signs: Signs, process_method: str, how: str
) -> None:
    """A well-known way to end tasks that hang."""
    executor = make_executor(process_method, 1)
    assert isinstance(executor, concurrent.futures.ProcessPoolExecutor)
    future = executor.submit(take_long, signs, 0)
    until(lambda: bool(signs[0]), "the task has begun")
    for pid, process in executor._processes.items():
        assert process.pid == pid
        getattr(process, how)()
    with pytest.raises(concurrent.futures.process.BrokenProcessPool):
        future.result()
    assert executor.submit(double, 2).result() == 4
    assert not executor._broken


def test_an_executor_says_why_it_is_broken(make_executor: MakeExecutor, method: str) -> None:
    executor = make_executor(method, 1, initializer=divmod)
    with pytest.raises(oc.InitializerFailed):
        executor.submit(double, 1).result()
    assert "initializer" in str(executor._broken)
