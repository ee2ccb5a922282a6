"""Random frames, tables and objects that hold them, and what has to be true after a journey.

A column is drawn by its kind and a seed; the kinds are all those that the codec promises to
carry. Used by the codec's tests, which know no process, and by those with real workers.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

from onecopy._objects.mappings import SharedDict, SharedSet
from onecopy._objects.sequences import SharedList

# polars starts threads and opens descriptors when it first carries out a plan, and keeps them.
pl.LazyFrame({"a": [1]}).filter(pl.col("a") > 0).collect()

Column = Callable[[int, Any], Any]  # length, numpy's random generator

_WORDS = ["", "a", "ä€😀", "b" * 13, "some words that do not fit in a view"]


def _words(n: int, random: Any) -> Any:
    return np.array(_WORDS, object)[random.integers(0, len(_WORDS), n)]


def _holes(values: Any, random: Any) -> list[Any]:
    return [None if hole else v for v, hole in zip(values, random.random(len(values)) < 0.2)]  # noqa: B905


def _seconds(n: int, random: Any, unit: str = "ns") -> Any:
    return random.integers(0, 1 << 31, n).astype("M8[s]").astype(f"M8[{unit}]")


PANDAS: dict[str, Column] = {
    "ints": lambda n, r: r.integers(-9, 9, n),
    "floats": lambda n, r: r.normal(size=n),
    "small": lambda n, r: r.integers(0, 9, n).astype("u1"),
    "bools": lambda n, r: r.integers(0, 2, n).astype(bool),
    "complex": lambda n, r: r.normal(size=n) * 1j,
    "datetimes": lambda n, r: _seconds(n, r, "us"),
    "zones": lambda n, r: pd.DatetimeIndex(_seconds(n, r, "us")).tz_localize("UTC").tz_convert("Asia/Tokyo"),
    "timedeltas": lambda n, r: r.integers(0, 99, n).astype("m8[ms]"),
    "periods": lambda n, r: pd.PeriodIndex.from_ordinals(r.integers(0, 99, n), freq="M"),
    "intervals": lambda n, r: pd.arrays.IntervalArray.from_breaks(np.sort(r.normal(size=n + 1))),
    "categories": lambda n, r: pd.Categorical(_holes(_words(n, r), r), _WORDS, ordered=True),
    "strings": lambda n, r: pd.array(_holes(_words(n, r), r), dtype="str"),
    "string": lambda n, r: pd.array(_holes(_words(n, r), r), dtype="string[pyarrow]"),
    "nullable": lambda n, r: pd.array(_holes(r.integers(0, 9, n).tolist(), r), dtype="Int32"),
    "maybe": lambda n, r: pd.array(_holes([True] * n, r), dtype="boolean"),
    "arrow": lambda n, r: pd.array(_holes(r.integers(0, 9, n).tolist(), r), dtype="int64[pyarrow]"),
    "lists": lambda n, r: pd.array([[1, 2]] * n, dtype=pd.ArrowDtype(pa.list_(pa.int8()))),
    "sparse": lambda n, r: pd.arrays.SparseArray(r.integers(0, 2, n) * 1.5, fill_value=0.0),
}  # fmt: skip

ARROW: dict[str, Column] = {
    "ints": lambda n, r: pa.array(_holes(r.integers(0, 9, n).tolist(), r), pa.int64()),
    "bools": lambda n, r: pa.array(_holes([True] * n, r), pa.bool_()),
    "strings": lambda n, r: pa.array(_holes(_words(n, r), r), pa.string()),
    "large": lambda n, r: pa.array(_holes(_words(n, r), r), pa.large_string()),
    "views": lambda n, r: pa.array(_holes(_words(n, r), r), pa.string_view()),
    "binary": lambda n, r: pa.array([b"x" * (i % 20) for i in range(n)], pa.binary_view()),
    "fixed": lambda n, r: pa.array([b"xyz"] * n, pa.binary(3)),
    "dictionary": lambda n, r: pa.array(_holes(_words(n, r), r), pa.string()).dictionary_encode(),
    "lists": lambda n, r: pa.array(_holes([["a"] * (i % 3) for i in range(n)], r), pa.list_(pa.string())),
    "records": lambda n, r: pa.array(_holes([{"a": i % 99, "b": "x"} for i in range(n)], r), pa.struct({"a": pa.int8(), "b": pa.string()})),
    "maps": lambda n, r: pa.array([[("k", i % 9)] for i in range(n)], pa.map_(pa.string(), pa.int8())),
    "times": lambda n, r: pa.array(_seconds(n, r, "us")).cast(pa.timestamp("us", "Europe/Berlin")),
    "decimals": lambda n, r: pa.array([decimal.Decimal(i % 999) for i in range(n)], pa.decimal128(12, 2)),
    "nulls": lambda n, r: pa.nulls(n),
    "uuids": lambda n, r: pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"u" * 16] * n, pa.binary(16))),
    "runs": lambda n, r: pa.RunEndEncodedArray.from_arrays(np.arange(1, n + 1, dtype="i4"), r.integers(0, 9, n)),
    "unions": lambda n, r: pa.UnionArray.from_sparse(pa.array(np.zeros(n, "i1")), [pa.array(r.normal(size=n))]),
}  # fmt: skip

POLARS: dict[str, Column] = {
    "ints": lambda n, r: pl.Series(_holes(r.integers(0, 9, n).tolist(), r), dtype=pl.Int16),
    "floats": lambda n, r: pl.Series(r.normal(size=n)),
    "sorted": lambda n, r: pl.Series(np.sort(r.normal(size=n))).set_sorted(),
    "bools": lambda n, r: pl.Series(_holes([True] * n, r), dtype=pl.Boolean),
    "strings": lambda n, r: pl.Series(_holes(_words(n, r), r), dtype=pl.String),
    "binary": lambda n, r: pl.Series([b"x" * (i % 20) for i in range(n)], dtype=pl.Binary),
    "categories": lambda n, r: pl.Series(_holes(_words(n, r), r), dtype=pl.Categorical),
    "named": lambda n, r: pl.Series(_holes(_words(n, r), r), dtype=pl.Categorical(pl.Categories("w"))),
    "enums": lambda n, r: pl.Series(_holes(_words(n, r), r), dtype=pl.Enum(_WORDS)),
    "lists": lambda n, r: pl.Series(_holes([[i, None] for i in range(n)], r), dtype=pl.List(pl.Int64)),
    "arrays": lambda n, r: pl.Series([[i, i] for i in range(n)], dtype=pl.Array(pl.Int32, 2)),
    "records": lambda n, r: pl.Series(_holes([{"a": i, "b": "x"} for i in range(n)], r), dtype=pl.Struct({"a": pl.Int64, "b": pl.String})),
    "deep": lambda n, r: pl.Series([[{"a": "b"}]] * n, dtype=pl.List(pl.Struct({"a": pl.Enum(["a", "b"])}))),
    "dates": lambda n, r: pl.Series([datetime.date(2020, 1, 1 + i % 9) for i in range(n)], dtype=pl.Date),
    "zones": lambda n, r: pl.Series(_seconds(n, r, "us")).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
    "durations": lambda n, r: pl.Series(r.integers(0, 99, n).astype("m8[ms]")),
    "decimals": lambda n, r: pl.Series([decimal.Decimal(i % 999) for i in range(n)], dtype=pl.Decimal(12, 2)),
    "wide": lambda n, r: pl.Series(_holes(range(n), r), dtype=pl.Int128),
    "nulls": lambda n, r: pl.Series([None] * n, dtype=pl.Null),
}  # fmt: skip

# Those of which something is made again where they arrive: see ``kinds.polars``.
NOT_SHARED = {"records", "deep", "wide"}


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    name: str
    data: Any


@attrs.define
class Defined:
    name: str
    data: Any


class Named(NamedTuple):
    name: str
    data: Any


@st.composite
def pandas(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(PANDAS)) -> Any:
    """A DataFrame, Series or Index."""
    columns, n, random = _drawn(draw, kinds)
    frame = pd.DataFrame({name: PANDAS[name](n, random) for name in columns})
    index = draw(st.sampled_from(["range", "numbers", "times", "multi"]))
    if index == "numbers":
        frame.index = pd.Index(random.permutation(n), name="at")
    elif index == "times":
        frame.index = pd.date_range("2020", periods=n, freq="h", tz="UTC")
    elif index == "multi" and n:
        frame.index = pd.MultiIndex.from_arrays([_words(n, random).astype("U"), np.arange(n) % 3])
    frame = frame.iloc[draw(_rows(n))]
    form = draw(st.sampled_from(["frame", "frame", "series", "index"]))
    if form == "series" and columns:
        return frame[columns[0]]
    return frame.index if form == "index" else frame


@st.composite
def arrow(draw: st.DrawFn) -> Any:
    """A Table, RecordBatch, ChunkedArray or Array."""
    columns, n, random = _drawn(draw, tuple(ARROW))
    made = {name: ARROW[name](n, random) for name in columns}
    form = draw(st.sampled_from(["table", "chunks", "batch", "array"]))
    table = pa.table(made, metadata=None)
    if form == "batch" or not columns:
        return pa.RecordBatch.from_arrays(list(made.values()), list(made))[draw(_rows(n))]
    if form == "array":
        return made[columns[0]][draw(_rows(n))]
    if draw(st.booleans()):
        table = pa.concat_tables([table, table[1:2]])
    table = table[draw(_rows(n))].replace_schema_metadata({"k": "v"})
    return table if form == "table" else table.column(0)


@st.composite
def polars(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(POLARS)) -> Any:
    """A DataFrame or Series of polars."""
    columns, n, random = _drawn(draw, kinds)
    frame = pl.DataFrame([POLARS[name](n, random).alias(name) for name in columns])
    if draw(st.booleans()) and columns:
        frame = pl.concat([frame, frame[1:3]], rechunk=False)
    frame = frame[draw(_rows(frame.height))]
    return frame.to_series(0) if draw(st.booleans()) and columns else frame


def _drawn(draw: st.DrawFn, kinds: tuple[str, ...]) -> tuple[list[str], int, Any]:
    columns = draw(st.lists(st.sampled_from(kinds), max_size=4, unique=True))
    n = draw(st.sampled_from([0, 1, 5, 30, 3000]))
    return columns, n, np.random.default_rng(draw(st.integers(0, 99)))


def _rows(n: int) -> st.SearchStrategy[slice]:
    cut = st.builds(slice, st.integers(0, n), st.integers(0, n))
    return st.just(slice(None)) | cut


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Containers and records of them, some levels deep."""

    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        name = st.text(max_size=3)
        return (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(name, inner, max_size=3)
            | st.builds(Slotted, name, inner)
            | st.builds(Defined, name, inner)
            | st.builds(Named, name, inner)
        )

    return st.recursive(leaves, around, max_leaves=4)


def assert_equal(got: Any, sent: Any) -> None:
    """`got` is what `sent` was: the same type, dtypes, names, values and flags.

    A structure stands for a container of which `share` has made it.
    """
    if isinstance(got, SharedList | SharedDict | SharedSet):
        got = type(sent)(got)
    assert type(got) is type(sent)
    if isinstance(sent, pd.DataFrame):
        pd.testing.assert_frame_equal(got, sent, check_freq=True)
        assert got.flags == sent.flags
    elif isinstance(sent, pd.Series):
        pd.testing.assert_series_equal(got, sent)
    elif isinstance(sent, pd.Index):
        pd.testing.assert_index_equal(got, sent, exact=True)
    elif isinstance(sent, pa.Table | pa.RecordBatch | pa.ChunkedArray | pa.Array):
        assert got.equals(sent)
        got.validate(full=True)
        if isinstance(sent, pa.Table | pa.RecordBatch):
            assert got.schema.equals(sent.schema, check_metadata=True)
    elif isinstance(sent, pl.DataFrame):
        assert (got.columns, got.height) == (sent.columns, sent.height)
        for one, other in zip(got, sent, strict=True):
            assert_equal(one, other)
    elif isinstance(sent, pl.Series):
        assert got.equals(sent, check_dtypes=True, check_names=True, null_equal=True)
        for flag, descending in (("SORTED_ASC", False), ("SORTED_DESC", True)):
            assert got.flags[flag] or not sent.flags[flag]
            # polars finds out by itself that pieces of one row each are in order.
            if got.flags[flag]:
                assert sent.is_sorted(descending=descending)
    elif isinstance(sent, np.ndarray):
        np.testing.assert_array_equal(got, sent, strict=True)
    else:
        _assert_parts_equal(got, sent)


def _assert_parts_equal(got: Any, sent: Any) -> None:
    if isinstance(sent, dict):
        assert list(got) == list(sent)
        got, sent = list(got.values()), list(sent.values())
    if isinstance(sent, Slotted | Defined):
        got, sent = (got.name, got.data), (sent.name, sent.data)
    if isinstance(sent, list | tuple):
        assert len(got) == len(sent)
        for one, other in zip(got, sent, strict=True):
            assert_equal(one, other)
    else:
        assert got == sent
