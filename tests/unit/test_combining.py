"""Reductions of blocks' results: by label for pandas, without what is masked, never stretched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onecopy._engine import blocks

# polars starts threads and opens descriptors when it first computes, and keeps them.
pl.DataFrame({"a": [2, 1]}).sort("a").group_by("a").len()

FRAME = pd.DataFrame(
    {
        "city": ["Oslo"] * 4 + ["Rome"] * 3 + ["Oslo"],
        "kind": ["a", "a", "b", "b", "c", "a", "b", "c"],
        "sold": range(1, 9),
    }
)


def reduced(func: Callable[[Any], Any], data: Any, reduce: str, rows: int) -> Any:
    fold = blocks.fold(reduce, 0)
    assert fold is not None
    for start in range(0, len(data), rows):
        block = data[start : start + rows]
        fold.add(func(block), len(block))
    return fold.total()


@pytest.mark.parametrize("reduce", ["sum", "min", "max"])
@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 2), st.integers(-9, 9)),
        min_size=1,
    ),
    block=st.integers(1, 5),
)
def test_groups_by_label(reduce: str, rows: list[tuple[Any, ...]], block: int) -> None:
    frame = pd.DataFrame(rows, columns=["k", "n", "v"])

    def one(part: Any) -> Any:
        return getattr(part.groupby("k", dropna=False).v, reduce)()

    def two(part: Any) -> Any:
        return getattr(part.groupby(["k", "n"])[["v"]], reduce)()

    pd.testing.assert_series_equal(reduced(one, frame, reduce, block), one(frame))
    # All rows of a block may have no key: the whole has the same dtypes then.
    found, whole = reduced(two, frame, reduce, block), two(frame)
    pd.testing.assert_frame_equal(found, whole, check_index_type=False)


def test_counts_and_tables_of_counts() -> None:
    found = reduced(lambda part: part.city.value_counts(), FRAME, "sum", 3)
    assert found.to_dict() == {"Oslo": 5, "Rome": 3}
    assert found.dtype == np.int64
    table = reduced(lambda part: pd.crosstab(part.city, part.kind), FRAME, "sum", 2)
    pd.testing.assert_frame_equal(table, pd.crosstab(FRAME.city, FRAME.kind))


def test_a_value_that_is_nan_is_not_a_missing_label() -> None:
    parts = [pd.Series({"a": 1.0, "b": np.nan}), pd.Series({"b": 1.0, "c": 2.0})]
    found = reduced(lambda part: part[0], parts, "sum", 1)
    pd.testing.assert_series_equal(found, pd.Series({"a": 1.0, "b": np.nan, "c": 2.0}))


def test_labels_that_cannot_be_combined() -> None:
    with pytest.raises(ValueError, match="some label comes twice"):
        reduced(lambda part: part.set_index("city").sold, FRAME, "sum", 3)
    with pytest.raises(ValueError, match=r"return result\.stack\(\)"):
        reduced(lambda part: pd.crosstab(part.city, part.kind), FRAME, "max", 2)
    with pytest.raises(ValueError, match="Return the sums and the counts"):
        reduced(lambda part: part.groupby("city").sold.mean(), FRAME, "mean", 3)
    assert reduced(lambda part: part[["sold"]].mean(), FRAME, "mean", 3).to_dict() == {"sold": 4.5}


def test_frames_without_labels() -> None:
    frame = pl.from_pandas(FRAME)
    total = reduced(lambda part: part.select(pl.col("sold").sum()), frame, "sum", 3)
    assert total.rows() == [(36,)]
    for reduce in ("sum", "min", "max", "mean"):
        for data in (frame.select("city", "sold"), pa.table({"city": ["a", "b"]})):
            with pytest.raises(TypeError, match="reduce='concat'"):
                reduced(lambda part: part, data, reduce, 1)
    with pytest.raises(ValueError, match="different columns"):
        reduced(
            lambda part: part[0], [pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]})], "sum", 1
        )


@pytest.mark.parametrize("reduce", ["sum", "min", "max", "mean"])
def test_what_is_masked_is_left_out(reduce: str) -> None:
    func: Any = getattr(np, reduce)
    data: Any = np.ma.array(np.arange(10.0), mask=np.arange(10) >= 3)
    for part in (data, data[::-1]):
        assert reduced(func, part[1:], reduce, 3) == func(part[1:])
    assert reduced(func, data[3:], reduce, 3) is np.ma.masked

    masks = [[1, 0, 1], [1, 0, 1], [0, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1]]
    table: Any = np.ma.array(np.arange(18).reshape(6, 3), mask=np.array(masks, bool))
    found, whole = reduced(lambda part: func(part, axis=0), table, reduce, 2), func(table, axis=0)
    assert found.tolist() == whole.tolist() == [*whole.tolist()[:2], None]
    assert found.dtype == whole.dtype


@pytest.mark.parametrize("reduce", ["sum", "min", "max", "mean"])
def test_arrays_of_unequal_shapes_are_not_stretched(reduce: str) -> None:
    with pytest.raises(ValueError, match="minlength"):
        reduced(np.bincount, np.array([0, 0, 1, 2]), reduce, 2)
    # A single number is no array: it is combined with each element.
    parts = [0, np.array([1, 2])]
    assert reduced(lambda part: part[0], parts, reduce, 1).shape == (2,)
