"""Jobs without a pool: what becomes of each item, in whatever order the outcomes come."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onecopy._engine.block_items import BlockItems
from onecopy._engine.functions import Function
from onecopy._engine.jobs import Items, MapJob, NoResult, StreamJob
from onecopy._protocol import wire
from onecopy._schedule.events import Assignment
from tests.pooled import double

FUNCTION = Function(1, double, None)


def assignment(start: int, stop: int) -> Assignment:
    return Assignment(1, 1, start, stop)


def stream(count: int = 100, **options: Any) -> StreamJob:
    """A stream of numbers, all of them taken."""
    items = Items(range(count))
    while items.take():
        pass
    return StreamJob(FUNCTION, items, wire.MAP, None, **options)


def mapped(count: int, **options: Any) -> MapJob:
    return MapJob(FUNCTION, range(count), wire.MAP, None, **options)


class Outcomes(RuleBasedStateMachine):
    """Outcomes of items in any order and shape, and fetches in between: each item's outcome is
    fetched once; of an ordered stream, in the items' order."""

    ordered = True

    def __init__(self) -> None:
        super().__init__()
        self.job = stream(0, ordered=self.ordered)
        self.came: dict[int, Any] = {}
        self.open: list[int] = []
        self.fetched: list[int] = []
        self.told = 0
        self.job.tell = self.tell

    def tell(self) -> None:
        self.told += 1

    @precondition(lambda self: self.job.end is None)
    @rule(more=st.integers(1, 5))
    def take(self, more: int) -> None:
        for _ in range(more):
            self.open.append(self.job.items.taken)
            self.job.items.put(self.job.items.taken)

    def run(self, data: st.DataObject) -> range:
        """Some open items that are neighbours."""
        start = data.draw(st.sampled_from(self.open))
        stop = start + 1
        while stop in self.open and data.draw(st.booleans()):
            stop += 1
        self.open = [at for at in self.open if not start <= at < stop]
        return range(start, stop)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        run = self.run(data)
        values = [f"value {at}" for at in run]
        self.came |= dict(zip(run, values, strict=True))
        self.job.deliver(assignment(run.start, run.stop), values)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        run = self.run(data)
        error = ValueError(f"run {run.start}")
        self.came |= dict.fromkeys(run, error)
        self.job.fail(assignment(run.start, run.stop), error)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def partly(self, data: st.DataObject) -> None:
        run = self.run(data)
        bad = [at for at in run if data.draw(st.booleans())]
        errors: dict[int, BaseException] = {at - run.start: KeyError(at) for at in bad}
        values = {at - run.start: at for at in run if at not in bad}
        self.came |= {at + run.start: value for at, value in (values | errors).items()}
        self.job.partly(assignment(run.start, run.stop), values, errors)

    @precondition(lambda self: self.job.end is None)
    @rule()
    def finish(self) -> None:
        self.job.finish_at(self.job.items.taken)

    def next(self) -> int | None:
        left = [at for at in self.came if at not in self.fetched]
        if self.ordered:
            return min(left) if left and min(left) == len(self.fetched) else None
        return left[0] if left else None

    @rule()
    def fetch(self) -> None:
        at = self.next()
        if at is not None:
            self.fetched.append(at)
            assert self.job.has_next()
            if isinstance(self.came[at], BaseException):
                with pytest.raises(type(self.came[at])) as caught:
                    self.job.fetch(0)
                assert caught.value is self.came[at]
            else:
                assert self.job.fetch(0) == self.came[at]
        elif self.job.end == len(self.fetched):
            assert self.job.finished()
            with pytest.raises(StopIteration):
                self.job.fetch(0)
        else:
            assert not self.job.has_next()
            with pytest.raises(NoResult):
                self.job.fetch(0)

    @invariant()
    def those_before_are_settled(self) -> None:
        first_open = next(at for at in range(len(self.came) + 1) if at not in self.came)
        assert self.job.settled == first_open

    @invariant()
    def it_tells_of_each_change(self) -> None:
        assert (self.told > 0) == bool(self.came or self.job.end is not None)


class OutcomesAsTheyCome(Outcomes):
    """The same for a stream that is not ordered."""

    ordered = False


TestOrdered = Outcomes.TestCase
TestUnordered = OutcomesAsTheyCome.TestCase


class TestStream:
    def test_whoever_waits_is_woken(self) -> None:
        job = stream(1)
        got: list[Any] = []
        thread = threading.Thread(target=lambda: got.append(job.fetch()))
        thread.start()
        job.deliver(assignment(0, 1), ["x"])
        thread.join()
        assert got == ["x"]

    def test_wait_all_waits_for_items_that_nobody_fetches(self) -> None:
        job = stream(3)
        thread = threading.Thread(target=job.wait_all)
        thread.start()
        job.deliver(assignment(1, 3), [1, 2])
        job.finish_at(3)
        assert thread.is_alive()
        job.fail(assignment(0, 1), ValueError())
        thread.join()

    def test_meanwhile_may_end_the_wait(self) -> None:
        job = stream(1)
        with pytest.raises(KeyboardInterrupt):
            job.wait_next(meanwhile=interrupt)

    def test_a_timeout_of_an_item_is_its_error(self) -> None:
        job = stream(1)
        job.fail(assignment(0, 1), TimeoutError("its own"))
        with pytest.raises(TimeoutError, match="its own"):
            job.fetch(0)

    def test_cancel_ends_the_first_that_no_worker_has(self) -> None:
        job = stream(5)
        job.deliver(assignment(0, 1), [0])
        job.deliver(assignment(3, 4), [3])
        job.cancel_waiting([assignment(1, 3)])
        job.deliver(assignment(1, 3), [1, 2])
        assert [job.fetch(0) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(CancelledError):
            job.fetch(0)

    def test_cancel_when_workers_have_all_there_is(self) -> None:
        job = stream(2)
        job.cancel_waiting([assignment(0, 2)])
        job.deliver(assignment(0, 2), [0, 1])
        job.finish_at(2)
        assert [job.fetch(0), job.fetch(0)] == [0, 1]
        with pytest.raises(StopIteration):
            job.fetch(0)

    def test_abandoned_it_gives_what_has_come_and_then_the_error_for_ever(self) -> None:
        job = stream(2)
        job.deliver(assignment(0, 1), [0])
        job.abandon(OSError("the pool has gone"))
        assert job.fetch(0) == 0
        for _ in range(2):
            with pytest.raises(OSError, match="the pool has gone"):
                job.fetch(0)

    def test_abandoned_behind_its_last_item_it_ends_as_usual(self) -> None:
        job = stream(1)
        job.deliver(assignment(0, 1), [0])
        job.finish_at(1)
        job.abandon(OSError())
        assert job.fetch(0) == 0
        with pytest.raises(StopIteration):
            job.fetch(0)

    @pytest.mark.parametrize("first", [0, 1, 2])
    def test_forsaken_it_keeps_no_results_and_says_when_all_have_come(self, first: int) -> None:
        class Value:
            pass

        job = stream(2)
        calls: list[str] = []
        for at in range(first):
            job.deliver(assignment(at, at + 1), [at])
        job.forsake(2, lambda: calls.append("ended"))
        assert bool(calls) == (first == 2)
        for at in range(first, 2):
            value = Value()
            gone = weakref.ref(value)
            job.deliver(assignment(at, at + 1), [value])
            del value
            assert gone() is None
        assert calls

    def test_chunks_of_a_given_size_are_handed_out_whole(self) -> None:
        assert stream(1, chunk=4).whole(11) == 8
        assert stream(1).whole(11) == 11

    def test_what_is_raised_makes_no_cycle(self) -> None:
        job = stream(1)
        error = ValueError()
        job.fail(assignment(0, 1), error)
        with pytest.raises(ValueError) as caught:  # noqa: PT011  it is looked at below
            job.fetch(0)
        assert caught.value is error
        assert error.__traceback__ is not None
        frames = error.__traceback__.tb_next
        while frames is not None:
            assert error not in frames.tb_frame.f_locals.values()
            frames = frames.tb_next


def interrupt() -> None:
    raise KeyboardInterrupt


class TestMap:
    @given(st.data(), st.integers(0, 12))
    def test_each_value_is_at_its_place(self, data: st.DataObject, count: int) -> None:
        ends: list[MapJob] = []
        job = mapped(count, done=ends.append)
        edges = sorted(data.draw(st.sets(st.integers(1, max(count - 1, 1)))) & {*range(1, count)})
        runs = list(zip([0, *edges], [*edges, count], strict=True)) if count else []
        for start, stop in data.draw(st.permutations(runs)):
            assert not job.ready()
            job.deliver(assignment(start, stop), [-at for at in range(start, stop)])
        assert job.ready()
        assert ends == [job]
        assert job.result() == [-at for at in range(count)]

    def test_the_error_of_the_first_item_is_raised_and_only_when_all_have_ended(self) -> None:
        job = mapped(6)
        job.fail(assignment(4, 6), ValueError("later"))
        job.partly(assignment(2, 4), {1: "x"}, {0: ValueError("item 2")})
        assert not job.ready()
        job.deliver(assignment(0, 2), [0, 1])
        with pytest.raises(ValueError, match="item 2"):
            job.result()

    def test_abandoned(self) -> None:
        ends: list[MapJob] = []
        job = mapped(2, done=ends.append)
        job.abandon(OSError("the pool has gone"))
        # What was on its way comes too late.
        job.deliver(assignment(0, 1), [0])
        job.deliver(assignment(1, 2), [0])
        job.abandon(OSError("again"))
        assert ends == [job]
        with pytest.raises(OSError, match="the pool has gone"):
            job.result()


class TestItems:
    def test_a_window_on_what_was_taken(self) -> None:
        items = Items(iter("abcdef"))
        for _ in range(4):
            assert items.take()
        assert items[1:3] == ["b", "c"]
        items.forget(2)
        assert items[2:4] == ["c", "d"]
        items.forget(1)  # behind it already
        assert items[2:4] == ["c", "d"]
        assert [items.take() for _ in range(3)] == [True, True, False]
        assert (items.taken, items[2:6]) == (6, ["c", "d", "e", "f"])
        items.forget(99)
        assert items[6:9] == []

    def test_what_the_iterator_raises_comes_through_and_takes_nothing(self) -> None:
        def numbers() -> Iterator[int]:
            yield 1
            raise LookupError

        items = Items(numbers())
        items.take()
        with pytest.raises(LookupError):
            items.take()
        assert items.taken == 1

    def test_a_finalizer_of_an_item_may_use_them(self) -> None:
        class Item:
            def __del__(self) -> None:
                seen.append(items[1:2])

        seen: list[list[Any]] = []
        items = Items([])
        items.put(Item())
        items.put("kept")
        items.forget(1)
        assert seen == [["kept"]]


@given(st.integers(1, 40), st.integers(1, 45), st.data())
def test_runs_of_blocks_are_cut_as_one_piece(length: int, rows: int, data: st.DataObject) -> None:
    array = np.arange(length)
    blocks = BlockItems([array, array * 2], rows, 0)
    assert len(blocks) == -(-length // rows)
    start = data.draw(st.integers(0, len(blocks) - 1))
    stop = data.draw(st.integers(start + 1, len(blocks)))
    found_rows, axis, one, two = blocks[start:stop]
    assert (found_rows, axis) == (rows, 0)
    assert one.tolist() == list(range(start * rows, min(stop * rows, length)))
    assert np.shares_memory(one, array)
    assert (two == 2 * one).all()
    with pytest.raises(TypeError, match="cut by the workers"):
        iter(blocks)


@pytest.mark.parametrize(
    ("start", "stop", "said"), [(3, 4, "of item 3"), (3, 6, "of items 3 to 5")]
)
def test_what_errors_call_a_run_of_items(start: int, stop: int, said: str) -> None:
    found = stream().describe(assignment(start, stop))
    assert found == f"tests.pooled.double {said}"
