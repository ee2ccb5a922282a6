"""Groups of frames: every row is in one of them, whatever the keys are, and those of an ordered
shared frame move nothing."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._objects.ordering import grouped

pytestmark = [pytest.mark.door, pytest.mark.beside]

# polars starts threads and opens descriptors when it first sorts, and keeps them.
pl.DataFrame({"a": [2, 1]}).sort("a").group_by("a").len()

MakePool = Callable[..., oc.Pool]
ROWS = 600

_random = np.random.default_rng(5)


def _picked(values: list[Any]) -> list[Any]:
    return [values[at] for at in _random.integers(0, len(values), ROWS)]


KEYS: dict[str, list[Any]] = {
    "int": _picked([3, 1, 2]),
    "float": _picked([1.5, -2.0, None]),
    "text": _picked(["b", "a", "ab", None]),
    "bool": _picked([True, False]),
    "time": _picked([datetime.datetime(2024, 1, day) for day in (3, 1, 2)]),
    "many": list(_random.permutation(ROWS).tolist()),
}
MAKERS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "arrow": pa.table,
}


def rows_of(group: Any) -> list[int]:
    column = group["row"]
    return [int(each) for each in (column.to_pylist() if hasattr(column, "to_pylist") else column)]


def expected(by: list[str]) -> dict[Any, list[int]]:
    groups: dict[Any, list[int]] = {}
    for row in range(ROWS):
        key = tuple(KEYS[name][row] for name in by)
        groups.setdefault(key if len(by) > 1 else key[0], []).append(row)
    return groups


@pytest.fixture(params=list(MAKERS))
def frame(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]({**KEYS, "row": list(range(ROWS))})


@pytest.mark.parametrize("by", [*KEYS, ["text", "int"], ["bool", "float", "time"]])
def test_every_row_is_in_its_group(make_pool: MakePool, method: str, frame: Any, by: Any) -> None:
    pool = make_pool(method, 2)
    names = by if isinstance(by, list) else [by]
    assert pool.map_groups(rows_of, frame, by=by) == expected(names)
    found = pool.map_groups(rows_of, oc.share(frame, order_by=by), by=by)
    assert found == expected(names)
    keys = [key for key in found if key is not None and (by != names or None not in key)]
    assert keys == sorted(keys)


def test_groups_of_an_ordered_frame_move_nothing(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 2)
    size = 200_000
    for maker in MAKERS.values():
        data: Any = {"key": np.arange(size) % 7, "row": np.arange(size), "x": np.ones(size)}
        shared = oc.share(maker(data), order_by="key")
        assert oc.is_shared(shared)
        before = pool.stats()
        counts = pool.map_groups(len, shared, by="key")
        after = pool.stats()
        assert counts == {key: len(range(key, size, 7)) for key in range(7)}
        assert after.bytes_copied == before.bytes_copied
        assert after.bytes_sent - before.bytes_sent < 50_000


def test_groups_that_stand_together_are_left_where_they_are(
    make_pool: MakePool, method: str
) -> None:
    pool = make_pool(method, 2)
    frame = pd.DataFrame({"key": ["b", "b", "a", "c", "c"], "row": range(5)})
    found = pool.map_groups(rows_of, frame, by="key")
    assert list(found.items()) == [("b", [0, 1]), ("a", [2]), ("c", [3, 4])]


def test_categories_and_dictionaries(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 2)
    values = ["b", "a", None, "b", "a"]
    frames = [
        pd.DataFrame({"key": pd.Categorical(values, categories=["b", "a", "z"]), "row": range(5)}),
        pl.DataFrame({"key": pl.Series(values, dtype=pl.Categorical), "row": range(5)}),
        pa.table({"key": pa.array(values).dictionary_encode(), "row": range(5)}),
    ]
    for frame in frames:
        assert pool.map_groups(rows_of, frame, by="key") == {"a": [1, 4], "b": [0, 3], None: [2]}


def test_failures_and_what_is_no_frame(make_pool: MakePool, method: str, frame: Any) -> None:
    pool = make_pool(method, 2)

    def picky(group: Any) -> int:
        if rows_of(group)[0] == KEYS["int"].index(2):
            raise ValueError("no good")
        return len(group)

    returned = pool.map_groups(picky, frame, by="int", errors="return")
    assert set(returned) == {1, 2, 3}
    failed = returned[2]
    assert isinstance(failed, oc.Failed)
    assert rows_of(failed.item) == expected(["int"])[2]
    assert set(pool.map_groups(picky, frame, by="int", errors="skip")) == {1, 3}
    with pytest.raises(ValueError, match="no good"):
        pool.map_groups(picky, frame, by="int")
    assert pool.map_groups(len, frame[:0], by="int") == {}
    with pytest.raises(ValueError, match="there is no column 'nope'; there are 'int'"):
        pool.map_groups(len, frame, by="nope")
    with pytest.raises(ValueError, match="at least one column"):
        oc.share(frame, order_by=[])
    with pytest.raises(TypeError, match="not of a list"):
        pool.map_groups(len, [1, 2], by="int")


@pytest.mark.parametrize("maker", [pd.DataFrame, pl.DataFrame, pa.table])
def test_columns_in_place_of_names(maker: Callable[..., Any]) -> None:
    """A user of pandas' groupby gives the column itself: the error has the change."""
    frame = maker({"k": [1, 2, 1], "v": [1, 2, 3]})
    given = frame["k"]
    of_arrow = maker is pa.table
    kind = f"an object of type {type(given).__name__}"
    add = "keys that are no column are first added to the frame as one; there are 'k', 'v'"
    for by, said in (
        (given, add if of_arrow else f"not {kind}: write by='k'; other {add}"),
        (["v", given], add if of_arrow else f"not {kind}: write by=['v', 'k']; other {add}"),
        (np.array([1, 2, 1]), f"not an object of type ndarray: {add}"),
        ([np.array([1, 2, 1])], f"not an object of type ndarray: {add}"),
        (lambda row: row, f"not a function: {add}"),
        (pl.col("k"), f"not an object of type Expr: {add}"),
        (pd.Grouper(key="k"), f"not an object of type Grouper: {add}"),
    ):
        with pytest.raises(TypeError) as refused:
            grouped(frame, by)
        assert str(refused.value).startswith("by= takes the name of a column, or a list of names")
        assert said in str(refused.value)
    with pytest.raises(TypeError, match=r"order_by= takes the name of a column"):
        oc.share(frame, order_by=given)
    for name in (3, None, b"k", ["k", 3], [["k"]]):
        with pytest.raises(ValueError, match="there is no column"):
            grouped(frame, name)
    for names in (np.array(["k"]), pd.Index(["k"]), pl.Series(["k"]), {"k"}, iter(["k"])):
        assert grouped(frame, names)[2] == [(1,), (2,)]


def test_zeros_of_both_signs_are_one_key(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 2)
    keys = [1.0, 2.0, 1.0, -0.0, 0.0]
    for maker in MAKERS.values():
        found = pool.map_groups(rows_of, maker({"key": keys, "row": list(range(5))}), by="key")
        assert found == {0.0: [3, 4], 1.0: [0, 2], 2.0: [1]}


OTHER_NAN = float(np.array([0xFFF8000000000001], np.uint64).view(np.float64)[0])
ODD = st.sampled_from([1.0, 2.0, 0.0, -0.0, float("nan"), OTHER_NAN, float("inf"), None])


def _arrow(values: list[Any]) -> Any:
    return pa.array(values, pa.float64())


def _nullable(values: list[Any]) -> Any:
    numbers = np.array([0.0 if value is None else value for value in values], float)
    return pd.arrays.FloatingArray(numbers, np.array([value is None for value in values], bool))


COLUMNS: dict[str, tuple[Callable[[Any], Any], Callable[[list[Any]], Any]]] = {
    "pandas": (pd.DataFrame, lambda values: np.array(values, float)),
    "pandas objects": (pd.DataFrame, lambda values: pd.array(values, dtype=object)),
    "pandas nullable": (pd.DataFrame, _nullable),
    "pandas arrow": (
        pd.DataFrame,
        lambda v: pd.array(_arrow(v), dtype=pd.ArrowDtype(pa.float64())),
    ),
    "polars": (pl.DataFrame, lambda values: pl.Series(values, dtype=pl.Float64)),
    "arrow": (pa.table, _arrow),
    "arrow dictionary": (pa.table, lambda values: _arrow(values).dictionary_encode()),
    "arrow half": (pa.table, lambda values: _arrow(values).cast(pa.float16())),
    "arrow float": (pa.table, lambda values: _arrow(values).cast(pa.float32())),
}


@pytest.mark.parametrize("kind", COLUMNS)
@settings(max_examples=80, deadline=None)
@given(rows=st.integers(1, 3).flatmap(lambda wide: st.lists(st.tuples(*[ODD] * wide), min_size=1)))
def test_each_key_comes_once_and_no_row_is_lost(kind: str, rows: list[tuple[Any, ...]]) -> None:
    frame_of, column_of = COLUMNS[kind]
    one_null = kind in ("pandas", "pandas objects")  # in which NaN is the null

    def plain(key: tuple[Any, ...]) -> tuple[Any, ...]:
        named = [value if value is None or value == value else "NaN" for value in key]
        return tuple(None if one_null and value == "NaN" else value for value in named)

    by = [f"k{at}" for at in range(len(rows[0]))]
    columns = {
        name: column_of(list(values))
        for name, values in zip(by, zip(*rows, strict=True), strict=True)
    }
    expected: dict[Any, list[int]] = {}
    for row, key in enumerate(rows):
        expected.setdefault(plain(key), []).append(row)
    frame, ends, keys = grouped(frame_of({**columns, "row": np.arange(len(rows))}), by)
    order = rows_of(frame)
    found = [order[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert len(keys) == len(expected)
    assert {plain(key): group for key, group in zip(keys, found, strict=True)} == expected


def test_a_column_of_nulls_is_one_group() -> None:
    frame, ends, keys = grouped(pa.table({"key": pa.nulls(3), "row": [0, 1, 2]}), "key")
    assert (rows_of(frame), ends, keys) == ([0, 1, 2], [3], [None])


def test_keys_without_an_order_are_refused() -> None:
    sets = [frozenset([1]), frozenset([2]), frozenset([1])]
    with pytest.raises(ValueError, match="no order in which equal ones are adjacent"):
        grouped(pd.DataFrame({"key": sets, "row": range(3)}), "key")

    several = pd.DataFrame({"key": np.array(["b", 1, "b"], object), "row": range(3)})
    lists = pa.table({"key": [[1], [2], [1]], "row": [0, 1, 2]})
    things = pl.DataFrame({"key": pl.Series([object(), object()], dtype=pl.Object)})
    for frame in (several, lists, things):
        with pytest.raises(ValueError, match="no order in which equal ones are adjacent"):
            grouped(frame, "key")
    with pytest.raises(ValueError, match="no order"):
        oc.share(several, order_by="key")


def test_keys_that_no_dict_takes_are_refused_before_work_begins() -> None:
    for keys in ([[1], [2], [1]], [{"a": 1}, {"a": 2}, {"a": 1}]):
        with pytest.raises(ValueError, match="'key' cannot be the keys of a dict"):
            grouped(pl.DataFrame({"key": keys}), "key")


def test_two_columns_of_one_name_are_refused() -> None:
    for frame in (
        pd.DataFrame([[1, 2]], columns=["key", "key"]),
        pa.table([[1], [2]], names=["key", "key"]),
    ):
        with pytest.raises(ValueError, match="there are 2 columns 'key'"):
            grouped(frame, "key")


def test_a_mean_that_may_have_left_values_out_is_warned_of(
    make_pool: MakePool, process_method: str
) -> None:
    data = np.array([0.0, 1.0, np.nan, 3.0])
    pool = make_pool(process_method, 1)
    with pytest.warns(RuntimeWarning, match="missing values in rows 2 to 3") as warned:
        assert pool.map_blocks(np.nanmean, data, block=2, reduce="mean") == 1.75
    assert [each.filename for each in warned] == [__file__]
