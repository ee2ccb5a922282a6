"""A chunk in strides: what is run, whatever the owner cuts off and whenever."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onecopy._protocol import run_items
from onecopy._protocol.early import ROOM, Page, read
from onecopy._protocol.strides import (
    BEGUN,
    FEW,
    MOST,
    ORDERS,
    PARTS,
    STRIDE_NS,
    WORDS,
    Strides,
    begun,
)
from onecopy._system import barrier

TASK = 7


def words() -> memoryview:
    return memoryview(bytearray(8 * WORDS)).cast("Q")


class Clock:
    """Time that passes only when an item takes some."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def never() -> int:
    raise AssertionError("no order was given")


@settings(max_examples=200)
@given(
    size=st.one_of(st.integers(1, 40), st.integers(FEW + 1, 3000)),
    orders=st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=4),
    fails=st.sets(st.integers(0, 60)),
    costs=st.sampled_from([100, 10_000, 10_000_000]),
)
def test_items_up_to_the_cut_are_run_once(
    size: int, orders: list[tuple[int, bool]], fails: set[int], costs: int
) -> None:
    """The owner orders while any item is run; it cuts where the worker has said that it is."""
    mine, clock = words(), Clock()
    ran: list[int] = []
    cuts: list[int] = []
    due = dict(orders)
    pending: list[bool] = []

    def function(item: int) -> int:
        ran.append(item)
        clock.now += costs
        if item in due:
            mine[ORDERS] += 1
            seen = begun(mine[BEGUN], TASK)
            assert seen is not None
            assert seen > item, "it was begun, and that was said before"
            pending.append(due[item])
            cuts.append(seen) if due[item] else None
        if item in fails:
            raise ZeroDivisionError
        return -item

    def wait() -> int:
        cut, pending[:] = any(pending), []
        return min(cuts) if cut else MOST

    strides = Strides(range(size), mine, TASK, 0, wait, clock)
    values, errors = run_items.run_chunk(function, range(size), (SystemExit,), strides)
    stop = min([size, *cuts])
    assert ran == list(range(stop))
    assert len(values) == stop == strides.stop
    assert set(errors) == {at for at in fails if at < stop}
    assert all(values[at] == -at for at in range(stop) if at not in fails)


def test_long_chunks_have_few_strides_and_no_long_ones() -> None:
    mine, clock = words(), Clock()
    seen: list[int] = []

    def function(item: int) -> int:
        now = begun(mine[BEGUN], TASK)
        assert now is not None
        if not seen or seen[-1] != now:
            seen.append(now)
        clock.now += 1000
        return item

    size = 100_000
    run_items.run_chunk(
        function, range(size), strides=Strides(range(size), mine, TASK, 0, never, clock)
    )
    steps = [after - before for before, after in pairwise(seen)]
    assert len(seen) < 2 * PARTS
    assert max(steps) <= size // PARTS
    assert max(steps) * 1000 <= STRIDE_NS
    assert seen[0] == 1, "nothing is known of the first"


def test_an_item_that_raises_stopiteration_is_its_own_error() -> None:
    def function(item: int) -> int:
        if item == 2:
            raise StopIteration
        return item

    strides = Strides(range(5), words(), TASK, 0, never)
    values, errors = run_items.run_chunk(function, range(5), strides=strides)
    assert values == [0, 1, None, 3, 4]
    assert isinstance(errors[2][0], RuntimeError)


def test_the_word_of_another_task_says_nothing() -> None:
    mine = words()
    strides = Strides(range(3), mine, TASK, 0, never)
    assert run_items.run_chunk(abs, range(3), strides=strides) == ([0, 1, 2], {})
    assert begun(mine[BEGUN], TASK) == 3
    assert begun(mine[BEGUN], TASK + 1) is None


class TestPage:
    """Results that can be read while the chunk is run."""

    @staticmethod
    def run(
        values: list[Any], look: Callable[[int, list[Any]], None]
    ) -> tuple[list[Any], run_items.Errors, Strides]:
        """A chunk that gives these values, or raises them; ``look`` is called in each item."""
        mine, room = words(), memoryview(bytearray(ROOM))
        strides = Strides(range(len(values)), mine, TASK, 0, never)

        def function(at: int) -> Any:
            look(at, [pickle.loads(stream) for stream in read(mine, room, TASK, 0)])
            if isinstance(values[at], BaseException):
                raise values[at]
            return values[at]

        call = Page(mine, room).publishing(TASK, function, strides)
        return *run_items.run_chunk(call, range(len(values)), strides=strides), strides

    def test_each_result_is_there_when_the_next_item_begins(self) -> None:
        values = [1, "two", [3], {"four": None}, 5.0]

        def look(at: int, there: list[Any]) -> None:
            assert there == values[:at]

        assert self.run(values, look)[0] == values

    @pytest.mark.parametrize("bad", [bytes(ROOM), lambda: 0, ZeroDivisionError()])
    def test_what_cannot_be_told_ends_the_chunk(self, bad: Any) -> None:
        began: list[int] = []
        values, _, strides = self.run([0, 1, bad, 3], lambda at, _: began.append(at))
        told = callable(bad)  # a function is sent by value, and is small
        assert strides.ended is not told
        assert began == ([0, 1, 2, 3] if told else [0, 1, 2])
        assert len(values) == len(began)

    def test_a_task_that_is_over_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mine, room = words(), memoryview(bytearray(ROOM))
        page = Page(mine, room)
        run_items.run_chunk(
            page.publishing(TASK, abs, Strides(range(9), mine, TASK, 0, never)), range(9)
        )
        assert len(read(mine, room, TASK, 4)) == 5
        assert read(mine, room, TASK + 1, 0) == []

        def overtaken() -> None:
            page.publishing(TASK + 1, abs, Strides([], mine, TASK + 1, 0, never))

        monkeypatch.setattr(barrier, "everywhere", overtaken)
        assert read(mine, room, TASK, 0) == []
