"""`ProcessPoolExecutor.map`: what is documented, what CPython's tests check, and what its
chunks must not do to the items beside the one that fails."""

from __future__ import annotations

import gc
import itertools
import operator
import pickle
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

import pytest

import onecopy as oc
from onecopy.pool import Method
from tests import tasks
from tests.processes.conftest import MakeExecutor
from tests.scripts import until
from tests.tasks import Signs

pytestmark = pytest.mark.door

CHUNKS = (1, 3, 100)


def plain(_: int) -> tasks.Plain:
    return tasks.Plain()


def ends(iterator: Iterator[Any]) -> bool:
    """It has come to its end, and stays there."""
    return [next(iterator, "end") for _ in range(2)] == ["end", "end"]


class TestResults:
    @pytest.mark.parametrize("chunk", [1, 3, 6, 40, 50])
    def test_as_the_built_in(self, make_executor: MakeExecutor, method: str, chunk: int) -> None:
        executor = make_executor(method)
        wanted = list(map(pow, range(40), range(40)))
        assert list(executor.map(pow, range(40), range(40), chunksize=chunk)) == wanted
        assert list(executor.map(tasks.same, range(40), chunksize=chunk)) == list(range(40))

    def test_many_short_ones(self, make_executor: MakeExecutor, method: str) -> None:
        got = make_executor(method).map(tasks.same, range(20_000))
        assert all(map(operator.eq, got, range(20_000)))
        assert ends(got)

    def test_ends_with_the_shortest(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        assert list(executor.map(pow, range(5), itertools.repeat(2))) == [0, 1, 4, 9, 16]
        assert list(executor.map(pow, [], range(5))) == []
        assert list(executor.map(tasks.same, [])) == []
        assert list(executor.map(tasks.same)) == []  # type: ignore[call-overload]

    def test_iterables_are_collected_at_once(
        self, make_executor: MakeExecutor, method: str
    ) -> None:
        items = iter(range(1000))
        got = make_executor(method).map(tasks.same, items)
        assert ends(items)
        assert list(got) == list(range(1000))

    def test_an_iterable_that_fails(self, make_executor: MakeExecutor, method: str) -> None:
        executor: Any = make_executor(method)
        with pytest.raises(ZeroDivisionError):
            executor.map(tasks.same, (1 // at for at in (1, 0)))
        with pytest.raises(TypeError, match="not iterable"):
            executor.map(tasks.same, 5)

    def test_several_calls_at_a_time(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        got = make_executor(method).map(partial(tasks.meet, signs), [0, 1], [1, 0], "ab")
        assert list(got) == ["a", "b"]

    def test_everything_is_run_when_nobody_asks(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method, 1)
        for chunk in (1, 7):
            executor.map(partial(tasks.give, signs), range(40), chunksize=chunk)
        executor.submit(tasks.same, 1).result()
        until(lambda: list(signs[:40]) == [2] * 40)
        executor.shutdown()

    def test_results_that_nobody_asks_for_are_not_kept(self, make_executor: MakeExecutor) -> None:
        executor = make_executor("thread")
        things = [tasks.Plain() for _ in range(50)]
        gone = [weakref.ref(thing) for thing in things]
        executor.map(tasks.same, things)
        del things
        # A worker thread looks for what it may forget when it has done something.
        until(lambda: executor.submit(gc.collect).result() >= 0 and not any(ref() for ref in gone))

    def test_results_are_not_kept_after_they_were_handed_out(
        self, make_executor: MakeExecutor, method: str
    ) -> None:
        for thing in make_executor(method).map(plain, range(10)):
            gone = weakref.ref(thing)
            del thing
            until(lambda gone=gone: gone() is None)  # type: ignore[misc]  # the default binds

    @pytest.mark.parametrize("chunk", [0, -1])
    def test_chunksize_is_positive(self, make_executor: MakeExecutor, chunk: int) -> None:
        with pytest.raises(ValueError, match="chunksize must be >= 1"):
            make_executor("fork").map(pow, range(40), range(40), chunksize=chunk)


class TestFailures:
    @pytest.mark.parametrize("chunk", CHUNKS)
    def test_raised_at_its_place_and_the_end(
        self, make_executor: MakeExecutor, method: str, chunk: int
    ) -> None:
        got = make_executor(method).map(divmod, [5] * 4, [2, 3, 0, 5], chunksize=chunk)
        assert [next(got), next(got)] == [(2, 1), (1, 2)]
        with pytest.raises(ZeroDivisionError):
            next(got)
        assert ends(got)

    def test_the_first_in_order_is_raised(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        for bad in range(0, 60, 7):
            got = executor.map(partial(tasks.fail_on, bad, ValueError), range(60))
            assert list(itertools.islice(got, bad)) == list(range(bad))
            with pytest.raises(ValueError, match=str(bad)) as caught:
                next(got)
            assert caught.value.args == (bad,)

    def test_what_has_not_begun_is_not_run_then(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method, 1)
        executor.submit(tasks.meet, signs, 62, 63)
        got = executor.map(partial(tasks.give, signs), range(20))
        failing = executor.map(tasks.same, [_lock()]) if method != "thread" else None
        with pytest.raises(TimeoutError):
            next(executor.map(tasks.same, [1], timeout=0))
        got.close()  # type: ignore[attr-defined]  # not begun: all of it is run
        begun = executor.map(partial(tasks.give, signs), range(20, 40), timeout=0)
        with pytest.raises(TimeoutError, match="no result within 0 s"):
            next(begun)
        late = executor.map(tasks.same, [1], timeout=0.0625)
        with pytest.raises(TimeoutError, match=r"no result within 0\.0625 s"):
            next(late)
        signs[63] = 1
        if failing is not None:
            with pytest.raises(pickle.PicklingError):
                next(failing)
        executor.shutdown()
        assert list(signs[:40]) == [1] * 20 + [0] * 20

    @pytest.mark.parametrize("chunk", CHUNKS)
    def test_an_item_that_cannot_be_pickled(
        self, make_executor: MakeExecutor, process_method: str, chunk: int
    ) -> None:
        executor = make_executor(process_method)
        for bad in (0, 3, 50):
            items = [_lock() if at == bad else at for at in range(60)]
            self._fails_at(executor.map(tasks.same, items, chunksize=chunk), bad)

    @pytest.mark.parametrize("chunk", CHUNKS)
    def test_an_item_that_cannot_be_unpickled(
        self, make_executor: MakeExecutor, process_method: str, chunk: int
    ) -> None:
        executor = make_executor(process_method)
        for bad in (0, 3, 50):
            broken = tasks.AtUnpickle(tasks.fail_to_unpickle)
            items = [broken if at == bad else at for at in range(60)]
            self._fails_at(executor.map(tasks.same, items, chunksize=chunk), bad)

    @pytest.mark.parametrize("chunk", CHUNKS)
    def test_a_result_that_cannot_be_pickled(
        self, make_executor: MakeExecutor, process_method: str, chunk: int
    ) -> None:
        executor = make_executor(process_method)
        for bad in (0, 3, 50):
            got = executor.map(partial(tasks.lock_when, bad), range(60), chunksize=chunk)
            self._fails_at(got, bad)

    def _fails_at(self, got: Iterator[Any], bad: int) -> None:
        assert list(itertools.islice(got, bad)) == list(range(bad))
        with pytest.raises(pickle.PickleError):
            next(got)

    def test_a_function_that_cannot_be_pickled(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        executor = make_executor(process_method)
        for size in (None, 2):
            got = executor.map(partial(tasks.same, _lock()), [1, 2], buffersize=size)
            with pytest.raises(pickle.PicklingError):
                next(got)
            assert ends(got)
            assert ends(executor.map(partial(tasks.same, _lock()), [], buffersize=size))

    def test_a_worker_that_dies(self, make_executor: MakeExecutor, process_method: str) -> None:
        executor = make_executor(process_method)
        with pytest.raises(oc.WorkerDied):
            list(executor.map(partial(tasks.die_on, 20), range(40)))
        assert list(executor.map(tasks.same, range(5))) == list(range(5))

    def test_a_crash_while_much_is_sent(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        executor = make_executor(process_method)
        with pytest.raises(BrokenProcessPool):
            list(executor.map(tasks.die_of_a_fault, ["a" * (4 << 20)] * 10))
        executor.shutdown()

    def test_no_cycle_through_the_exception(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        got = make_executor(process_method).map(tasks.fail, [tasks.Empty])
        gc.disable()
        try:
            with pytest.raises(tasks.Empty) as caught:
                next(got)
            gone = weakref.ref(caught.value)
            del caught, got
            until(lambda: gone() is None)
        finally:
            gc.enable()


def _lock() -> Any:
    return threading.Lock()


class TestTimeout:
    def test_counts_from_the_call(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method)
        assert list(executor.map(tasks.same, [1, 2], timeout=60.0)) == [1, 2]
        got = executor.map(partial(tasks.meet, signs), [0, 1], [0, 63], timeout=0.5)
        with pytest.raises(TimeoutError):
            list(got)
        assert ends(got)

    def test_results_that_are_there_are_handed_out_after_it(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        executor = make_executor(method, 1)
        executor.submit(tasks.same, 1).result()
        got = executor.map(partial(tasks.meet, signs), [0, 1], [0, 63], timeout=0.5)
        until(lambda: bool(signs[1]))
        assert next(got) is None
        with pytest.raises(TimeoutError):
            next(got)

    def test_one_of_the_function_s_own(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        for timeout in (None, 60):
            got = executor.map(partial(tasks.fail_on, 1, TimeoutError), [0, 1, 2], timeout=timeout)
            assert next(got) == 0
            with pytest.raises(TimeoutError, match="1"):
                next(got)


class TestClose:
    @pytest.mark.parametrize("chunk", CHUNKS)
    def test_ends_it(self, make_executor: MakeExecutor, method: str, chunk: int) -> None:
        got: Any = make_executor(method).map(divmod, [5] * 4, [2, 0, 3, 5], chunksize=chunk)
        assert next(got) == (2, 1)
        got.close()
        assert ends(got)

    def test_so_does_giving_it_up(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        """An iterator that was begun and is collected takes back what has not begun."""
        executor = make_executor(method, 1)
        # Long enough that a worker is sent one item at a time.
        got = executor.map(partial(tasks.take_long, signs), range(50))
        assert next(got) is None
        del got
        executor.submit(tasks.same, 1).result()
        executor.shutdown()
        assert list(signs[:50]).count(0) > 40


class TestBuffersize:
    @pytest.mark.parametrize("size", ["foo", 2.0])
    def test_is_an_integer(self, make_executor: MakeExecutor, size: Any) -> None:
        with pytest.raises(TypeError, match="buffersize must be an integer or None"):
            make_executor("fork").map(str, range(4), buffersize=size)

    @pytest.mark.parametrize("size", [0, -1])
    def test_is_positive(self, make_executor: MakeExecutor, size: int) -> None:
        with pytest.raises(ValueError, match="buffersize must be None or > 0"):
            make_executor("fork").map(str, range(4), buffersize=size)

    @pytest.mark.parametrize("size", [1, 2, 4, 8])
    def test_gives_the_same(self, make_executor: MakeExecutor, method: str, size: int) -> None:
        executor = make_executor(method)
        assert list(executor.map(str, range(4), buffersize=size)) == list("0123")
        got = executor.map(operator.add, range(4), range(4), buffersize=size)
        assert list(got) == [0, 2, 4, 6]
        for chunk in CHUNKS:
            several = executor.map(tasks.same, range(50), buffersize=size, chunksize=chunk)
            assert list(several) == list(range(50))

    def test_endless_iterables(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        one = executor.map(str, itertools.count(), buffersize=2)
        assert [next(one) for _ in range(100)] == [str(at) for at in range(100)]
        two = executor.map(operator.add, itertools.count(), itertools.count(), buffersize=2)
        assert [next(two) for _ in range(3)] == [0, 2, 4]

    def test_nothing_to_do(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        assert ends(executor.map(str, [], buffersize=2))
        assert ends(executor.map(str, buffersize=2))  # type: ignore[call-overload]

    @pytest.mark.parametrize("chunk", [1, 3])
    def test_takes_no_more_than_fit(
        self, make_executor: MakeExecutor, method: str, chunk: int
    ) -> None:
        """Iteration over the iterables pauses until a result is handed out."""
        items = iter(range(100))
        executor = make_executor(method)
        got = executor.map(str, items, buffersize=2, chunksize=chunk)
        assert operator.length_hint(items) == 100 - 2 * chunk
        next(got)
        assert operator.length_hint(items) == 100 - 3 * chunk
        for _ in range(chunk):
            next(got)
        assert operator.length_hint(items) == 100 - 4 * chunk

    def test_after_shutdown_there_is_what_was_taken(
        self, make_executor: MakeExecutor, method: str
    ) -> None:
        items = iter(range(4))
        executor = make_executor(method)
        got = executor.map(str, items, buffersize=2)
        executor.shutdown()
        assert operator.length_hint(items) == 2
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            next(got)
        assert ends(got)

    def test_holds_its_executor(self, method: Method) -> None:
        got = oc.ProcessPoolExecutor(2, method).map(tasks.same, range(500), buffersize=3)
        gc.collect()
        assert list(got) == list(range(500))

    def test_an_iterable_that_fails(self, make_executor: MakeExecutor, method: str) -> None:
        got = make_executor(method).map(tasks.same, (1 // at for at in (1, 1, 0)), buffersize=2)
        with pytest.raises(ZeroDivisionError):
            next(got)
        assert ends(got)


class TestErrors:
    """`errors=`, as `Pool.map` has it."""

    @pytest.mark.parametrize("chunk", CHUNKS)
    @pytest.mark.parametrize("buffer", [None, 2])
    def test_failures_are_returned_in_their_place(
        self, make_executor: MakeExecutor, method: str, chunk: int, buffer: int | None
    ) -> None:
        got = make_executor(method).map(
            inverse, [1, 0, 1, 0, 0, 1], chunksize=chunk, buffersize=buffer, errors="return"
        )
        found = list(got)
        assert [each for each in found if not isinstance(each, oc.Failed)] == [1, 1, 1]
        failed = [each for each in found if isinstance(each, oc.Failed)]
        assert [(each.index, each.item) for each in failed] == [(1, 0), (3, 0), (4, 0)]
        assert all(found[each.index] is each for each in failed)
        assert all(isinstance(each.exception, ZeroDivisionError) for each in failed)
        assert "in inverse" in failed[0].traceback
        assert ends(got)

    @pytest.mark.parametrize("chunk", CHUNKS)
    @pytest.mark.parametrize("buffer", [None, 1, 4])
    def test_failures_are_left_out(
        self, make_executor: MakeExecutor, method: str, chunk: int, buffer: int | None
    ) -> None:
        """Also more of them, one after another, than there is room for."""
        items = [1, *[0] * 30, 2, *[0] * 30]
        got = make_executor(method).map(
            inverse, items, chunksize=chunk, buffersize=buffer, errors="skip"
        )
        assert list(got) == [1, 0]
        assert ends(got)

    def test_several_iterables(self, make_executor: MakeExecutor, method: str) -> None:
        executor = make_executor(method)
        got = list(executor.map(operator.floordiv, [4, 4], [2, 0], errors="return"))
        assert got[0] == 2
        assert isinstance(got[1], oc.Failed)
        assert got[1].item == (4, 0)

    @pytest.mark.parametrize("chunk", [1, 3])
    def test_no_more_is_taken_than_fits(
        self, make_executor: MakeExecutor, method: str, chunk: int
    ) -> None:
        items = iter([0, 1] * 50)
        got = make_executor(method).map(
            inverse, items, buffersize=2, chunksize=chunk, errors="skip"
        )
        assert operator.length_hint(items) == 100 - 2 * chunk
        assert next(got) == 1
        assert 100 - operator.length_hint(items) <= 3 * chunk + 2

    def test_a_worker_that_dies_and_an_item_that_cannot_be_pickled(
        self, make_executor: MakeExecutor, process_method: str
    ) -> None:
        executor = make_executor(process_method)
        died = list(executor.map(partial(tasks.die_on, 3), range(6), errors="return"))
        assert [each for each in died if not isinstance(each, oc.Failed)] == [0, 1, 2, 4, 5]
        assert isinstance(died[3], oc.Failed)
        assert isinstance(died[3].exception, oc.WorkerDied)
        items = [1, _lock(), 3]
        assert list(executor.map(tasks.same, items, errors="skip")) == [1, 3]

    def test_a_timeout_ends_it_all_the_same(
        self, make_executor: MakeExecutor, signs: Signs, method: str
    ) -> None:
        got = make_executor(method).map(
            partial(tasks.meet, signs), [0, 1], [0, 63], timeout=0.5, errors="skip"
        )
        with pytest.raises(TimeoutError):
            list(got)
        assert ends(got)

    def test_other_kinds_are_refused_at_once(self, make_executor: MakeExecutor) -> None:
        with pytest.raises(ValueError, match="errors is one of raise, return, skip"):
            make_executor("fork").map(str, [1], errors="ignore")  # type: ignore[call-overload]


def inverse(number: int) -> int:
    return 1 // number
