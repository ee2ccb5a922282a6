"""``pool.options``: timeouts and retries, in every kind of call; see also ``test_memory_limit``."""

from __future__ import annotations

import os
import pickle
import signal
import time
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._engine.processes import ProcessEngine
from onecopy.pool import Method
from tests.arrays import Array
from tests.calls import CALLS, Call
from tests.conftest import MakePool
from tests.pooled import FOR_EVER, double
from tests.scripts import until

pytestmark = [pytest.mark.door, pytest.mark.beside]

SHORT = 0.3


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Call:
    return CALLS[request.param]


def hang(begun: Array | None = None) -> None:
    if begun is not None:
        begun[0] = os.getpid()
    time.sleep(FOR_EVER)


def wait_for(gate: Array, value: int = 0) -> int:
    until(lambda: bool(gate[0]))
    return value


def grow(megabytes: int) -> None:
    held = np.ones(megabytes * 125_000)
    time.sleep(FOR_EVER)
    held[0] = 0


def end_at_once(code: int) -> None:
    os._exit(code)  # called here: coverage puts a closure that cannot be sent in its place


def exit_at_first(tries: Array, i: int, times: int = 1) -> int:
    """End its worker ``times`` times; counts how often it was run."""
    tries[i] += 1
    if tries[i] <= times:
        os._exit(3)
    return i


def raise_at_first(tries: Array, i: int, times: int, kind: type[Exception]) -> int:
    tries[i] += 1
    if tries[i] <= times:
        raise kind(f"try {tries[i]}")
    return i


class TestTimeout:
    def test_frees_the_worker_and_the_others_go_on(
        self, make_pool: MakePool, process_method: str
    ) -> None:
        pool = make_pool(process_method)
        begun = oc.zeros(1, "i8")
        view = pool.options(timeout=SHORT, name="the slow one")
        hanging = view.submit(hang, begun)
        others = [pool.submit(double, i) for i in range(50)]
        assert [future.result() for future in others] == [2 * i for i in range(50)]
        with pytest.raises(oc.TaskTimeout, match=r"'the slow one' \(task \d+\) took longer"):
            hanging.result()
        assert int(begun[0]) not in pool.pids(), "its worker was ended"
        assert pool.map(double, range(20)) == [2 * i for i in range(20)]
        until(lambda: pool.stats().workers == 2, "it was replaced")

    def test_the_error(self, make_pool: MakePool) -> None:
        with pytest.raises(TimeoutError) as caught:
            make_pool("fork", 1).options(timeout=SHORT).apply(hang)
        error = caught.value
        assert isinstance(error, oc.TaskTimeout)
        assert not isinstance(error, oc.WorkerDied)
        assert error.timeout == SHORT
        assert "hang (task" in error.task
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is oc.TaskTimeout
        assert (again.task, again.timeout, str(again)) == (error.task, SHORT, str(error))

    def test_in_every_call(self, make_pool: MakePool, call: Call) -> None:
        pool = make_pool("fork")
        ran = oc.zeros(6, "i8")

        def hang_at_3(i: int) -> int:
            ran[i] += 1
            if i == 3:
                time.sleep(FOR_EVER)
            return 10 * i

        assert list(call(pool.options(timeout=60), double, range(6))) == list(range(0, 12, 2))
        with pytest.raises(oc.TaskTimeout):
            list(call(pool.options(timeout=SHORT), hang_at_3, range(6)))
        assert (ran <= 1).all(), "a timeout is not retried"

    def test_each_item_is_a_task(self, make_pool: MakePool) -> None:
        ran = oc.zeros(8, "i8")

        def hang_at_3(i: int) -> int:
            ran[i] += 1
            if i == 3:
                time.sleep(FOR_EVER)
            return i

        with pytest.raises(oc.TaskTimeout, match="hang_at_3 of item 3 took"):
            make_pool("fork").options(timeout=SHORT).map(hang_at_3, range(8))
        assert (ran == 1).all(), "the others are run"

    def test_of_a_chunk_when_its_size_is_given(self, make_pool: MakePool) -> None:
        view = make_pool("fork").options(timeout=SHORT)
        stream = view.imap(lambda i: time.sleep(FOR_EVER) if i == 3 else i, range(6), 2)
        assert [next(stream), next(stream)] == [0, 1]
        for _ in (2, 3):
            with pytest.raises(oc.TaskTimeout, match="items 2 to 3"):
                next(stream)
        assert list(stream) == [4, 5]

    def test_begins_when_the_task_is_sent(self, make_pool: MakePool) -> None:
        view = make_pool("fork", 1).options(timeout=SHORT)
        first = view.submit(hang)
        behind = view.submit(double, 2)  # waits for as long as it may take itself
        assert behind.result() == 4
        assert isinstance(first.exception(), oc.TaskTimeout)

    def test_other_calls_are_not_affected(self, make_pool: MakePool) -> None:
        pool = make_pool("fork")
        gate = oc.zeros(1, "i8")
        longer = pool.submit(wait_for, gate, 5)
        with pytest.raises(oc.TaskTimeout):
            pool.options(timeout=SHORT).apply(hang)
        gate[0] = 1
        assert longer.result() == 5

    def test_of_a_worker_that_was_stopped(self, make_pool: MakePool, process_method: str) -> None:
        pool = make_pool(process_method, 1)
        stopped = pool.apply(os.getpid)
        os.kill(stopped, signal.SIGSTOP)
        with pytest.raises(oc.TaskTimeout):
            pool.options(timeout=SHORT).apply(double, (1,))
        assert pool.apply(os.getpid) != stopped

    @pytest.mark.parametrize("timeout", [1e9, float("inf")])
    def test_long_ones(self, make_pool: MakePool, timeout: float) -> None:
        pool = make_pool("fork")
        assert pool.options(timeout=timeout).map(double, range(3)) == [0, 2, 4]

    def test_a_worker_that_dies_with_a_task_it_had_not_begun(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)
        victim = pool.apply(os.getpid)
        os.kill(victim, signal.SIGSTOP)
        sent = pool.stats().bytes_sent
        future = pool.options(memory_limit=10**9).submit(double, 2)
        until(lambda: pool.stats().bytes_sent > sent, "it was sent")
        os.kill(victim, signal.SIGKILL)
        assert future.result() == 4
        assert isinstance(pool._engine, ProcessEngine)
        assert pool._engine._parts.preemption._limits.look() == ([], None), (
            "nothing is looked at any more"
        )


class TestRetries:
    def test_after_a_worker_s_end(self, make_pool: MakePool, process_method: str) -> None:
        pool = make_pool(process_method)
        tries = oc.zeros(3, "i8")
        view = pool.options(retries=2)
        futures = [view.submit(exit_at_first, tries, i, i) for i in range(3)]
        assert [future.result() for future in futures] == [0, 1, 2]
        assert list(tries) == [1, 2, 3]

    def test_in_every_call(self, make_pool: MakePool, call: Call) -> None:
        tries = oc.zeros(6, "i8")

        def exit_at_odd(i: int) -> int:
            return exit_at_first(tries, i, i % 2)

        got = call(make_pool("fork").options(retries=1), exit_at_odd, range(6))
        assert list(got) == list(range(6))
        assert list(tries) == [1, 2] * 3

    @pytest.mark.parametrize("listed", [OSError, [KeyError, ConnectionError], (OSError, KeyError)])
    def test_after_exceptions_that_are_listed(
        self, make_pool: MakePool, engine: str, listed: Any
    ) -> None:
        tries = oc.zeros(1, "i8")
        view = make_pool(engine, 1).options(retries=2, retry_on=listed)
        assert view.apply(raise_at_first, (tries, 0, 2, ConnectionError)) == 0
        assert tries[0] == 3

    def test_not_after_others(self, make_pool: MakePool, engine: str) -> None:
        tries = oc.zeros(6, "i8")
        view = make_pool(engine).options(retries=5, retry_on=ConnectionError)
        with pytest.raises(ValueError, match="try 1"):
            view.apply(raise_at_first, (tries, 0, 1, ValueError))
        with pytest.raises(ValueError, match="try 1"):
            view.map(lambda i: raise_at_first(tries, i, 1, ValueError), range(1, 6))
        assert (tries == 1).all()

    def test_used_up_gives_the_last_error(self, make_pool: MakePool, engine: str) -> None:
        tries = oc.zeros(4, "i8")
        view = make_pool(engine).options(retries=2, retry_on=ConnectionError)
        with pytest.raises(ConnectionError, match="try 3"):
            view.submit(raise_at_first, tries, 0, 99, ConnectionError).result()
        with pytest.raises(ConnectionError, match="try 3"):
            view.map(lambda i: raise_at_first(tries, i, 99, ConnectionError), range(1, 4))
        assert list(tries) == [3, 3, 3, 3]

    def test_used_up_after_deaths(self, make_pool: MakePool) -> None:
        tries = oc.zeros(1, "i8")
        with pytest.raises(oc.WorkerDied, match="exited with code 3"):
            make_pool("fork", 1).options(retries=1).apply(exit_at_first, (tries, 0, 99))
        assert tries[0] == 2

    def test_a_limit_is_no_reason_unless_it_is_listed(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)
        tries = oc.zeros(1, "i8")

        def hang_at_first() -> int:
            tries[0] += 1
            return wait_for(np.zeros(1)) if tries[0] == 1 else 7

        with pytest.raises(oc.TaskTimeout):
            pool.options(timeout=SHORT, retries=3).apply(hang_at_first)
        assert tries[0] == 1
        tries[0] = 0
        view = pool.options(timeout=SHORT, retries=3, retry_on=oc.TaskTimeout)
        assert view.apply(hang_at_first) == 7
        assert tries[0] == 2

    @pytest.mark.parametrize("listed", [False, True])
    def test_a_memory_limit_likewise(self, make_pool: MakePool, listed: bool) -> None:
        tries = oc.zeros(1, "i8")

        def grow_at_first() -> int:
            tries[0] += 1
            if tries[0] == 1:
                grow(300)
            return 7

        view = make_pool("fork", 1).options(
            memory_limit=200_000_000,
            retries=1 if listed else 2,
            retry_on=[oc.WorkerOutOfMemory] if listed else [],
        )
        if listed:
            assert view.apply(grow_at_first) == 7
        else:
            with pytest.raises(oc.WorkerOutOfMemory):
                view.apply(grow_at_first)
        assert tries[0] == 1 + listed

    def test_of_a_chunk_only_what_failed(self, make_pool: MakePool, engine: str) -> None:
        tries = oc.zeros(20, "i8")
        view = make_pool(engine).options(retries=1, retry_on=KeyError)
        stream = view.imap(lambda i: raise_at_first(tries, i, i % 3 == 0, KeyError), range(20), 10)
        assert list(stream) == list(range(20))
        assert list(tries) == [2 if i % 3 == 0 else 1 for i in range(20)]

    def test_each_item_of_a_chunk_has_tries_of_its_own(self, make_pool: MakePool) -> None:
        tries = oc.zeros(6, "i8")

        def fail(i: int) -> int:
            return raise_at_first(tries, i, 99 if i == 4 else i, KeyError)

        stream = make_pool("fork").options(retries=3, retry_on=KeyError).imap(fail, range(6), 6)
        assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
        for _ in (4, 5):
            with pytest.raises(KeyError, match="try 4"):
                next(stream)
        assert list(tries) == [1, 2, 3, 4, 4, 4]

    def test_of_a_chunk_whose_worker_ended_all_of_it(self, make_pool: MakePool) -> None:
        tries = oc.zeros(6, "i8")

        def end_at_1(i: int) -> int:
            return exit_at_first(tries, i, i == 1)

        assert make_pool("fork").options(retries=1).map(end_at_1, range(6), 3) == list(range(6))
        assert list(tries) == [2, 2, 1, 1, 1, 1]

    @pytest.mark.parametrize("share", [None, 1])
    def test_of_a_pool_that_was_closed_meanwhile(
        self, make_pool: MakePool, share: int | None
    ) -> None:
        pool = make_pool("fork", maxtasksperchild=share)
        tries, gate = oc.zeros(1, "i8"), oc.zeros(1, "i8")

        def wait_and_end() -> int:
            wait_for(gate)
            return exit_at_first(tries, 0, 2)

        future = pool.options(retries=2).submit(wait_and_end)
        pool.close()
        gate[0] = 1
        pool.join()
        assert future.result(timeout=0) == 0
        assert tries[0] == 3

    def test_of_a_pool_that_was_terminated(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)
        tries = oc.zeros(1, "i8")
        future = pool.options(retries=10**6).submit(exit_at_first, tries, 0, 10**6)
        until(lambda: bool(tries[0] > 2))
        pool.terminate()
        pool.join()
        assert isinstance(future.exception(), oc.PoolClosed)


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "kind", "says"),
        [
            ({"timeout": 0}, ValueError, "seconds above 0"),
            ({"timeout": "1"}, TypeError, "number of seconds"),
            ({"retries": -1}, ValueError, "at least 0"),
            ({"retry_on": KeyError}, ValueError, "retry_on needs retries"),
            ({"retries": 1, "retry_on": 5}, TypeError, "exception classes, not 5"),
            ({"retries": 1, "retry_on": [5]}, TypeError, "exception classes, not 5"),
            ({"retries": 1, "retry_on": KeyError()}, TypeError, "exception classes"),
            ({"memory_limit": 0}, ValueError, "above 0 bytes"),
            ({"memory_limit": 1.5}, TypeError, "number of bytes"),
        ],
    )
    def test_bad_ones(
        self, make_pool: MakePool, given: dict[str, Any], kind: type[Exception], says: str
    ) -> None:
        with pytest.raises(kind, match=says):
            make_pool("fork", 1).options(**given)

    def test_threads_refuse_what_would_end_them(self, make_pool: MakePool) -> None:
        pool = make_pool("thread")
        for given in ({"timeout": 1}, {"memory_limit": 10**9}):
            with pytest.raises(ValueError, match="a thread cannot be ended"):
                pool.options(**given)  # type: ignore[arg-type]
        assert pool.options(name="a", retries=1).map(double, range(3)) == [0, 2, 4]

    def test_a_view_makes_no_workers_and_says_what_it_is(self, make_pool: MakePool) -> None:
        pool = make_pool("fork", 1)
        view = pool.options(name="here")
        assert view.apply(os.getpid) == view.options().apply(os.getpid) == pool.apply(os.getpid)
        assert "name='here'" in repr(view)

    def test_a_view_keeps_its_pool(self, engine: Method) -> None:
        view = oc.Pool(2, method=engine).options(retries=1).options(name="a")
        assert view.map(double, range(5)) == [0, 2, 4, 6, 8]

    def test_the_name_is_what_errors_say(self, make_pool: MakePool) -> None:
        view = make_pool("fork", 1).options(name="the second job")
        with pytest.raises(oc.WorkerDied, match=r"it ran 'the second job' \(task"):
            view.apply(end_at_once, (3,))
        with pytest.raises(oc.WorkerDied, match="it ran 'the second job' of item 0"):
            view.map(end_at_once, [3])
