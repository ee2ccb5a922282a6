"""Columns as JSON's text: each value is read as what it was, whatever its kind."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import onecopy as oc
from onecopy._files.save.json_text import lines
from onecopy.cli import main

WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
TIMES = st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30))
# Of longer ones Arrow has no microseconds.
LONG = datetime.timedelta(100_000_000)
# A type of Arrow's, and values of it as Python has them.
KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    (pa.int64(), WHOLE),
    (pa.uint64(), st.integers(0, (1 << 64) - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.float64(), st.floats()),
    (pa.float32(), st.floats(width=32)),
    (pa.float16(), st.floats(width=16)),
    (pa.string(), st.text()),
    (pa.large_string(), st.text(st.characters(max_codepoint=130))),
    (pa.string_view(), st.text()),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", 'b"', "ü\n"])),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates()),
    (pa.time32("ms"), st.times().map(lambda at: at.replace(microsecond=1000 * (at.second % 9)))),
    (pa.time64("us"), st.times()),
    (pa.timestamp("us"), TIMES),
    (pa.timestamp("s"), TIMES.map(lambda at: at.replace(microsecond=0))),
    (pa.timestamp("us", "UTC"), TIMES),
    (pa.timestamp("us", "Asia/Kolkata"), TIMES),
    (pa.timestamp("us", "America/New_York"), TIMES),
    (pa.duration("us"), st.timedeltas(-LONG, LONG)),
    (pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(decimal.Decimal)),
    (
        pa.decimal128(38, 9),
        st.integers(-(10**37), 10**37).map(lambda n: decimal.Decimal(n).scaleb(-9)),
    ),
    (pa.decimal128(20, -2), st.integers(-999, 999).map(lambda n: decimal.Decimal(n).scaleb(2))),
    (pa.map_(pa.string(), pa.int64()), st.lists(st.tuples(st.text(), WHOLE), max_size=3)),
]


def nested(kind: tuple[pa.DataType, Any]) -> st.SearchStrategy[tuple[pa.DataType, Any]]:
    type, values = kind
    some = st.none() | values
    three = st.lists(some, min_size=3, max_size=3)
    fields = [pa.field("x y", type), pa.field('"', pa.int64())]
    return st.sampled_from(
        [
            kind,
            (pa.list_(type), st.lists(some, max_size=4)),
            (pa.large_list(type), st.lists(some, max_size=4)),
            (pa.list_(type, 3), three),
            (
                pa.list_(pa.list_(type)),
                st.lists(st.none() | st.lists(some, max_size=3), max_size=3),
            ),
            (pa.struct(fields), st.fixed_dictionaries({"x y": some, '"': st.none() | WHOLE})),
            (
                pa.list_(pa.struct(fields)),
                st.lists(st.fixed_dictionaries({"x y": some}), max_size=3),
            ),
            (pa.struct([]), st.just({})),
        ]
    )


COLUMNS = (
    st.sampled_from(KINDS)
    .flatmap(nested)
    .flatmap(
        lambda kind: st.lists(st.none() | kind[1], max_size=12).map(lambda v: pa.array(v, kind[0]))
    )
)


def expected(value: Any, kind: pa.DataType) -> Any:
    """The value that a reader of JSON has to find for one of Arrow's, as Python gives it."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {each.name: expected(value[each.name], each.type) for each in kind}
    if pa.types.is_map(kind):
        return [[key, expected(each, kind.item_type)] for key, each in value]
    if isinstance(value, list):
        return [expected(each, kind.value_type) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, decimal.Decimal) and kind.scale == 0:
        return int(value)
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    return value


def same(found: Any, value: Any) -> bool:
    """Times are compared as times: how many digits a fraction has says nothing."""
    if isinstance(value, datetime.datetime):
        assert "T" in found
        read = datetime.datetime.fromisoformat(found)
        # The same instant; for later years Arrow does not know when clocks are changed.
        return read == value and (read.utcoffset() == value.utcoffset() or value.year > 2037)
    if isinstance(value, datetime.date):
        return bool(found == value.isoformat())
    if isinstance(value, datetime.time):
        return datetime.time.fromisoformat(found) == value
    if isinstance(value, dict):
        return found.keys() == value.keys() and all(same(found[k], value[k]) for k in value)
    if isinstance(value, list):
        return len(found) == len(value) and all(map(same, found, value))
    if isinstance(value, str) and isinstance(found, str) and value != found:
        # A decimal's text.
        return decimal.Decimal(value) == decimal.Decimal(found)
    if isinstance(value, float):
        # With its point, and the sign of zero.
        return type(found) is float and repr(found) == repr(value)
    return type(found) is type(value) and bool(found == value)


LONG_AGO = datetime.datetime(1905, 1, 1, tzinfo=datetime.UTC)


@given(COLUMNS, st.integers(0, 5), st.integers(0, 12))
@example(pa.array([None], pa.struct([("d", pa.dictionary(pa.int8(), pa.string()))])), 0, 1)
# Seconds are between it and UTC.
@example(pa.array([LONG_AGO], pa.timestamp("us", "Asia/Kolkata")), 0, 1)
@example(pa.array([LONG_AGO], pa.timestamp("ns", "-03:30")), 0, 1)
def test_each_value_is_read_as_what_it_was(column: Any, start: int, count: int) -> None:
    batch = pa.record_batch([column], names=["the ü\n"]).slice(start, count)
    text = "".join(lines(batch).to_pylist())
    assert text.count("\n") == batch.num_rows
    for line, value in zip(text.split("\n"), batch.column(0).to_pylist(), strict=False):
        found = json.loads(line)
        assert list(found) == ["the ü\n"]
        wanted = expected(value, column.type)
        assert same(found["the ü\n"], wanted), (found, wanted)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e16)
@example(-0.0)
@example(5e-324)
@example(2.0**53 + 2)
def test_a_number_is_read_as_the_very_same_double(value: float) -> None:
    (line,) = lines(pa.record_batch([pa.array([value])], names=["f"])).to_pylist()
    assert repr(json.loads(line)["f"]) == repr(value)


def test_rows_without_columns() -> None:
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    assert lines(batch).to_pylist() == ["{}\n", "{}\n"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"bytes"]),
        pa.array([253402300800], pa.timestamp("s")),
        pa.array([-(10**11)], pa.timestamp("s")),
        pa.array([10**15], pa.timestamp("s")),
        pa.array([-(10**6)], pa.date32()),
        pa.array([86400], pa.int32()).view(pa.time32("s")),
        pa.Array.from_buffers(
            pa.string(), 1, [None, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")]
        ),
    ],
    ids=["bytes", "year 10000", "before year 1", "far", "day before year 1", "hour 24", "no text"],
)
def test_what_json_cannot_say_is_an_error(column: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        lines(pa.record_batch([column], names=["c"]))


def test_columns_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "x.csv", tmp_path / "x.ndjson"
    path.write_text("a,a\n1,2\n")
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(path), str(out)])
    assert ended.value.code
    assert "two fields of the name 'a'" in capsys.readouterr().err
    assert not out.exists()


def test_a_long_table_in_pieces(tmp_path: Path) -> None:
    table = pa.table({"n": range(300_000), "s": ["some text"] * 300_000})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tmp_path / "x.parquet"), str(tmp_path / "x.ndjson.gz")])
    assert not ended.value.code
    assert oc.load(tmp_path / "x.ndjson.gz").equals(table)
