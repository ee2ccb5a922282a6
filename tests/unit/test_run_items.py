"""A function applied to what came with a task: which items run, what comes of those that fail."""

from __future__ import annotations

import traceback
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._protocol import run_items, wire
from onecopy._protocol.strides import Strides

EXCEPTIONS = [ValueError, StopIteration, KeyboardInterrupt, GeneratorExit, BaseException]


@given(st.lists(st.sampled_from([None, *EXCEPTIONS]), max_size=12))
def test_every_item_runs_and_each_failure_is_its_own(
    plan: list[type[BaseException] | None],
) -> None:
    ran: list[int] = []

    def function(at: int) -> int:
        ran.append(at)
        if (kind := plan[at]) is not None:
            raise kind(at)
        return -at

    values, errors = run_items.run_chunk(function, range(len(plan)))
    assert ran == list(range(len(plan)))
    assert values == [-at if kind is None else None for at, kind in enumerate(plan)]
    assert list(errors) == [at for at, kind in enumerate(plan) if kind is not None]
    for at, (error, argument) in errors.items():
        assert argument == at
        if plan[at] is StopIteration:
            # It would end the loop in C, and be taken for the end of the items.
            assert repr(error) == "RuntimeError('the function raised StopIteration')"
        else:
            assert type(error) is plan[at]
            assert error.args == (at,)


@pytest.mark.parametrize("size", [1, 3])
def test_an_item_is_found_by_its_place_whatever_an_index_means(size: int) -> None:
    items: Any = pd.Series([1, 0, 2][-size:], index=[7.5, 0, 1][-size:])
    values, errors = run_items.run_chunk(lambda item: 1 // (item - 2), items)
    assert values == [-1, -1, None][-size:]
    assert [(at, item) for at, (_, item) in errors.items()] == [(size - 1, 2)]


@pytest.mark.parametrize("kind", [SystemExit, KeyError])
def test_what_ends_the_chunk_does_so(kind: type[BaseException]) -> None:
    ran: list[int] = []

    def function(at: int) -> None:
        ran.append(at)
        raise kind if at == 2 else ValueError

    with pytest.raises(kind):
        run_items.run_chunk(function, range(5), (kind,))
    assert ran == [0, 1, 2]


def test_an_iterator_among_the_results_is_a_value_like_others() -> None:
    def function(at: int) -> Iterator[int]:
        return iter([at])

    values, errors = run_items.run_chunk(function, [1, 2])
    assert [next(value) for value in values] == [1, 2]
    assert not errors


def test_errors_make_no_cycle_with_the_frames_of_their_tracebacks() -> None:
    def function(item: int) -> None:
        raise ValueError(item)

    _, errors = run_items.run_chunk(function, [1, 2])
    for error, _ in errors.values():
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        assert len(frames) == 2
        assert not any(value is errors for frame in frames for value in frame.f_locals.values())


class TestCut:
    """A chunk that the owner cuts short."""

    def strides(self, items: list[int], words: memoryview[int], end: int) -> Strides:
        return Strides(items, words, 7, 0, lambda: end)

    def test_items_before_the_cut_run_and_no_others(self) -> None:
        words = memoryview(array("Q", [0, 0, 0, 0]))
        ran: list[int] = []

        def function(at: int) -> int:
            ran.append(at)
            if at == 2:
                words[1] = 1  # the owner orders
            if at == 1:
                raise ValueError
            return at

        items = list(range(10))
        values, errors = run_items.run_chunk(
            function, items, strides=self.strides(items, words, end=4)
        )
        assert ran == [0, 1, 2, 3]
        assert values == [0, None, 2, 3]
        assert list(errors) == [1]

    def test_a_cut_before_the_first_item(self) -> None:
        values, errors = run_items.run_chunk(
            abs, [1, 2], strides=self.strides([1, 2], memoryview(array("Q", [0, 1, 0, 0])), end=0)
        )
        assert (values, errors) == ([], {})


def test_star() -> None:
    assert run_items.star(divmod)((7, 2)) == (3, 1)
    with pytest.raises(TypeError):
        run_items.star(divmod)(7)


@given(st.integers(0, 50), st.integers(1, 60), st.integers(1, 3))
def test_blocks_are_all_the_rows_in_order(length: int, rows: int, arrays: int) -> None:
    data = [np.arange(length) + 100 * at for at in range(arrays)]
    blocks = run_items.blocks_of((rows, 0, *data))
    assert len(blocks) == -(-length // rows)
    assert all(0 < len(block[0]) <= rows for block in blocks)
    for at, whole in enumerate(data):
        assert [x for block in blocks for x in block[at]] == whole.tolist()
    assert len(run_items.items_of(wire.BLOCKS, (rows, 0, *data))) == len(blocks)


TABLE = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}, index=[9, 8, 7])
GRID = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("data", "axis", "length", "wanted"),
    [
        ([1, 2, 3], 0, 3, [2, 3]),
        (GRID, 0, 2, GRID[1:3]),
        (GRID, 1, 3, GRID[:, 1:3]),
        (GRID, 2, 4, GRID[:, :, 1:3]),
        # By position, not by label.
        (TABLE, 0, 3, TABLE.iloc[1:3]),
        (TABLE, 1, 2, TABLE[["b"]]),
        (TABLE["a"], 0, 3, TABLE["a"].iloc[1:3]),
    ],
)
def test_cut_along_an_axis(data: Any, axis: int, length: int, wanted: Any) -> None:
    assert run_items.length_of(data, axis) == length
    found = run_items.cut(data, 1, 3, axis)
    if isinstance(wanted, list):
        assert found == wanted
    else:
        assert type(found) is type(wanted)
        assert np.array_equal(found, wanted)
        assert getattr(found, "index", None) is None or found.index.equals(wanted.index)


def test_how_a_function_is_applied() -> None:
    assert run_items.function_for(wire.MAP, abs) is abs
    assert run_items.function_for(wire.STARMAP, divmod)((7, 2)) == (3, 1)
    assert run_items.function_for(wire.BLOCKS, len)(([1, 2],)) == 2
    payload = [1, 2]
    assert run_items.items_of(wire.MAP, payload) is payload
