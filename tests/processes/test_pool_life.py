"""The pool, one body over every start method: errors, deaths, its life, its start methods."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._engine.history import History
from onecopy.errors import BrokenWorker, RemoteTraceback
from onecopy.pool import Method
from tests.conftest import MakePool
from tests.pooled import KEPT, add, double, fail_on_odd, use

pytestmark = pytest.mark.door


STATE: list[int] = []


def test_work_that_a_with_block_drops_is_reported(
    make_pool: MakePool, process_method: Method, capsys: pytest.CaptureFixture[str]
) -> None:
    with make_pool(process_method) as pool:
        pool.submit(abs, 1).result()
    assert capsys.readouterr().err == ""
    with make_pool(process_method) as pool:
        pool.map_async(time.sleep, [600] * 3, chunksize=1)
    said = capsys.readouterr().err
    assert said.startswith("onecopy: 3 tasks of a pool had not ended at the end of its with block")
    with contextlib.suppress(ZeroDivisionError), make_pool(process_method) as pool:
        pool.submit(time.sleep, 600)
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""


def pid_of(_: object = None) -> int:
    return os.getpid()


def remember(value: int) -> None:
    STATE.append(value)


def remembered() -> list[int]:
    return list(STATE)


def remembered_of(_: int) -> list[int]:
    return list(STATE)


def begin_and_hang(begun: np.ndarray[Any, Any]) -> None:
    begun[0] = os.getpid()
    time.sleep(600)


def keep(array: np.ndarray[Any, Any]) -> None:
    KEPT.append(array)


def end_at_once() -> None:
    os._exit(4)  # called here: coverage puts a closure that cannot be sent in its place


class Unrebuildable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_unrebuildable() -> None:
    raise Unrebuildable(1, 2)


class TestErrors:
    def test_with_the_worker_s_traceback_and_the_argument(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        for call in (
            lambda: pool.apply(fail_on_odd, (3,)),
            lambda: pool.submit(fail_on_odd, 3).result(),
            lambda: pool.map(fail_on_odd, [0, 2, 3]),
        ):
            with pytest.raises(ValueError, match="odd: 3") as caught:
                call()
            cause = caught.value.__cause__
            assert isinstance(cause, RemoteTraceback)
            assert 'raise ValueError(f"odd: {x}")' in str(cause)
            assert "fail_on_odd, argument int: 3" in str(cause)

    def test_the_argument_s_repr_is_short(self, make_pool: MakePool, process_method: str) -> None:
        pool = make_pool(process_method)
        with pytest.raises(TypeError) as caught:
            pool.apply(fail_on_odd, (["x" * 100] * 1000,))
        assert "argument list: <list of 1000>" in str(caught.value.__cause__)
        with pytest.raises(ValueError, match="ambiguous") as caught2:
            pool.apply(fail_on_odd, (np.ones((300, 3)),))
        assert "ndarray float64 (300, 3)" in str(caught2.value.__cause__)

    def test_an_exception_whose_class_insists_on_other_arguments(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        with pytest.raises(Unrebuildable, match=r"^1 and 2$") as caught:
            pool.apply(raise_unrebuildable)
        assert "raise Unrebuildable(1, 2)" in str(caught.value.__cause__)
        assert pool.apply(double, (1,)) == 2

    def test_what_cannot_be_pickled_is_named(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        lock: Any = threading.Lock()
        held: Any = {"a": [0, lock]}
        with pytest.raises(oc.NotPicklable, match=r"argument 1\['a'\]\[1\] \(a lock\)"):
            pool.submit(add, 1, held)
        with pytest.raises(oc.NotPicklable, match=r"argument 'b' \(a lock\)"):
            pool.apply(add, (1,), {"b": lock})
        with pytest.raises(oc.NotPicklable, match=r"function .*captured variable 'lock'"):
            pool.map(lambda x: (x, lock), [1])
        with pytest.raises(oc.NotPicklable, match=r"\(a lock\)"):
            pool.map(double, [1, lock])
        with pytest.raises(oc.NotPicklable, match=r"result\['key'\] \(a lock\)"):
            pool.apply(lambda: {"key": threading.Lock()})
        with pytest.raises(oc.NotPicklable, match=r"\(a lock\)"):
            pool.map(lambda x: threading.Lock() if x == 5 else x, range(10))
        assert pool.map(double, [1]) == [2]

    def test_a_good_result_beside_an_unpicklable_one_survives(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        stream = pool.imap(lambda x: threading.Lock() if x == 1 else x, range(3), chunksize=3)
        assert next(stream) == 0
        with pytest.raises(oc.NotPicklable):
            next(stream)
        assert next(stream) == 2

    def test_clear_errors_at_the_call(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        for call in (pool.submit, pool.apply):
            with pytest.raises(TypeError, match="must be callable, not an int"):
                call(3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be callable"):
            pool.map(None, [1])  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="at least 1 item"):
            pool.map(double, [1], chunksize=0)

    def test_bad_pools(self) -> None:
        for workers in (0, -3):
            with pytest.raises(ValueError, match="at least 1 worker"):
                oc.Pool(workers)
        with pytest.raises(ValueError, match="unknown start method 'forks'"):
            oc.Pool(1, method="forks")  # type: ignore[arg-type]  # refused
        with pytest.raises(TypeError, match="initializer must be callable"):
            oc.Pool(1, initializer=3)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="at least 1 or None"):
            oc.Pool(1, maxtasksperchild=0)

    def test_a_keyboard_interrupt_in_a_task_is_just_an_error(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        pool = make_pool(process_method)
        with pytest.raises(KeyboardInterrupt):
            pool.apply(interrupt)
        assert pool.apply(double, (1,)) == 2


class TestDeaths:
    @pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "exit"])
    def test_a_killed_worker_costs_its_own_task(
        self, make_pool: MakePool, process_method: str, how: str
    ) -> None:
        def end(x: int) -> int:
            if x != 50:
                return x
            if how == "exit":
                os._exit(7)
            os.kill(os.getpid(), getattr(signal, how))
            raise AssertionError("not reached")

        pool = make_pool(process_method)
        futures: list[Future[int]] = [pool.submit(end, x) for x in range(100)]
        for x, future in enumerate(futures):
            if x != 50:
                assert future.result() == x
                continue
            with pytest.raises(oc.WorkerDied) as caught:
                future.result()
            error = caught.value
            assert error.exitcode == (7 if how == "exit" else -getattr(signal, how))
            assert "end" in error.task
            assert str(error.pid) in str(error)
            assert not error.oom
        assert pool.apply(double, (4,)) == 8
        assert error.pid not in pool.pids()

    def test_sys_exit_in_a_task_ends_the_worker(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        def leave() -> None:
            raise SystemExit(3)

        pool = make_pool(process_method)
        with pytest.raises(oc.WorkerDied, match="exited with code 3"):
            pool.apply(leave)
        assert pool.apply(double, (1,)) == 2

    def test_a_worker_killed_while_idle_costs_nothing(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        for _ in range(3):
            pids = pool.map(pid_of, range(8), chunksize=1)
            os.kill(pids[0], signal.SIGKILL)
            assert pool.map(double, range(8), chunksize=1) == [2 * i for i in range(8)]

    def test_in_a_map_the_others_are_run(self, make_pool: MakePool, process_method: str) -> None:
        out = oc.zeros(60, "i8")

        def mark(i: int) -> None:
            out[i] += 1
            if i == 30:
                os.kill(os.getpid(), signal.SIGKILL)

        pool = make_pool(process_method)
        with pytest.raises(oc.WorkerDied, match="item 30"):
            pool.map(mark, range(60), chunksize=1)
        assert (out == 1).all(), "each item once, the lost one included"

    def test_what_a_dead_worker_returned_lives_on(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method, workers=1)
        result = pool.apply(np.arange, (1_000_000,))
        os.kill(pool.pids()[0], signal.SIGKILL)
        assert pool.apply(double, (1,)) == 2
        pool.terminate()
        pool.join()
        np.testing.assert_array_equal(result, np.arange(1_000_000))
        result[:] = 0

    def test_a_worker_that_dies_while_others_wait_for_it(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        begun = oc.zeros(1, "i8")
        pool = make_pool(process_method, workers=1)
        victim = pool.submit(begin_and_hang, begun)
        waiting = [pool.submit(double, i) for i in range(20)]
        while not begun[0]:
            time.sleep(0.001)  # a word in shared memory: there is no event to wait for
        os.kill(int(begun[0]), signal.SIGKILL)
        assert [f.result() for f in waiting] == [2 * i for i in range(20)]
        with pytest.raises(oc.WorkerDied, match="SIGKILL"):
            victim.result()


class TestLife:
    def test_initializer(self, make_pool: MakePool, method: str) -> None:
        STATE.clear()
        pool = make_pool(method, initializer=remember, initargs=(5,))
        expected = [5, 5] if method == "thread" else [5]
        states = pool.map(remembered_of, range(20), chunksize=1)
        assert all(state in ([5], expected) for state in states)
        STATE.clear()

    def test_initializer_with_a_large_array_in_memory_once(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method, initializer=keep, initargs=(np.zeros(200_000),))
        assert pool.map(use, range(10)) == [(1.0, True)] * 10
        assert pool.stats().bytes_copied == 0

    @pytest.mark.parametrize("where", ["apply", "submit", "map"])
    def test_an_initializer_that_raises(self, make_pool: MakePool, method: str, where: str) -> None:
        pool = make_pool(method, initializer=fail_on_odd, initargs=(1,))
        call: Callable[[], Any] = {
            "map": lambda: pool.map(double, range(5)),
            "submit": lambda: pool.submit(double, 1).result(),
            "apply": lambda: pool.apply(double, (1,)),
        }[where]
        with pytest.raises(oc.InitializerFailed, match="odd: 1") as caught:
            call()
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(oc.InitializerFailed):
            pool.submit(double, 1)

    def test_an_initializer_that_kills_its_worker(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method, initializer=end_at_once)
        with pytest.raises(oc.InitializerFailed, match="exited with code 4"):
            pool.map(double, range(5))

    def test_close_then_join_finishes_the_work(self, make_pool: MakePool, method: str) -> None:
        pool = make_pool(method)
        futures = [pool.submit(double, i) for i in range(300)]
        pool.close()
        with pytest.raises(oc.PoolClosed):
            pool.submit(double, 1)
        pool.join()
        assert [f.result(timeout=0) for f in futures] == [2 * i for i in range(300)]

    def test_join_needs_close(self, make_pool: MakePool, method: str) -> None:
        with pytest.raises(ValueError, match="still running"):
            make_pool(method).join()

    def test_terminate_does_not_wait(self, make_pool: MakePool, process_method: str) -> None:
        pool = make_pool(process_method)
        running = [pool.submit(time.sleep, 600) for _ in range(2)]
        waiting = pool.submit(double, 1)
        pool.terminate()
        pool.join()
        futures: list[Future[Any]] = [*running, waiting]
        for future in futures:
            assert future.cancelled() or isinstance(future.exception(), oc.PoolClosed)
        assert waiting.cancelled()
        with pytest.raises(oc.PoolClosed):
            pool.map(double, [1])

    def test_as_a_context_manager(self, method: Method) -> None:
        with oc.Pool(2, method=method) as pool:
            assert pool.map(double, [1, 2]) == [2, 4]
        with pytest.raises(oc.PoolClosed):
            pool.apply(double, (1,))
        with pytest.raises(oc.PoolClosed), pool:
            pass

    def test_a_pool_that_nobody_holds_ends(self, method: Method) -> None:
        pool = oc.Pool(2, method=method)
        assert pool.map(double, [1]) == [2]
        engine = pool._engine
        del pool
        assert engine.join(30)

    def test_a_worker_is_replaced_after_its_share(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method, workers=2, maxtasksperchild=3)
        pids = pool.map(pid_of, range(30), chunksize=1)
        assert len(set(pids)) >= 10
        assert max(pids.count(pid) for pid in pids) <= 3

    def test_a_child_of_the_owner_cannot_use_the_pool(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        assert pool.apply(double, (1,)) == 2
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                pool.apply(double, (1,))
            except oc.PoolClosed as error:
                os.write(write, str(error).encode())
            finally:
                pool.terminate()
                os._exit(0)
        os.waitpid(pid, 0)
        os.close(write)
        with open(read, "rb") as pipe:
            assert b"make one here" in pipe.read()
        assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]

    def test_a_worker_makes_a_pool_of_its_own(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        def inner(data: np.ndarray[Any, Any]) -> float:
            with oc.Pool(2, method="fork") as pool:
                return float(pool.map_blocks(np.sum, data, block=1000, reduce="sum"))

        data = oc.share(np.arange(10_000.0))
        assert make_pool(process_method).apply(inner, (data,)) == data.sum()

    def test_a_task_that_forks_does_not_hold_the_socket(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        def orphan() -> int:
            pid = os.fork()
            if not pid:
                time.sleep(600)
            return pid

        pool = make_pool(process_method, workers=1)
        child = pool.apply(orphan)
        worker = pool.pids()[0]
        os.kill(worker, signal.SIGKILL)
        assert pool.apply(double, (1,)) == 2
        os.kill(child, signal.SIGKILL)


class TestMethods:
    def test_workers_see_the_caller_s_state(self, make_pool: MakePool, process_method: str) -> None:
        """Its value at each call, under every method; replacements see it too."""
        STATE.append(42)
        try:
            pool = make_pool(process_method)
            assert pool.apply(remembered) == [42]
            STATE.append(43)
            assert pool.apply(remembered) == [42, 43]
            os.kill(pool.pids()[0], signal.SIGKILL)
            states = pool.map(remembered_of, range(10), chunksize=1)
            assert states == [[42, 43]] * 10
        finally:
            STATE.clear()

    def test_modules_as_imported(self, make_pool: MakePool, process_method: str) -> None:
        """Without state that follows: as a fork or an import leaves them."""
        STATE.append(42)
        try:
            pool = make_pool(process_method, state="import")
            STATE.append(43)
            expected = [42] if process_method == "fork" else []
            assert pool.apply(remembered) == expected
        finally:
            STATE.clear()

    def test_auto_is_the_user_s_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import multiprocessing

        monkeypatch.setattr(multiprocessing, "get_start_method", lambda **_: "spawn")
        with oc.Pool(1) as pool:
            assert pool.method == "spawn"

    def test_threads_use_the_caller_s_own_objects(self, make_pool: MakePool) -> None:
        value = object()
        assert make_pool("thread").apply(lambda x: x, (value,)) is value

    def test_native_threads_are_capped(self, make_pool: MakePool, process_method: str) -> None:
        threadpoolctl = pytest.importorskip("threadpoolctl")

        def threads(_: int) -> list[int]:
            import numpy  # noqa: F401 (loads BLAS)

            return [info["num_threads"] for info in threadpoolctl.threadpool_info()]

        workers = oc.cpu_count()
        for found in make_pool(process_method, workers=workers).map(threads, range(4)):
            assert found
            assert all(count == 1 for count in found)


@pytest.mark.parametrize("way", ["submit", "map", "imap", "apply"])
def test_a_bug_in_the_records_keeps_no_caller_waiting(
    make_pool: MakePool, process_method: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def bug(*_: object) -> None:
        raise IndexError("a bug")

    pool: Any = make_pool(process_method, 2)
    assert pool.map(abs, range(-4, 0)) == [4, 3, 2, 1]
    monkeypatch.setattr(History, "record", bug)
    monkeypatch.setattr(History, "record_calls", bug)
    monkeypatch.setattr(threading, "excepthook", lambda told: None)  # the driver's end
    ways: dict[str, Callable[[], Any]] = {
        "submit": lambda: [each.result(60) for each in [pool.submit(abs, -1) for _ in range(40)]],
        "map": lambda: pool.map(abs, range(-40, 0), chunksize=1),
        "imap": lambda: list(pool.imap(abs, range(-40, 0))),
        "apply": lambda: [pool.apply(abs, (-1,)) for _ in range(40)],
    }

    def until_it_fails() -> None:
        while True:
            ways[way]()

    # The thread that reads an outcome meets the bug: the caller's, or the driver.
    with pytest.raises((IndexError, BrokenWorker)):
        until_it_fails()
