"""A pool or executor of the parent in a forked child: it can be ended; all else is refused.

A child of a prefork server runs the same clean-up as its parent, with a pool that is not
its own: nothing there waits, fails, or touches the parent's workers.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import onecopy as oc
from onecopy.pool import Method
from tests.children import in_child
from tests.pooled import double
from tests.processes.conftest import MakeExecutor

Ends = Callable[[oc.Pool], object]


def close_and_join(pool: oc.Pool) -> None:
    assert "open" in repr(pool)
    pool.close()
    assert "closed" in repr(pool)
    pool.join()
    pool.close()
    pool.join()


def terminate_and_join(pool: oc.Pool) -> None:
    pool.terminate()
    pool.join()


def leave_the_block(pool: oc.Pool) -> None:
    with pool:
        pass


def join_alone(pool: oc.Pool) -> None:
    with pytest.raises(ValueError, match="still running"):
        pool.join()


ENDS = [close_and_join, terminate_and_join, leave_the_block, join_alone]


@pytest.mark.parametrize("end", ENDS)
def test_a_pool_is_ended_there_and_works_here(end: Ends, method: Method) -> None:
    with oc.Pool(2, method=method) as pool:
        assert pool.map(double, range(3)) == [0, 2, 4]
        assert in_child(lambda: end(pool)) == 0
        assert pool.map(double, range(3)) == [0, 2, 4]


@pytest.mark.parametrize("end", [close_and_join, terminate_and_join])
def test_results_of_imap_that_nobody_fetched_are_not_waited_for(end: Ends, method: Method) -> None:
    with oc.Pool(2, method=method) as pool:
        results = pool.imap(double, range(10_000))
        assert next(results) == 0
        assert in_child(lambda: end(pool)) == 0
        assert list(results) == [2 * at for at in range(1, 10_000)]


def test_a_closed_pool_takes_nothing_there(method: Method) -> None:
    with oc.Pool(2, method=method) as pool:

        def act() -> None:
            pool.close()
            for call in (pool.apply, pool.map, pool.imap, pool.apply_async):
                with pytest.raises(oc.PoolClosed, match="make one here"):
                    call(double, (1,))

        assert in_child(act) == 0
        assert pool.apply(double, (1,)) == 2


@pytest.mark.parametrize("cancel", [False, True])
def test_an_executor_is_shut_down_there_and_works_here(
    make_executor: MakeExecutor, method: str, cancel: bool
) -> None:
    executor = make_executor(method)
    futures = [executor.submit(double, at) for at in range(50)]

    def act() -> None:
        executor.shutdown(cancel_futures=cancel)
        executor.shutdown(wait=False)
        executor.kill_workers()

    assert in_child(act) == 0
    assert [future.result() for future in futures] == [2 * at for at in range(50)]
