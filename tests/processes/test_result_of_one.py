"""``future.result()`` of the only task that its worker has: the waiting thread reads the worker's
socket itself, and whatever ends the task from elsewhere ends the wait."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest

import onecopy as oc
from tests.arrays import Array
from tests.conftest import MakePool
from tests.faults import engine_of
from tests.pooled import double
from tests.scripts import until

pytestmark = pytest.mark.door

log = logging.getLogger(__name__)


def hang(marks: Array) -> None:
    marks[0] = os.getpid()
    threading.Event().wait()


def say(number: int) -> int:
    log.warning("said %d", number)
    return number


def kill_it(pool: oc.Pool, future: Any, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def cancel_it(pool: oc.Pool, future: Any, pid: int) -> None:
    assert pool.cancel(future)


def terminate_it(pool: oc.Pool, future: Any, pid: int) -> None:
    pool.terminate()


@pytest.mark.parametrize(
    ("end", "kind"),
    [(kill_it, oc.WorkerDied), (cancel_it, CancelledError), (terminate_it, oc.PoolClosed)],
)
def test_ended_from_elsewhere(
    make_pool: MakePool,
    process_method: str,
    end: Callable[[oc.Pool, Any, int], None],
    kind: type[BaseException],
) -> None:
    pool = make_pool(process_method, 1)
    marks = oc.zeros(1, "i8")
    future = pool.submit(hang, marks)
    until(lambda: bool(marks[0]), "it has begun")
    outcomes: list[BaseException] = []

    def wait() -> None:
        try:
            future.result()
        except BaseException as error:
            outcomes.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    receiver = engine_of(pool)._parts.receiver
    assert thread.ident is not None
    until(lambda: receiver.is_waiting(thread.ident or 0), "it reads the socket")
    end(pool, future, int(marks[0]))
    thread.join()
    assert [type(error) for error in outcomes] == [kind]
    if kind is not oc.PoolClosed:
        assert pool.submit(double, 4).result() == 8


def test_threads_that_wait_for_one_each(make_pool: MakePool, process_method: str) -> None:
    """More threads than workers, so that some wait at a socket and some for the driver."""
    pool = make_pool(process_method, 3)

    def calls(first: int) -> list[int]:
        return [pool.submit(double, first + at).result() for at in range(200)]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(calls, range(0, 8000, 1000)))
    assert found == [[2 * (first + at) for at in range(200)] for first in range(0, 8000, 1000)]


def test_what_it_has_logged_comes_first(
    make_pool: MakePool, process_method: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make_pool(process_method, 1)
    for number in range(50):
        assert pool.submit(say, number).result() == number
        assert caplog.messages[-1] == f"said {number}"


def test_others_are_read_meanwhile(make_pool: MakePool, process_method: str) -> None:
    """The driver reads the other workers' sockets, and callbacks are called."""
    pool = make_pool(process_method, 2)
    gate = oc.zeros(2, "i8")
    called: list[int] = []

    def open_gate(future: Any) -> None:
        called.append(future.result())
        gate[0] = 1

    slow = pool.submit(wait_for, gate)
    until(lambda: bool(gate[1]), "it has begun")
    threading.Timer(0.05, lambda: pool.submit(double, 3).add_done_callback(open_gate)).start()
    assert slow.result() == 1
    assert called == [6]


def test_callbacks_run_elsewhere(make_pool: MakePool, process_method: str) -> None:
    """The thread that waits may hold what a callback waits for."""
    pool = make_pool(process_method, 1)
    held = threading.Lock()
    called: list[int] = []

    def call(_: Any) -> None:
        with held:
            called.append(threading.get_ident())

    gate = oc.zeros(2, "i8")
    for _ in range(20):
        gate[:] = 0
        with held:
            future = pool.submit(wait_for, gate)
            future.add_done_callback(call)  # at once, if it had ended
            gate[0] = 1
            assert future.result() == 1
        until(lambda: len(called) > 0, "it was called")
        assert called.pop() != threading.get_ident()


def wait_for(gate: Array) -> int:
    gate[1] = 1
    until(lambda: bool(gate[0]))
    return int(gate[0])
