"""Processes other than workers that come and go: the zygote killed, the user's own forks,
pools within workers.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import onecopy as oc
from onecopy._engine import future as future_module
from onecopy.pool import Method
from tests.arrays import Array
from tests.conftest import MakePool
from tests.faults import engine_of, state_of, stop, zygote_of
from tests.pooled import double
from tests.scripts import assert_clean, run, until

KEPT: dict[str, Any] = {}


def pid_of(_: object = None) -> int:
    return os.getpid()


def begin(marks: Array, at: int) -> int:
    """Tells its pid; hangs the first time."""
    first = not marks[at]
    marks[at] = os.getpid()
    if first:
        threading.Event().wait()
    return int(marks[at])


# The zygote.


def test_a_killed_zygote(make_pool: MakePool) -> None:
    """Its workers go with it, and what they ran; the rest goes on with a new one."""
    pool = make_pool("forkserver")
    done = [pool.submit(np.arange, 100_000) for _ in range(4)]
    until(lambda: all(f.done() for f in done), "finished before")
    marks = oc.zeros(2, "i8")
    running = pool.submit(begin, marks, 0)
    again = pool.options(retries=1).submit(begin, marks, 1)
    until(lambda: bool(marks.all()), "both workers are busy")
    workers = set(pool.pids())
    waiting = [pool.submit(double, x) for x in range(50)]
    os.kill(zygote_of(int(marks[0])), signal.SIGKILL)
    with pytest.raises(oc.WorkerDied, match="begin"):
        running.result()
    assert again.result() not in workers
    assert [f.result() for f in waiting] == [2 * x for x in range(50)]
    assert all(len(f.result()) == 100_000 for f in done)
    assert not workers & set(pool.pids())
    until(lambda: not any(map(alive, workers)), "the old workers have gone")


def none_alive(pids: list[int]) -> bool:
    return not any(map(alive, pids))


def alive(pid: int) -> bool:
    return state_of(pid) not in ("", "Z", "X")


def test_a_zygote_that_is_killed_again_and_again(make_pool: MakePool) -> None:
    pool = make_pool("forkserver")
    for _ in range(3):
        worker = pool.apply(pid_of)
        workers = pool.pids()
        os.kill(zygote_of(worker), signal.SIGKILL)
        until(partial(none_alive, workers), "its workers have gone")
        assert pool.map(double, range(6), chunksize=1) == [0, 2, 4, 6, 8, 10]


def tell_and_wait(marks: Array) -> None:
    """An initializer that is at work until the owner lets it end."""
    with open("/proc/self/stat") as stat:
        marks[1] = int(stat.read().rpartition(")")[2].split()[1])
    until(lambda: bool(marks[0]), "the owner says go")


def test_a_zygote_that_is_killed_while_workers_start(make_pool: MakePool) -> None:
    """None of them was ready; that is one failed start and not one for each."""
    marks = oc.zeros(2, "i8")
    pool = make_pool("forkserver", 5, initializer=tell_and_wait, initargs=(marks,))
    future = pool.submit(double, 1)
    until(lambda: bool(marks[1]) and len(pool.pids()) == 5, "all are there, none is ready")
    workers = pool.pids()
    os.kill(int(marks[1]), signal.SIGKILL)
    until(lambda: none_alive(workers), "they have gone")
    marks[0] = 1
    assert future.result() == 2


def end_zygote(owner: int) -> None:
    parent = psutil.Process(os.getppid())
    # Another worker may have been quicker: then this one has been adopted by a stranger.
    if parent.ppid() == owner:
        parent.kill()
    threading.Event().wait()


def test_a_zygote_that_never_lasts(make_pool: MakePool) -> None:
    """An error, and no endless row of new ones."""
    pool = make_pool("forkserver", initializer=end_zygote, initargs=(os.getpid(),))
    with pytest.raises(oc.InitializerFailed, match="no worker became ready"):
        pool.apply(double, (1,))


def test_the_zygote_of_fork_cannot_be_made_again(make_pool: MakePool) -> None:
    pool = make_pool("fork")
    done = pool.submit(double, 4)
    assert done.result() == 8
    os.kill(zygote_of(pool.apply(pid_of)), signal.SIGKILL)
    until(lambda: engine_of(pool).core.closed, "it is noticed")
    with pytest.raises(oc.InitializerFailed, match="make the pool again"):
        pool.apply(double, (1,))
    with pytest.raises(oc.InitializerFailed):
        pool.submit(double, 1)
    assert done.result() == 8


# The user's own processes.


def in_child(act: Callable[[], object]) -> str:
    """The output of ``act`` in a child that is forked now and exits as programs do."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(read)
            signal.alarm(30)  # one that waits for ever is ended, and fails the test
            try:
                said = repr(act())
            except BaseException as error:
                said = repr(error)
            os.write(write, said.encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    assert os.waitpid(pid, 0)[1] == 0
    return said


def test_every_call_of_an_inherited_pool_is_refused(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method)
    stream = pool.imap(double, iter(range(1000)))
    assert next(stream) == 0
    calls: list[Callable[[], object]] = [
        lambda: pool.apply(double, (1,)),
        lambda: pool.submit(double, 1),
        lambda: pool.options(retries=1).apply_async(double, (1,)),
        lambda: pool.map(double, [1]),
        lambda: pool.map_async(double, [1]),
        lambda: next(pool.imap(double, [1])),
        lambda: [*stream],
    ]
    for call in calls:
        assert "make one here" in in_child(call)

    def end() -> str:
        pool.terminate()
        pool.join()
        return "ended"

    assert in_child(end) == "'ended'"
    assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
    assert [*stream] == [2 * x for x in range(1, 1000)]


def test_a_future_that_a_child_inherits(make_pool: MakePool, process_method: str) -> None:
    """Nothing will ever end it there, so it has ended with an error."""
    pool = make_pool(process_method)
    go = oc.zeros(1, "i8")
    running = pool.submit(wait_for_go, go)
    waited = pool.submit(wait_for_go, go)
    waited.add_done_callback(lambda _: None)  # it has a condition variable now
    done = pool.submit(double, 1)
    for future in (running, waited):
        assert "make one here" in in_child(future.result)
    go[0] = 1
    assert running.result() == waited.result() == "gone"
    assert done.result() == 2
    assert in_child(done.result) == "2"


def wait_for_go(marks: Array) -> str:
    until(lambda: bool(marks[0]), "the owner says go")
    return "gone"


def test_a_child_makes_a_pool_of_its_own(make_pool: MakePool, process_method: str) -> None:
    """Although other threads held our locks at the moment of the fork."""
    pool = make_pool(process_method)
    assert pool.apply(double, (1,)) == 2
    data = oc.share(np.arange(1000.0))
    held, release = threading.Event(), threading.Event()
    engine: Any = pool._engine  # of processes, or of hosts

    def hold() -> None:
        with engine.core.lock, future_module._making:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()

    def own() -> float:
        with oc.Pool(1, method="fork") as mine:
            return float(mine.submit(np.sum, data).result() + mine.apply(double, (1,)))

    try:
        assert in_child(own) == repr(float(data.sum()) + 2)
    finally:
        release.set()
        thread.join()
    assert pool.apply(double, (2,)) == 4


def test_freeze_in_a_child(make_pool: MakePool) -> None:
    """The array is the parent's, and stays open."""
    pool = make_pool("fork")
    array = oc.zeros(10)
    assert pool.apply(len, (array,)) == 10
    assert "NotShared" in in_child(lambda: oc.freeze(array))
    array[0] = 5
    assert pool.apply(np.sum, (array,)) == 5


MULTIPROCESSING = """
import multiprocessing, os, sys
import numpy as np, onecopy as oc

def child(data, queue):
    queue.put(float(data.sum()))
    with oc.Pool(1, method="fork") as pool:
        queue.put(float(pool.apply(np.sum, (data,))))

def double(x):
    return 2 * x

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    data = oc.share(np.arange(1000.0))
    with oc.Pool(2, method=sys.argv[1]) as pool:
        futures = [pool.submit(double, x) for x in range(100)]
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(data, queue))
        process.start()
        futures += [pool.submit(double, x) for x in range(100)]
        got = queue.get(), queue.get()
        process.join()
        assert process.exitcode == 0
        assert got == (data.sum(), data.sum()), got
        assert [f.result() for f in futures] == [2 * x for x in range(100)] * 2
        assert pool.map(double, range(10)) == [2 * x for x in range(10)]
    print("done")
"""


def test_a_multiprocessing_process_beside_a_pool(tmp_path: Path, process_method: str) -> None:
    assert_clean(run(tmp_path, MULTIPROCESSING, process_method), "done")


def ask_inherited(_: object) -> str:
    try:
        KEPT["pool"].apply(double, (1,))
    except oc.PoolClosed as error:
        return str(error)
    return "it answered"


def test_a_task_uses_a_pool_that_its_worker_inherited(
    make_pool: MakePool, process_method: str
) -> None:
    KEPT["pool"] = first = make_pool(process_method)
    try:
        assert first.apply(double, (1,)) == 2
        second = make_pool("fork")
        assert "make one here" in second.apply(ask_inherited, (0,))
        assert second.map(double, range(5)) == first.map(double, range(5))
    finally:
        KEPT.clear()


def return_twice(_: object) -> int:
    """The child returns from the task as well, to a worker that it is not."""
    os.fork()
    return 1


def test_a_task_that_forks_and_returns_in_both(
    make_pool: MakePool, process_method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(process_method, 1)
    worker = pool.apply(pid_of)
    assert [pool.apply(return_twice, (0,)) for _ in range(3)] == [1, 1, 1]
    assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
    assert pool.apply(pid_of) == worker
    pool.terminate()
    pool.join()
    capfd.readouterr()


def hang_in_pool(marks: Array, method: Method) -> None:
    with oc.Pool(1, method=method) as pool:
        pool.apply(begin, (marks, 0))


@pytest.mark.parametrize("inner", ["fork", "forkserver", "spawn"])
def test_a_worker_with_a_pool_of_its_own_is_killed(make_pool: MakePool, inner: Method) -> None:
    """Nothing of the inner pool stays."""
    pool = make_pool("forkserver", 1)
    marks = oc.zeros(1, "i8")
    future = pool.submit(hang_in_pool, marks, inner)
    until(lambda: bool(marks[0]), "the inner worker is at it")
    family = psutil.Process(pool.pids()[0]).children(recursive=True)
    assert int(marks[0]) in {process.pid for process in family}
    os.kill(pool.pids()[0], signal.SIGKILL)
    assert isinstance(future.exception(), oc.WorkerDied)
    assert pool.apply(double, (1,)) == 2
    until(lambda: not any(alive(process.pid) for process in family), "all have gone")


def test_terminate_after_a_running_task_was_cancelled(make_pool: MakePool) -> None:
    """Tasks that wait behind it end as well; a new worker may be quick enough to run some."""
    marks = oc.zeros(1, "i8")
    for _ in range(5):
        pool = make_pool("fork", 1)
        marks[0] = 0
        running = pool.submit(begin, marks, 0)
        waiting = [pool.submit(double, x) for x in range(5)]
        until(lambda: bool(marks[0]), "it has begun")
        stop(int(marks[0]))
        assert pool.cancel(running)
        pool.terminate()
        pool.join()
        assert running.cancelled()
        assert all(f.done() for f in waiting)


def test_nothing_begins_while_a_pool_is_terminated(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look at its memory takes a while."""
    marks = oc.zeros(2, "i8")
    pool = make_pool("fork", 1)
    watch = engine_of(pool).history.watch
    assert watch is not None

    def finish() -> None:
        os.kill(int(marks[0]), signal.SIGKILL)  # its place is free
        until(lambda: bool(marks[1]) or waiting.done(), "the next has begun or ended")
        again()

    again = watch.finish
    monkeypatch.setattr(watch, "finish", finish)
    running = pool.submit(begin, marks, 0)
    waiting = pool.submit(begin, marks, 1)
    until(lambda: bool(marks[0]), "it has begun")
    pool.terminate()
    pool.join()
    assert isinstance(running.exception(), oc.PoolClosed)
    assert waiting.cancelled()
    assert not marks[1]
