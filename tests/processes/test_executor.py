"""`ProcessPoolExecutor`: what is documented of its constructor, of `submit`, and of futures.

One test for each statement of the documentation of `concurrent.futures` (3.14), and what
CPython's own tests hold its executor to. `map` is in `test_executor_map.py`; how executors
end in `test_executor_ends.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
import weakref
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import psutil
import pytest

import onecopy as oc
from onecopy.errors import BrokenWorker
from onecopy.pool import Method
from tests import tasks
from tests.processes.conftest import MakeExecutor
from tests.scripts import until
from tests.tasks import Signs

pytestmark = pytest.mark.door

GLOBAL = "as imported"


def look() -> str:
    return GLOBAL


def pid_of_me(_: int) -> int:
    return os.getpid()


class TestConstructor:
    def test_has_the_documented_face(self) -> None:
        assert issubclass(oc.ProcessPoolExecutor, futures.Executor)
        ours = inspect.signature(oc.ProcessPoolExecutor)
        assert list(ours.parameters) == [
            "max_workers",
            "mp_context",
            "initializer",
            "initargs",
            "max_tasks_per_child",
            "logs",
            "prints",
            "preload",
            "main",
            "state",
            "reseed",
            "progress",
            "profile",
            "worker_exit",
            "cluster",
            "reruns",
            "files",
            "hosts_timeout",
            "others",
        ]
        for name in ("max_tasks_per_child", "logs", "prints", "preload", "main", "state"):
            assert ours.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
        mapping = inspect.signature(oc.ProcessPoolExecutor.map).parameters
        defaults = {name: mapping[name].default for name in ("timeout", "chunksize", "buffersize")}
        assert defaults == {"timeout": None, "chunksize": 1, "buffersize": None}

    def test_max_workers_default_is_the_cpu_count(self) -> None:
        with oc.ProcessPoolExecutor() as executor:
            assert str(oc.cpu_count()) in repr(executor)

    @pytest.mark.parametrize("number", [0, -1])
    def test_max_workers_is_positive(self, number: int) -> None:
        with pytest.raises(ValueError, match="max_workers must be greater than 0"):
            oc.ProcessPoolExecutor(max_workers=number)

    def test_the_initializer_is_callable(self) -> None:
        with pytest.raises(TypeError, match="initializer must be a callable"):
            oc.ProcessPoolExecutor(initializer=5)  # type: ignore[call-overload]

    def test_max_tasks_per_child_is_a_positive_integer(self) -> None:
        with pytest.raises(TypeError, match="must be an integer"):
            oc.ProcessPoolExecutor(max_tasks_per_child="1")  # type: ignore[call-overload]
        with pytest.raises(ValueError, match=">= 1"):
            oc.ProcessPoolExecutor(max_tasks_per_child=0)

    def test_a_context_of_each_start_method(self, process_method: Method) -> None:
        for context in (multiprocessing.get_context(process_method), process_method):
            assert f"by {process_method}," in repr(oc.ProcessPoolExecutor(1, context))

    def test_no_context_at_all(self) -> None:
        with pytest.raises(ValueError, match="unknown start method 'no such'"):
            oc.ProcessPoolExecutor(mp_context="no such")  # type: ignore[call-overload]  # refused
        with pytest.raises(TypeError, match="mp_context must be a multiprocessing context"):
            oc.ProcessPoolExecutor(mp_context=5)  # type: ignore[call-overload]

    def test_workers_start_at_the_first_call(self, make_executor: MakeExecutor) -> None:
        global GLOBAL
        before = psutil.Process().children(recursive=True)
        executor = make_executor("fork")
        assert psutil.Process().children(recursive=True) == before
        GLOBAL = "when first used"
        assert executor.submit(look).result() == "when first used"

    def test_no_more_workers_than_max_workers(
        self, make_executor: MakeExecutor, signs: Signs, process_method: str
    ) -> None:
        executor = make_executor(process_method, 2)
        waiting = [executor.submit(tasks.meet, signs, 0, 1, at) for at in range(30)]
        pids = [executor.submit(os.getpid) for _ in range(100)]
        signs[1] = 1
        assert [future.result() for future in waiting] == list(range(30))
        assert len({future.result() for future in pids}) <= 2

    def test_max_tasks_per_child(self, make_executor: MakeExecutor, process_method: str) -> None:
        executor = make_executor(process_method, 1, max_tasks_per_child=3)
        pids = [executor.submit(os.getpid).result() for _ in range(7)]
        assert len(set(pids)) == 3
        assert pids[0] == pids[1] == pids[2] != pids[3] == pids[5] != pids[6]

    def test_with_max_tasks_per_child_items_of_a_map_are_tasks(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        executor = make_executor(process_method, 2, max_tasks_per_child=1)
        assert len(set(executor.map(pid_of_me, range(8)))) == 8

    def test_max_tasks_per_child_with_many_pending(
        self, make_executor: MakeExecutor, method: str
    ) -> None:
        executor = make_executor(method, 3, max_tasks_per_child=1)
        pending = [executor.submit(tasks.mul, at, at) for at in range(6)]
        executor.shutdown()
        assert [future.result() for future in pending] == [at * at for at in range(6)]


class TestInitializer:
    def test_is_called_in_each_worker(self, make_executor: MakeExecutor, method: str) -> None:
        tasks.STATE.clear()
        executor = make_executor(method, 1, initializer=tasks.remember, initargs=("it",))
        assert executor.submit(tasks.remembered).result() == ["it"]

    def test_when_it_fails_so_does_all(self, make_executor: MakeExecutor, method: str) -> None:
        """Pending jobs raise BrokenProcessPool, and so does any attempt to submit more."""
        executor = make_executor(method, initializer=tasks.fail, initargs=(ValueError, "init"))
        try:
            pending = [executor.submit(tasks.same, 1) for _ in range(5)]
        except BrokenProcessPool:
            pending = []
        for future in pending:
            with pytest.raises(BrokenProcessPool, match="init"):
                future.result()
        until(lambda: not works(executor), "the executor is broken")
        for _ in range(2):
            with pytest.raises(BrokenProcessPool, match="init") as caught:
                executor.submit(tasks.same, 1)
            assert isinstance(caught.value, oc.InitializerFailed)
            assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(BrokenProcessPool):
            list(executor.map(tasks.same, [1]))

    def test_one_that_cannot_be_pickled(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        executor = make_executor(process_method, initializer=tasks.same, initargs=(_lock(),))
        if process_method == "fork":  # it is inherited
            assert executor.submit(tasks.same, 1).result() == 1
            return
        with pytest.raises(pickle.PicklingError):
            executor.submit(tasks.same, 1)


def works(executor: oc.ProcessPoolExecutor) -> bool:
    try:
        executor.submit(tasks.same, 1)
    except BrokenProcessPool:
        return False
    return True


def _lock() -> Any:
    return threading.Lock()


class TestSubmit:
    def test_returns_a_future_of_the_call(self, make_executor: MakeExecutor, method: str) -> None:
        future = make_executor(method).submit(pow, 2, 8)
        assert isinstance(future, futures.Future)
        assert future.result() == 256
        assert future.exception() is None
        assert future.done()

    def test_any_keyword_is_the_function_s(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        assert executor.submit(tasks.mul, 2, y=8).result() == 16
        got = executor.submit(tasks.capture, 1, self=2, fn=3).result()
        assert got == ((1,), {"self": 2, "fn": 3})
        with pytest.raises(TypeError):
            executor.submit(fn=tasks.capture, arg=1)  # type: ignore[call-arg]

    @pytest.mark.parametrize("function", [5, None])
    def test_what_is_not_callable_fails_in_the_future(
        self, make_executor: MakeExecutor, method: str, function: Any
    ) -> None:
        executor: Any = make_executor(method)
        future = executor.submit(function, 1)
        with pytest.raises(TypeError, match="not callable"):
            future.result()
        assert executor.submit(abs, -1).result() == 1

    @pytest.mark.parametrize("argument", [_lock, lambda: tasks.AtPickle(tasks.fail_to_pickle)])
    def test_what_cannot_be_pickled_fails_in_the_future(
        self, make_executor: MakeExecutor, process_method: str, argument: Any
    ) -> None:
        executor = make_executor(process_method)
        future = executor.submit(id, argument())
        executor.submit(id, 42).result()
        late = executor.submit(id, argument())
        executor.shutdown(wait=False)
        assert isinstance(future.exception(), pickle.PicklingError)
        with pytest.raises(oc.NotPicklable):
            late.result()

    def test_an_exception_is_the_same_with_its_traceback(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        error = make_executor(process_method).submit(tasks.fail_with_note).exception()
        assert type(error) is ValueError
        assert error.args == (123,)
        assert error.__notes__ == ["the note"]
        assert "raise error  # some comment" in str(error.__cause__)
        assert "raise error  # some comment" in "".join(traceback.format_exception(error))

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, RuntimeError])
    def test_any_exception_is_the_future_s(
        self, make_executor: MakeExecutor, method: str, kind: type[BaseException]
    ) -> None:
        executor = make_executor(method, 1)
        before = executor.submit(os.getpid).result()
        with pytest.raises(kind):
            executor.submit(tasks.fail, kind, 3).result()
        assert executor.submit(os.getpid).result() == before

    @pytest.mark.parametrize("kind", [tasks.Falsy, tasks.Empty])
    def test_an_exception_that_is_falsy(
        self, make_executor: MakeExecutor, method: str, kind: type[Exception]
    ) -> None:
        with pytest.raises(kind, match="text"):
            make_executor(method).submit(tasks.fail, kind, "text").result()

    def test_holds_nothing_of_a_call_that_has_ended(
        self, make_executor: MakeExecutor, method: str
    ) -> None:
        thing = tasks.Plain()
        gone = weakref.ref(thing)
        make_executor(method).submit(thing.method)
        del thing
        until(lambda: gone() is None)

    def test_from_several_threads(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        got: list[int] = []

        def use(number: int) -> None:
            calls = [executor.submit(tasks.mul, number, at) for at in range(50)]
            got.extend(call.result() for call in calls)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == sorted(a * b for a in range(4) for b in range(50))

    def test_run_in_executor(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)

        async def main() -> tuple[Any, Any]:
            loop = asyncio.get_running_loop()
            good = loop.run_in_executor(executor, pow, 2, 8)
            bad = loop.run_in_executor(executor, tasks.fail, ValueError, "x")
            return await asyncio.gather(good, bad, return_exceptions=True)

        good, bad = asyncio.run(main())
        assert good == 256
        assert type(bad) is ValueError


class TestFutures:
    def test_cancel_and_its_states(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method, 1)
        running = executor.submit(tasks.meet, signs, 0, 1, "ran")
        pending = executor.submit(tasks.same, 1)
        until(lambda: bool(signs[0]))
        assert (running.running(), running.done(), running.cancel()) == (True, False, False)
        assert (pending.running(), pending.done()) == (False, False)
        assert pending.cancel()
        assert (pending.cancelled(), pending.done(), pending.running()) == (True, True, False)
        for ask in (pending.result, pending.exception):
            with pytest.raises(futures.CancelledError):
                ask()
        signs[1] = 1
        assert running.result() == "ran"
        assert not running.cancel()

    def test_timeouts(self, make_executor: MakeExecutor, signs: Signs, method: str) -> None:
        future = make_executor(method).submit(tasks.meet, signs, 0, 1)
        for ask in (future.result, future.exception):
            with pytest.raises(TimeoutError):
                ask(timeout=0.01)
        signs[1] = 1
        assert future.result(timeout=60) is None

    def test_callbacks(
        self,
        make_executor: MakeExecutor,
        signs: Signs,
        method: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """In order, in this process; one that raises is logged; one that is late is called
        at once."""
        called: list[Any] = []
        ended = threading.Event()

        def fail(_: object) -> None:
            called.append("failing")
            raise ValueError("from the callback")

        future = make_executor(method).submit(tasks.meet, signs, 0, 1, 5)
        future.add_done_callback(lambda f: called.append(f is future and f.result()))
        future.add_done_callback(fail)
        future.add_done_callback(lambda _: called.append(os.getpid()))
        future.add_done_callback(lambda _: ended.set())
        with caplog.at_level(logging.ERROR, "concurrent.futures"):
            signs[1] = 1
            assert ended.wait(60)
        assert called == [5, "failing", os.getpid()]
        assert "from the callback" in caplog.text
        future.add_done_callback(lambda _: called.append("late"))
        assert called[-1] == "late"

    def test_callbacks_of_a_cancelled_one(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method, 1)
        executor.submit(tasks.meet, signs, 0, 1)
        until(lambda: bool(signs[0]))
        called: list[Any] = []
        pending = executor.submit(tasks.same, 1)
        pending.add_done_callback(lambda f: called.append(f.cancelled()))
        pending.cancel()
        assert called == [True]

    def test_submit_from_a_callback(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        got: list[Any] = []
        ended = threading.Event()

        def more(future: futures.Future[int]) -> None:
            if future.result() < 50:
                executor.submit(tasks.same, future.result() + 1).add_done_callback(more)
            else:
                got.append(future.result())
                ended.set()

        executor.submit(tasks.same, 0).add_done_callback(more)
        assert ended.wait(60)
        assert got == [50]


class TestWaiting:
    def test_wait_for_all(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        bad: Any = executor.submit(divmod, 2, 0)
        good: Any = executor.submit(tasks.mul, 2, 21)
        assert futures.wait([bad, good, good]) == ({bad, good}, set())

    def test_wait_for_the_first(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method)
        long = executor.submit(tasks.meet, signs, 0, 1)
        short = executor.submit(tasks.mul, 21, 2)
        got = futures.wait([long, short], return_when=futures.FIRST_COMPLETED)
        assert got == ({short}, {long})

    def test_wait_for_the_first_exception(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method)
        long = executor.submit(tasks.meet, signs, 0, 1)
        good, bad = executor.submit(tasks.mul, 21, 2), executor.submit(divmod, 2, 0)
        done, pending = futures.wait([long, good, bad], return_when=futures.FIRST_EXCEPTION)
        assert (bad in done, pending - {good}) == (True, {long})

    def test_wait_in_vain(self, make_executor: MakeExecutor, signs: Signs, method: str) -> None:
        long = make_executor(method).submit(tasks.meet, signs, 0, 1)
        assert futures.wait([long], timeout=0.01) == (set(), {long})

    def test_as_completed(self, make_executor: MakeExecutor, signs: Signs, method: str) -> None:
        executor = make_executor(method)
        long = executor.submit(tasks.meet, signs, 0, 1)
        short = executor.submit(tasks.mul, 21, 2)
        other = executor.submit(tasks.mul, 7, 6)
        other.result()
        ordered = futures.as_completed([long, short, short, other])
        assert {next(ordered), next(ordered)} == {short, other}
        signs[1] = 1
        assert list(ordered) == [long]

    def test_as_completed_in_vain(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        long = make_executor(method).submit(tasks.meet, signs, 0, 1)
        with pytest.raises(TimeoutError, match=r"1 \(of 1\) futures unfinished"):
            list(futures.as_completed([long], timeout=0.01))


# What ends in which error.
CASES: dict[str, tuple[Any, ...]] = {
    "error at task pickle": (
        pickle.PicklingError,
        lambda: (id, tasks.AtPickle(tasks.fail_to_pickle)),
    ),
    "exit at task unpickle": (SystemExit, lambda: (id, tasks.AtUnpickle(tasks.leave))),
    "error at task unpickle": (
        pickle.UnpicklingError,
        lambda: (id, tasks.AtUnpickle(tasks.fail_to_unpickle)),
    ),
    "crash at task unpickle": (
        BrokenProcessPool,
        lambda: (id, tasks.AtUnpickle(tasks.die_of_a_fault)),
    ),
    "crash in the task": (BrokenProcessPool, lambda: (tasks.die_of_a_fault,)),
    "death in the task": (BrokenProcessPool, lambda: (tasks.die,)),
    "exit in the task": (SystemExit, lambda: (tasks.leave,)),
    "error in the task": (RuntimeError, lambda: (tasks.fail, RuntimeError)),
    "crash at result pickle": (
        BrokenProcessPool,
        lambda: (tasks.made, tasks.AtPickle, tasks.die_of_a_fault),
    ),
    "exit at result pickle": (SystemExit, lambda: (tasks.made, tasks.AtPickle, tasks.leave)),
    "error at result pickle": (
        pickle.PicklingError,
        lambda: (tasks.made, tasks.AtPickle, tasks.fail_to_pickle),
    ),
    "error at result unpickle": (
        pickle.UnpicklingError,
        lambda: (tasks.made, tasks.AtUnpickle, tasks.fail_to_unpickle),
    ),
    "exit at result unpickle": (SystemExit, lambda: (tasks.made, tasks.AtUnpickle, tasks.leave)),
    "an exception whose class insists on other arguments": (
        tasks.Unrebuildable,
        lambda: (tasks.fail, tasks.Unrebuildable, 1, 2),
    ),
}


class TestDeadWorkers:
    """A fault that would break the standard library's executor costs one call here."""

    def test_a_killed_worker_costs_its_call(
        self, make_executor: MakeExecutor, signs: Signs, process_method: str
    ) -> None:
        executor = make_executor(process_method, 1)
        pid = executor.submit(os.getpid).result()
        lost = executor.submit(tasks.meet, signs, 0, 1)
        kept = executor.submit(tasks.same, 1)
        until(lambda: bool(signs[0]))
        os.kill(pid, signal.SIGTERM)
        with pytest.raises(BrokenProcessPool) as caught:
            lost.result()
        assert isinstance(caught.value, oc.WorkerDied)
        assert caught.value.signal == signal.SIGTERM
        assert kept.result() == 1
        assert executor.submit(os.getpid).result() != pid

    @pytest.mark.parametrize("case", CASES)
    def test_ends_in_an_error(
        self, make_executor: MakeExecutor, process_method: str, case: str
    ) -> None:
        error, call = CASES[case]
        with make_executor(process_method) as executor:
            got = executor.submit(*call()).exception(timeout=100)
            assert isinstance(got, error)
            # The other way to get at it, and the executor goes on.
            got = next(futures.as_completed([executor.submit(*call())])).exception()
            assert isinstance(got, error)
            assert executor.submit(tasks.same, 1).result() == 1

    def test_a_crash_after_shutdown(
        self, make_executor: MakeExecutor, signs: Signs, process_method: str
    ) -> None:
        executor = make_executor(process_method)
        future = executor.submit(tasks.die_of_a_fault)
        executor.shutdown()
        assert isinstance(future.exception(), BrokenWorker)

    def test_each_error_has_a_traceback_of_its_own(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        executor = make_executor(process_method)
        dead = [executor.submit(tasks.die) for _ in range(3)]
        for future in dead:
            with pytest.raises(BrokenProcessPool) as caught:
                future.result()
            files = [frame.filename for frame in traceback.extract_tb(caught.tb)]
            assert files.count(__file__) == 1
