"""Workers that are killed or crash at a chosen point of a task's way: only that task fails,
its error says how the worker ended, and a new worker takes its place.

Nothing here sleeps: a process that is to be killed half way through something is stopped by
a signal or by a full socket, and that is waited for.
"""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from tests.arrays import Array
from tests.conftest import MakePool
from tests.faults import channels_of, narrow_own_socket, state_of, stop, unread
from tests.pooled import double
from tests.scripts import until

pytestmark = pytest.mark.memory

LOCK = threading.Lock()
# Beyond what a narrowed socket takes, and small enough not to go through an arena.
LONG = ["x" * 1000 + str(number) for number in range(100)]


def kill_me(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pid_of(_: object = None) -> int:
    return os.getpid()


def sizes(long: list[str], array: Array) -> tuple[int, int]:
    return len(long), int(array.sum())


class KillsInDecoding:
    """Kills the process in which it is unpickled."""

    def __reduce__(self) -> Any:
        return kill_me, ()


class KillsInEncoding:
    """Kills the process in which it is pickled."""

    def __reduce__(self) -> Any:
        kill_me()
        raise AssertionError("not reached")


class KillsAsFunction:
    """A function that kills the process in which it is unpickled."""

    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        return kill_me, ()


def killed_while_decoding(x: Any) -> Any:
    return x


def killed_while_running(x: int) -> None:
    kill_me()


def killed_while_encoding(x: int) -> Any:
    return KillsInEncoding()


MOMENTS: list[tuple[Callable[[Any], Any], Any]] = [
    (killed_while_decoding, KillsInDecoding()),
    (killed_while_running, 1),
    (killed_while_encoding, 1),
]


def assert_died(error: BaseException | None, exitcode: int, task: str) -> oc.WorkerDied:
    """It says all that is to be known of a worker's end."""
    assert isinstance(error, oc.WorkerDied)
    assert isinstance(error, BrokenProcessPool)
    assert error.exitcode == exitcode
    if exitcode < 0:
        assert error.signal == -exitcode
        assert signal.Signals(-exitcode).name in str(error)
    assert error.pid > 0
    assert f"worker {error.pid} " in str(error)
    assert not error.oom
    assert error.memory is not None
    assert error.memory > 1 << 20, "an interpreter takes more"
    assert task in error.task
    assert error.task in str(error)
    return error


def assert_goes_on(pool: oc.Pool, without: int) -> None:
    """All its workers are there again, and the dead one is none of them."""
    assert pool.map(double, range(20), chunksize=1) == [2 * x for x in range(20)]
    until(lambda: pool.stats().workers == pool.workers, "a new worker has come")
    assert without not in pool.pids()


def test_only_its_task_fails(make_pool: MakePool, process_method: str) -> None:
    """Also while another thread of the owner holds locks that the workers take as well."""
    pool = make_pool(process_method)
    assert pool.map(double, [1]) == [2]
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with LOCK, logging._lock:  # type: ignore[attr-defined]  # no public name
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        others: list[Future[int]] = []
        failing: dict[str, Future[Any]] = {}
        for function, argument in MOMENTS:
            others += [pool.submit(use_locks, x) for x in range(10)]
            failing[function.__name__] = pool.submit(function, argument)
        others += [pool.submit(use_locks, x) for x in range(10)]
        for name, future in failing.items():
            error = assert_died(future.exception(), -signal.SIGKILL, name)
        assert [f.result() for f in others] == [*range(10)] * 4
        assert_goes_on(pool, error.pid)
    finally:
        release.set()
        thread.join()


def use_locks(x: int) -> int:
    with LOCK:
        logging.getLogger("onecopy-test").debug("%d", x)
    return x


def kill_once(marks: Array) -> int:
    marks[0] += 1
    if marks[0] == 1:
        kill_me()
    return int(marks[0])


def test_with_retries_it_is_run_again(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    marks = oc.zeros(1, "i8")
    assert pool.options(retries=1).apply(kill_once, (marks,)) == 2
    futures = [pool.submit(double, x) for x in range(10)]
    always = pool.options(retries=1).submit(killed_while_running, 1)
    assert_died(always.exception(), -signal.SIGKILL, "killed_while_running")
    assert [f.result() for f in futures] == [2 * x for x in range(10)]


def test_killed_while_receiving(make_pool: MakePool, process_method: str) -> None:
    """Half of a message is written and no worker will read the rest: it goes to another
    worker, since no task had begun. A large array was copied, and is copied again."""
    pool = make_pool(process_method, 1)
    worker = pool.apply(pid_of)
    (channel,) = channels_of(pool)
    channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    stop(worker)
    future = pool.submit(sizes, LONG, np.ones(1_000_000))
    others = [pool.submit(double, x) for x in range(10)]
    assert channel.blocked, "the socket took a part of it"
    assert pool.stats().bytes_copied >= 8_000_000
    os.kill(worker, signal.SIGKILL)
    assert future.result() == (len(LONG), 1_000_000)
    assert [f.result() for f in others] == [2 * x for x in range(10)]
    assert_goes_on(pool, worker)


def test_apply_is_killed_while_receiving(make_pool: MakePool, process_method: str) -> None:
    """The same when the thread that waits has taken the socket out of the driver's hands."""
    pool = make_pool(process_method, 1)
    worker = pool.apply(pid_of)
    (channel,) = channels_of(pool)
    channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    stop(worker)
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(pool.apply(len, (LONG,))))
    thread.start()
    until(lambda: channel.blocked, "the socket took a part of it")
    os.kill(worker, signal.SIGKILL)
    thread.join()
    assert got == [len(LONG)]


@pytest.fixture
def busy_driver() -> Iterator[Callable[[Future[Any]], None]]:
    """A callback that keeps the thread that reads results from reading any more."""
    reached, release = threading.Event(), threading.Event()

    def callback(_: Future[Any]) -> None:
        reached.set()
        release.wait()

    callback.reached, callback.release = reached, release  # type: ignore[attr-defined]
    yield callback
    release.set()


def long_result(_: object) -> list[str]:
    return LONG


def wait_for_go(marks: Array) -> None:
    """Until the owner has set a word."""
    until(lambda: bool(marks[0]), "the owner says go")


def test_killed_while_sending(
    make_pool: MakePool, process_method: str, busy_driver: Callable[[Future[Any]], None]
) -> None:
    """Half of a result is written and will never be whole."""
    pool = make_pool(process_method, 1)
    worker = pool.apply(narrow_own_socket)
    (channel,) = channels_of(pool)
    go = oc.zeros(1, "i8")
    first = pool.submit(wait_for_go, go)
    first.add_done_callback(busy_driver)
    sending = pool.submit(long_result, 0)
    others = [pool.submit(double, x) for x in range(10)]
    go[0] = 1
    busy_driver.reached.wait()  # type: ignore[attr-defined]
    until(lambda: unread(channel) > 1000, "a part of the result is there")
    os.kill(worker, signal.SIGKILL)
    until(lambda: state_of(worker) in "XZ", "it has gone")
    assert unread(channel) < 60_000, "and a part only"
    busy_driver.release.set()  # type: ignore[attr-defined]
    assert_died(sending.exception(), -signal.SIGKILL, "long_result")
    assert [f.result() for f in others] == [2 * x for x in range(10)]
    assert_goes_on(pool, worker)


def test_a_finished_result_is_read_after_the_worker_s_death(
    make_pool: MakePool, process_method: str, busy_driver: Callable[[Future[Any]], None]
) -> None:
    """Messages that were whole in the socket when the worker was killed are not lost."""
    pool = make_pool(process_method, 1)
    worker = pool.apply(pid_of)
    (channel,) = channels_of(pool)
    go = oc.zeros(1, "i8")
    first = pool.submit(wait_for_go, go)
    first.add_done_callback(busy_driver)
    large = pool.submit(np.arange, 1_000_000)
    go[0] = 1
    busy_driver.reached.wait()  # type: ignore[attr-defined]
    until(lambda: unread(channel) > 0, "the result is there")
    os.kill(worker, signal.SIGKILL)
    until(lambda: state_of(worker) in "XZ", "it has gone")
    busy_driver.release.set()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(large.result(), np.arange(1_000_000))


def test_a_function_that_kills_whoever_unpickles_it(
    make_pool: MakePool, process_method: str
) -> None:
    """Workers must not be spent on it without end: each item costs one."""
    pool = make_pool(process_method)
    assert pool.map(double, range(4), chunksize=1) == [0, 2, 4, 6]
    with pytest.raises(oc.WorkerDied, match="SIGKILL") as caught:
        pool.map(KillsAsFunction(), range(2), chunksize=1)
    assert_goes_on(pool, caught.value.pid)


# Crashes.


def exit_at_once(_: object) -> None:
    os._exit(7)


def sys_exit(_: object) -> None:
    sys.exit("a message")


def segfault(_: object) -> None:
    ctypes.string_at(0)


def overflow_the_stack(_: object) -> None:
    """The C stack, in a function of the C library that descends with every parenthesis."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compiled = ctypes.create_string_buffer(1024)  # more than any regex_t takes
    ctypes.CDLL(None).regcomp(compiled, b"(" * 5_000_000, 1)


CRASHES: list[tuple[Callable[[Any], None], int, str]] = [
    (exit_at_once, 7, ""),
    (sys_exit, 1, ""),
    (segfault, -signal.SIGSEGV, "in segfault"),
    (overflow_the_stack, -signal.SIGSEGV, "in overflow_the_stack"),
]


def test_crashes(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    others: list[Future[int]] = []
    crashing: list[Future[None]] = []
    for function, _, _ in CRASHES:
        others += [pool.submit(double, x) for x in range(10)]
        crashing.append(pool.submit(function, None))
    others += [pool.submit(double, x) for x in range(10)]
    for (function, exitcode, note), future in zip(CRASHES, crashing, strict=True):
        error = assert_died(future.exception(), exitcode, function.__name__)
        notes = "\n".join(getattr(error, "__notes__", []))
        if note:
            assert f"faulthandler in worker {error.pid}" in notes
            assert note in notes
        else:
            said = [line for line in notes.splitlines() if not line.startswith("onecopy: on ")]
            assert not (said if pool.hosts() else notes)  # a host's name is no news of a crash
    assert [f.result() for f in others] == [2 * x for x in range(10)] * 5
    with pytest.raises(oc.WorkerDied, match="exited with code 7"):
        pool.apply(exit_at_once, (None,))
    assert_goes_on(pool, error.pid)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_too_deep_to_pickle(make_pool: MakePool, process_method: str) -> None:
    """An error, on either way; not a crash."""
    pool = make_pool(process_method, 1)
    with pytest.raises(oc.NotPicklable, match="recursion"):
        pool.apply(len, (nested(100_000),))
    with pytest.raises(oc.NotPicklable, match="recursion"):
        pool.apply(nested, (100_000,))
    assert pool.apply(double, (1,)) == 2
    assert len(pool.pids()) == 1


def stop_me(pids: Array) -> None:
    pids[0] = os.getpid()
    os.kill(os.getpid(), signal.SIGSTOP)


def test_a_stopped_worker_with_a_timeout(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    pids = oc.zeros(1, "i8")
    future = pool.options(timeout=0.5).submit(stop_me, pids)
    others = [pool.submit(double, x) for x in range(10)]
    with pytest.raises(oc.TaskTimeout, match="stop_me"):
        future.result()
    assert [f.result() for f in others] == [2 * x for x in range(10)]
    assert_goes_on(pool, int(pids[0]))


def test_a_worker_that_was_stopped_before_it_got_its_task(make_pool: MakePool) -> None:
    """It is ended when the time is over, which runs from when the task was sent. With more to
    send than the socket takes, and more descriptors than one call passes: the sender must
    not wait for a worker that does not read."""
    pool = make_pool("forkserver", 1)
    arrays = [oc.full(1, number) for number in range(450)]
    worker = pool.apply(pid_of)
    (channel,) = channels_of(pool)
    channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    stop(worker)
    with pytest.raises(oc.TaskTimeout):
        pool.options(timeout=2).apply(len, (arrays,))
    assert pool.options(timeout=60).apply(len, (arrays,)) == 450
    assert_goes_on(pool, worker)


def grow(_: object) -> int:
    kept = [np.ones(1 << 20)]
    while len(kept) < 1000:
        kept.append(np.ones(1 << 20))
    return len(kept)


def test_a_worker_that_passes_its_memory_limit(make_pool: MakePool, process_method: str) -> None:
    """The others go on; the machine's own killer had nothing to do."""
    pool = make_pool(process_method)
    future = pool.options(memory_limit=300 << 20).submit(grow, 0)
    others = [pool.submit(double, x) for x in range(10)]
    error = future.exception()
    assert isinstance(error, oc.WorkerOutOfMemory)
    assert not error.oom
    assert error.memory is not None
    assert error.memory >= 300 << 20
    assert [f.result() for f in others] == [2 * x for x in range(10)]
    assert_goes_on(pool, error.pid)
