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
from onecopy._engine.left_out import LeftOut

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
    with pytest.raises(TypeError, match="no labels"):  # the keys would be added too
        reduced(lambda part: part.group_by("sold", maintain_order=True).len(), frame, "sum", 4)
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


def combined(parts: list[Any], reduce: str, rows: int = 1) -> Any:
    """Combine results of blocks that have ``rows`` rows each."""
    fold = blocks.fold(reduce, 0)
    assert fold is not None
    for part in parts:
        fold.add(part, rows)
    return fold.total()


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "i2", "u4"])
def test_small_integers_are_added_as_numpy_adds_them(kind: str) -> None:
    largest: Any = np.array([1], kind)[0] if kind == "?" else np.iinfo(kind).max
    array = np.array([largest, 0], kind)
    whole = np.stack([array] * 3).sum(axis=0)
    found = combined([array] * 3, "sum")
    assert found.tolist() == whole.tolist()
    assert found.dtype == whole.dtype
    one = combined([array[0]] * 3, "sum")
    assert one == whole[0]
    assert one.dtype == whole.dtype
    column = combined([pd.Series(array)] * 3, "sum")
    assert column.tolist() == whole.tolist()
    assert column.dtype == whole.dtype
    frame = combined([pd.DataFrame({"x": array, "y": [0.5, 0.5]})] * 3, "sum")
    assert frame.x.tolist() == whole.tolist()
    assert frame.y.tolist() == [1.5, 1.5]


def test_counts_of_polars_do_not_overflow() -> None:
    counts = pl.DataFrame({"len": [2**32 - 1]}, schema={"len": pl.UInt32})
    assert combined([counts, counts], "sum").rows() == [(2**33 - 2,)]


def test_means_do_not_overflow_on_the_way() -> None:
    for mean in (np.int8(100), np.int64(2**62), np.float16(60_000), np.float32(2.5), True):
        found = combined([mean] * 4, "mean", rows=1000)
        assert float(found) == float(mean)
        kind = np.asarray(mean).dtype
        assert np.asarray(found).dtype == (kind if kind.kind == "f" else "f8")


def test_text_and_frames_of_polars_have_a_smallest_and_a_largest() -> None:
    assert combined(["b", "a"], "min") == "a"
    assert combined([b"b", b"c"], "max") == b"c"
    frames = [pl.DataFrame({"x": [2], "y": [None]}, schema_overrides={"y": pl.Int64})] * 2
    found = combined([frames[0], pl.DataFrame({"x": [1], "y": [3]})], "min")
    assert isinstance(found, pl.DataFrame)
    assert found.rows() == [(1, 3)]


@pytest.mark.parametrize("reduce", ["sum", "min", "max", "mean"])
@pytest.mark.parametrize("part", [{}, None, object()])
def test_what_cannot_be_combined_is_named(reduce: str, part: Any) -> None:
    with pytest.raises(TypeError, match=f"reduce='{reduce}' .* {type(part).__name__}.*: return"):
        combined([part, part], reduce)


def test_scalars_of_arrow_come_as_python_values() -> None:
    scalars = [pa.scalar(1.5), pa.scalar(2.5)]
    for reduce, expected in {"first": 1.5, "last": 2.5, "sum": 4.0, "mean": 2.0}.items():
        found = combined(scalars, reduce)
        assert found == expected
        assert type(found) is float


CLEAN = np.arange(4.0)
GAPS = np.array([0.0, np.nan, 2.0, 3.0])
NULLS = [0, None, 2, 3]


@pytest.mark.parametrize(
    "block",
    [
        GAPS,
        np.ma.masked_equal(CLEAN, 1.0),
        np.array(list(zip(GAPS, range(4), strict=True)), dtype=[("x", "f8"), ("y", "i4")]),
        pd.Series(GAPS),
        pd.Series(pd.array(NULLS, dtype="Int64")),
        pd.DataFrame({"k": range(4), "x": GAPS}),
        pl.Series(NULLS),
        pl.DataFrame({"k": range(4), "x": NULLS}),
        pa.table({"x": NULLS}),
        pa.array(NULLS),
        (CLEAN, GAPS),
    ],
    ids=lambda block: type(block).__module__ + "." + type(block).__name__,
)
def test_means_of_blocks_with_missing_values_are_warned_of(block: Any) -> None:
    look = LeftOut(np.nanmean)
    with pytest.warns(RuntimeWarning, match="missing values in rows 8 to 11"):
        look.look(1.5, block, 8, 4)
    look.look(1.5, block, 12, 4)  # once in a call


def test_means_that_leave_nothing_out_are_not_warned_of() -> None:
    for block in (CLEAN, np.arange(4), pd.Series(CLEAN), pl.Series([1, 2]), pa.array([1, 2]), [1]):
        LeftOut(np.nanmean).look(1.5, block, 0, 4)
    LeftOut(np.nanmean).look(np.inf, np.array([np.inf, -np.inf]), 0, 2)
    for mean in (np.nan, np.array([np.nan]), pd.Series([np.nan]), None, np.ma.masked):
        LeftOut(lambda block: block.mean()).look(mean, GAPS, 0, 4)
    LeftOut(np.mean).look(1.5, GAPS, 0, 4)  # never leaves one out, so nothing is looked at
