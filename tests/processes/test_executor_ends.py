"""The ends of a `ProcessPoolExecutor`: `shutdown`, the end of the program, the garbage
collector, `terminate_workers`, and what a forked child sees of it."""

from __future__ import annotations

import gc
import os
import signal
import threading
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import onecopy as oc
from onecopy.pool import Method
from tests import tasks
from tests.children import in_child
from tests.processes.conftest import MakeExecutor
from tests.scripts import assert_clean, run, until
from tests.tasks import Signs

pytestmark = pytest.mark.door

AFTER = "cannot schedule new futures after shutdown"


def gone(pids: list[int]) -> bool:
    return not any(map(psutil.pid_exists, pids))


class TestShutdown:
    def test_takes_no_more(self, make_executor: MakeExecutor, method: str) -> None:
        for used in (False, True):
            executor = make_executor(method)
            if used:
                executor.submit(tasks.same, 1)
            executor.shutdown()
            calls: list[Any] = [executor.submit, executor.map]
            for call in calls:
                with pytest.raises(RuntimeError, match=AFTER):
                    call(pow, [2], [5])
            executor.shutdown()
            executor.shutdown(wait=False, cancel_futures=True)
            assert "shut down" in repr(executor)

    def test_waits_for_all(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        pids = {executor.submit(os.getpid).result() for _ in range(20)}
        pending = [executor.submit(tasks.mul, at, 2) for at in range(200)]
        mapped = executor.map(tasks.same, range(200))
        executor.shutdown()
        assert all(future.done() for future in pending)
        assert [future.result() for future in pending] == list(range(0, 400, 2))
        assert list(mapped) == list(range(200))
        if method != "thread":
            assert gone(list(pids))

    def test_does_not_wait_when_told_so(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method, 1)
        pending = [executor.submit(tasks.meet, signs, at, 63, at) for at in range(5)]
        mapped = executor.map(tasks.same, range(50))
        executor.shutdown(wait=False)
        assert not any(future.done() for future in pending)
        with pytest.raises(RuntimeError, match=AFTER):
            executor.submit(tasks.same, 1)
        signs[63] = 1
        assert [future.result() for future in pending] == list(range(5))
        assert list(mapped) == list(range(50))
        executor.shutdown()

    def test_with_waits(self, make_executor: MakeExecutor, method: str) -> None:
        with make_executor(method) as executor:
            pending = [executor.submit(tasks.same, at) for at in range(50)]
        assert all(future.done() for future in pending)
        with pytest.raises(RuntimeError, match=AFTER), executor:
            executor.submit(tasks.same, 1)

    def test_with_passes_errors_on(self, make_executor: MakeExecutor) -> None:
        with pytest.raises(ZeroDivisionError), make_executor("fork") as executor:
            executor.submit(divmod, 1, 0).result()

    @pytest.mark.parametrize("wait", [True, False])
    def test_cancel_futures(
        self, make_executor: MakeExecutor, signs: Signs, method: str, wait: bool
    ) -> None:
        """Tasks that have begun are finished; the rest is cancelled, and waiting threads are told."""
        executor = make_executor(method, 1)
        running = executor.submit(tasks.meet, signs, 0, 1, "ran")
        pending = [executor.submit(tasks.same, at) for at in range(20)]
        pending[7].cancel()
        called: list[Any] = []
        pending[3].add_done_callback(lambda f: called.append(f.cancelled()))
        waiter = threading.Thread(target=lambda: called.append(futures.wait(pending)))
        waiter.start()
        until(lambda: bool(signs[0]))
        threading.Timer(0.01, partial(signs.__setitem__, 1, 1)).start()
        executor.shutdown(wait=wait, cancel_futures=True)
        waiter.join(60)
        assert called == [True, (set(pending), set())]
        assert all(future.cancelled() for future in pending)
        assert set(futures.as_completed(pending)) == set(pending)
        assert running.result() == "ran"
        executor.shutdown()

    def test_cancel_futures_of_a_map(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method, 1)
        mapped = executor.map(partial(tasks.meet, signs), range(3), [63] * 3, "abc")
        behind = executor.map(tasks.same, range(5))
        until(lambda: bool(signs[0]))
        executor.shutdown(wait=False, cancel_futures=True)
        signs[63] = 1
        assert next(mapped) == "a"
        with pytest.raises(futures.CancelledError):
            list(mapped)
        with pytest.raises(futures.CancelledError):
            next(behind)
        executor.shutdown()

    def test_cancel_futures_when_the_worker_then_dies(
        self, make_executor: MakeExecutor, signs: Signs, process_method: str
    ) -> None:
        executor = make_executor(process_method, 1)
        list(executor.map(partial(tasks.give, signs), range(50)))  # learns that it is quick
        pid = executor.submit(os.getpid).result()
        lost = executor.submit(tasks.meet, signs, 60, 61)
        mapped = executor.map(partial(tasks.give, signs), range(50))
        until(lambda: bool(signs[60]))
        executor.shutdown(wait=False, cancel_futures=True)
        os.kill(pid, signal.SIGKILL)
        assert isinstance(lost.exception(), oc.WorkerDied)
        with pytest.raises((futures.CancelledError, oc.WorkerDied)):
            list(mapped)
        executor.shutdown()

    def test_a_cancelled_future_does_not_hold_it_up(
        self, make_executor: MakeExecutor, method: str
    ) -> None:
        executor = make_executor(method, 1)
        executor.submit(int).result()
        executor.submit(int).cancel()
        executor.shutdown()

    def test_with_more_tasks_than_room(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        executor.map(str, [2] * 3)
        executor.shutdown()

    def test_from_a_callback(self, make_executor: MakeExecutor, method: str) -> None:
        """Without waiting; a callback cannot wait for the thread that it runs in."""
        executor = make_executor(method)
        said: list[Any] = []
        ended = threading.Event()

        def end(_: object) -> None:
            executor.shutdown(wait=False)
            ended.set()

        executor.submit(tasks.same, 1).add_done_callback(end)
        assert ended.wait(60)
        executor.shutdown()
        assert said == []


class TestForgotten:
    """No reference to the executor is left: what was submitted is done, then it ends."""

    def test_futures_come_to_an_end(
        self, make_executor: MakeExecutor, signs: Signs, method: Method
    ) -> None:
        executor = oc.ProcessPoolExecutor(1, method)
        pids = [executor.submit(os.getpid).result()]
        pending = [executor.submit(tasks.meet, signs, at, 63, at) for at in range(5)]
        mapped = executor.map(tasks.same, range(50))
        del executor
        gc.collect()
        signs[63] = 1
        assert [future.result() for future in pending] == list(range(5))
        assert list(mapped) == list(range(50))
        until(lambda: method == "thread" or gone(pids))

    def test_while_idle(self, method: Method) -> None:
        """The leak watch sees that its workers end."""
        oc.ProcessPoolExecutor(2, method).submit(tasks.same, 1).result()

    def test_before_its_workers_are_there(self, method: Method) -> None:
        oc.ProcessPoolExecutor(2, method).submit(tasks.same, 1)

    def test_when_workers_are_replaced(self, method: Method) -> None:
        executor = oc.ProcessPoolExecutor(2, method, max_tasks_per_child=1)
        pending = [executor.submit(tasks.same, at) for at in range(6)]
        del executor
        assert [future.result() for future in pending] == list(range(6))


class TestEndingTheWorkers:
    @pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
    def test_everything_unfinished_fails(
        self, make_executor: MakeExecutor, signs: Signs, method: str, how: str
    ) -> None:
        executor = make_executor(method, 1)
        pid = executor.submit(os.getpid).result()
        unfinished = [executor.submit(tasks.meet, signs, at, 63) for at in range(5)]
        mapped = executor.map(tasks.same, range(5))
        until(lambda: bool(signs[0]))
        getattr(executor, how)()
        for future in unfinished:
            with pytest.raises(BrokenProcessPool, match="ended by its owner"):
                future.result()
        with pytest.raises(BrokenProcessPool):
            next(mapped)
        with pytest.raises(RuntimeError, match=AFTER):
            executor.submit(tasks.same, 1)
        signs[63] = 1  # a thread cannot be ended in a task
        executor.shutdown()
        if method != "thread":
            assert gone([pid])
        getattr(executor, how)()

    @pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
    def test_one_that_was_never_started(self, method: Method, how: str) -> None:
        executor = oc.ProcessPoolExecutor(2, method)
        getattr(executor, how)()
        with pytest.raises(RuntimeError, match=AFTER):
            executor.submit(tasks.same, 1)

    def test_terminate_is_by_sigterm(
        self, make_executor: MakeExecutor, signs: Signs, process_method: str
    ) -> None:
        """A worker may have a handler for it; it ends even if that goes on."""
        executor = make_executor(process_method, 1, initializer=tasks.count_sigterm)
        executor.submit(tasks.meet_sigterm, signs, 0, 1)
        until(lambda: bool(signs[0]))
        executor.terminate_workers()
        until(lambda: bool(signs[1]))
        executor.shutdown()


PRELUDE = """
import os, sys, time
import onecopy as oc

METHOD = sys.argv[1]
executor = oc.ProcessPoolExecutor(2, METHOD)

def say(text):
    time.sleep(0.05)
    os.write(1, text.encode() + b"\\n")
"""


class TestTheProgramEnds:
    """Not until everything is done, whatever became of the executor."""

    @pytest.mark.parametrize(
        ("end", "said"),
        {
            "with work pending": ("for _ in range(4): executor.submit(say, 'done')", "done " * 4),
            "with a map pending": ("executor.map(say, ['done'] * 4)", "done " * 4),
            "shut down without waiting": (
                "for _ in range(4): executor.submit(say, 'done')\nexecutor.shutdown(wait=False)\n",
                "done " * 4,
            ),
            "forgotten": ("executor.submit(say, 'done'); del executor", "done"),
            "in a cycle": (
                "executor.submit(say, 'done'); c = [executor]; c.append(c); del c, executor",
                "done",
            ),
            "never used": ("", ""),
            "idle": ("executor.submit(say, 'done').result()", "done"),
            "by sys.exit": ("executor.submit(say, 'done'); sys.exit(0)", "done"),
            "from a thread that is still there": (
                "import threading\n"
                "main = threading.current_thread()\n"
                "executor.submit(say, 'done')\n"
                "def late():\n"
                "    main.join()\n"
                "    try:\n"
                "        while True: executor.submit(int).result()\n"
                "    except RuntimeError as error: print(error)\n"
                "threading.Thread(target=late).start()\n",
                "done cannot schedule new futures after interpreter shutdown",
            ),
            "with a handler that wants more": (
                "import atexit\n"
                "@atexit.register\n"
                "def last():\n"
                "    try: executor.submit(id, None)\n"
                "    except RuntimeError as error: print(error)\n"
                "executor.submit(say, 'done')\n",
                "done cannot schedule new futures after interpreter shutdown",
            ),
        }.values(),
    )
    def test_when_all_is_done(self, tmp_path: Path, method: str, end: str, said: str) -> None:
        done = run(tmp_path, PRELUDE + end, method)
        if "last" in end or "late" in end:
            done.stdout = " ".join(sorted(done.stdout.split("\n"), key=len))
        assert_clean(_on_one_line(done), said.strip())

    def test_cancelled_work_is_not_waited_for(self, tmp_path: Path, method: str) -> None:
        end = """
first = executor.submit(say, "first")
while not first.running(): pass
for _ in range(10_000): executor.submit(say, "never")
executor.shutdown(wait=False, cancel_futures=True)
"""
        done = run(tmp_path, PRELUDE + end, method)
        assert (done.returncode, done.stderr) == (0, "")
        assert "first" in done.stdout
        assert done.stdout.count("never") < 50

    def test_no_main_guard_and_functions_of_main(self, tmp_path: Path, method: str) -> None:
        body = "K = 3\nprint(list(executor.map(lambda x: x * K, range(3))))"
        assert_clean(run(tmp_path, PRELUDE + body, method), "[0, 3, 6]")


def _on_one_line(done: Any) -> Any:
    done.stdout = " ".join(done.stdout.split())
    return done


class TestForkedChild:
    def test_the_parent_s_is_not_usable(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        done = executor.submit(tasks.same, 5)
        assert done.result() == 5

        def act() -> None:
            assert done.result() == 5
            for call in (executor.submit, executor.map):
                with pytest.raises(RuntimeError, match="belongs to the process that made it"):
                    call(tasks.same, [1])
            executor.shutdown(cancel_futures=True)
            executor.kill_workers()

        assert in_child(act) == 0
        assert executor.submit(tasks.same, 6).result() == 6

    def test_one_without_workers_is(self, process_method: Method) -> None:
        executor = oc.ProcessPoolExecutor(1, process_method)

        def act() -> None:
            assert executor.submit(tasks.same, 5).result() == 5
            executor.shutdown()

        assert in_child(act) == 0

    def test_held_locks_do_not_matter(self, make_executor: MakeExecutor, method: str) -> None:
        """Forked while other threads submit."""
        executor = make_executor(method)
        executor.submit(tasks.same, 1).result()
        stop = threading.Event()

        def use() -> None:
            while not stop.is_set():
                executor.submit(tasks.same, 1).result()

        threads = [threading.Thread(target=use) for _ in range(2)]
        for thread in threads:
            thread.start()

        def act() -> None:
            with pytest.raises(RuntimeError):
                executor.submit(tasks.same, 1)
            executor.shutdown()

        try:
            assert [in_child(act) for _ in range(10)] == [0] * 10
        finally:
            stop.set()
            for thread in threads:
                thread.join()
