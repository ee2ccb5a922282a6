"""`load` of NDJSON as it is written in the wild: exact values, late fields, lines that are none."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._files.load import jsontypes
from onecopy.errors import BadFile, LoadWarning
from tests.text import refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.ndjson"


def loaded(path: Path, data: str | bytes, **options: Any) -> list[dict[str, Any]]:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    rows: list[dict[str, Any]] = oc.load(path, **options).to_pylist()
    return rows


@pytest.fixture(params=[1 << 10, 16 << 20])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are decoded in one block, and in several."""
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", request.param)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, -5], "int64"),
        ([18446744073709551615, 1], "uint64"),
        ([18446744073709551615, -1], "decimal128(38, 0)"),
        ([10**38, 1], "decimal256(76, 0)"),
        ([1, 1.5], "double"),
        ([1.5, 9007199254740992], "double"),
        ([1e300, 0.1], "double"),
        ([None, 3], "int64"),
        (["2024-01-01", "2024-01-02T10:00:00+02:00"], "string"),
        ([[], [18446744073709551615]], "list<item: uint64>"),
        ([{"b": 18446744073709551615}, {}], "struct<b: uint64>"),
        ([{}, {"t": "2024-01-01"}], "struct<t: string>"),
        ([True, None], "bool"),
    ],
)
@pytest.mark.usefixtures("block")
def test_values_are_exact(path: Path, values: list[Any], kind: str) -> None:
    first, late = values
    lines = [*[first] * 300, late, first]
    path.write_text("".join(f"{json.dumps({'a': each, 'n': 1})}\n" for each in lines))
    table = oc.load(path)
    assert str(table.schema.field("a").type) == kind
    for got, want in zip(table["a"].to_pylist(), lines, strict=True):
        if isinstance(want, dict):
            assert {name: each for name, each in got.items() if each is not None} == want
        else:
            assert got == want


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (["1", '"x"'], "field 'a' holds strings and numbers"),
        (['{"b":1}', "[1]"], "field 'a' holds objects? and lists?"),
        (["true", "1"], "field 'a' holds true or false and numbers"),
        (["1.5", "9007199254740993"], "field 'a' holds fractions and "),
        (['{"b":[1]}', '{"b":["x"]}'], r"field 'a\.b\[\]' holds strings and numbers"),
        (["1", "9" * 77], "a number of more than 76 digits"),
        (["1", "1e400"], "numbers beyond all doubles"),
    ],
)
@pytest.mark.usefixtures("block")
def test_values_that_no_type_holds(path: Path, values: list[str], says: str) -> None:
    text = f'{{"a": {values[0]}, "n": 1}}\n' * 300 + f'{{"a": {values[1]}, "n": 2}}\n'
    path.write_text(text)
    with pytest.raises(BadFile, match=says + r".*; dtype=\{'a': 'string'\} takes all of it"):
        oc.load(path)
    assert oc.load(path, columns=["n"]).num_rows == 301
    got = oc.load(path, dtype={"a": "string"})
    assert got["a"].to_pylist() == [json.loads(values[0])] * 300 + [values[1]] or (
        got["a"].to_pylist() == [values[0]] * 300 + [values[1].strip('"')]
    )
    assert got["n"].to_pylist() == [1] * 300 + [2]


@pytest.mark.usefixtures("block")
def test_a_field_that_comes_late(path: Path) -> None:
    path.write_text('{"a": 1}\n' * 1000 + '{"b": "x", "a": 2}\n')
    got = oc.load(path)
    assert got.column_names == ["a", "b"]
    assert got[-2:].to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert oc.load(path, columns="a").column_names == ["a"]
    assert oc.load(path, rows=(0, 10)).num_rows == 10
    assert oc.load(path, dtype={"c": str})["c"].null_count == 1001


def test_times_where_they_are_asked_for(path: Path) -> None:
    zone = '{"t": "2024-01-01T10:00:00+02:00"}\n'
    moment = datetime.datetime(2024, 1, 1, 8, tzinfo=datetime.UTC)
    assert loaded(path, zone) == [{"t": "2024-01-01T10:00:00+02:00"}]
    assert loaded(path, zone, parse_dates=True) == [{"t": moment}]
    assert loaded(path, zone, parse_dates="t") == [{"t": moment}]
    assert loaded(path, zone, dtype={"t": pa.timestamp("us", "UTC")}) == [{"t": moment}]
    assert "zones are there in one of them alone" in refused(path, zone, dtype={"t": "M8[us]"})
    day = '{"t": "2024-01-31"}\n'
    assert loaded(path, day, dtype={"t": "date32"}) == [{"t": datetime.date(2024, 1, 31)}]
    assert loaded(path, day, parse_dates=["t"]) == [{"t": datetime.datetime(2024, 1, 31)}]
    mixed = day + '{"t": "soon"}\n'
    assert loaded(path, mixed, parse_dates=True)[1] == {"t": "soon"}
    assert "'soon'" in refused(path, mixed, parse_dates=["t"])
    german = '{"t": "31.12.2024"}\n'
    assert loaded(path, german, parse_dates={"t": "%d.%m.%Y"})[0]["t"].day == 31


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("xxx", "Expecting value"),
        ('{"a": 2', "Expecting ',' delimiter"),
        ("null", "it is no object: null"),
        ("[1]", "it is no object"),
        ("7", "it is no object"),
        ('{"a": 1} null', "it is no object"),
        ('{"a": 1, "a": 2}', "the field 'a' is there twice"),
        ('{"a":' + "[" * 300 + "]" * 300 + "}", "nested deeper than 200"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "recursion"),
    ],
)
@pytest.mark.usefixtures("block")
def test_lines_that_hold_no_object(path: Path, line: str, says: str) -> None:
    text = '{"a": 1}\n' * 200 + f'{line}\n{{"a": 3}}\n'
    got = refused(path, text)
    assert "line 201 is not valid NDJSON" in got
    assert says in got
    want = [{"a": 1}] * 200 + [{"a": 3}]
    with pytest.warns(LoadWarning, match="1 row was left out, the first one is line 201"):
        assert loaded(path, text, bad_rows="skip") == want
    table, left = oc.load(path, bad_rows="collect")
    assert table.to_pylist() == want
    assert [(row.row, row.text) for row in left] == [(201, line)]


def test_what_only_looks_fatal(path: Path) -> None:
    for value in ("} null", "[" * 500, "{}]" * 300):
        assert loaded(path, json.dumps({"a": value})) == [{"a": value}]
        assert jsontypes.may_be_fatal(json.dumps({"a": value}).encode()) or value[0] == "{"
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    assert loaded(path, json.dumps({"a": deep})) == [{"a": deep}]


def test_an_array_is_no_ndjson(path: Path) -> None:
    assert "it begins a JSON array" in refused(path, '[{"a": 1},\n{"a": 2}]\n')
    other = path.with_name("x.json")
    other.write_text('{"a": 1}\n')
    assert oc.load(other).to_pylist() == [{"a": 1}]


def test_several_objects_in_a_line_and_none(path: Path) -> None:
    assert loaded(path, '{"a":1}{"a":2}\r\n\r\n  \n{"a":3}') == [{"a": at} for at in (1, 2, 3)]
    assert loaded(path, '{\n "a": 1\n}\n{\n "a": 2\n}\n') == [{"a": 1}, {"a": 2}]


def test_encodings(path: Path) -> None:
    text = '{"a": "José"}\n'
    assert loaded(path, "\ufeff" + text) == [{"a": "José"}]
    for encoding in ("utf-16", "cp1252"):
        with pytest.warns(LoadWarning, match="read as text of"):
            assert loaded(path, text.encode(encoding)) == [{"a": "José"}]
        assert loaded(path, text.encode(encoding), encoding=encoding) == [{"a": "José"}]


@pytest.mark.usefixtures("block")
def test_a_line_longer_than_a_block(path: Path) -> None:
    long = "x" * (3 << 20)
    got = loaded(path, f'{{"a": "y"}}\n{{"a": "{long}"}}\n{{"a": "z"}}\n')
    assert [row["a"] for row in got] == ["y", long, "z"]


def test_files_whose_types_differ(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_text('{"a": 1, "b": 1}\n')
    (tmp_path / "2.jsonl").write_text('{"b": 18446744073709551615, "a": 1.5}\n')
    got = oc.load(tmp_path / "*.jsonl")
    assert got.to_pylist() == [
        {"a": 1.0, "b": Decimal(1)},
        {"a": 1.5, "b": Decimal(18446744073709551615)},
    ]
    (tmp_path / "1.jsonl").write_text('{"a": 9007199254740993, "b": 1}\n')
    with pytest.raises(BadFile, match=r"1\.jsonl': field 'a' holds whole numbers beyond 2\*\*53"):
        oc.load(tmp_path / "*.jsonl")
    got = oc.load(tmp_path / "*.jsonl", dtype={"a": "string"})
    assert got["a"].to_pylist() == ["9007199254740993", "1.5"]
    (tmp_path / "1.jsonl").write_text('{"a": 1, "b": 1}\n')
    (tmp_path / "2.jsonl").write_text('{"b": 1, "a": "x"}\n')
    with pytest.raises(BadFile, match=r"'a' of int64, 'a' of string; columns= and dtype= may"):
        oc.load(tmp_path / "*.jsonl")
    got = oc.load(tmp_path / "*.jsonl", dtype={"a": "string"})
    assert got["a"].to_pylist() == ["1", "x"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1, max_size=6))
def test_any_objects(path: Path, rows: list[dict[str, Any]]) -> None:
    """All that comes is what Python's reader gives, or an error; never something else."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    try:
        got = oc.load(path).to_pylist()
    except BadFile as error:
        refusal = str(error)
        got = None
    if got is None:
        assert "takes all of it as text" in refusal
        return
    # A table without columns has no rows.
    assert len(got) == (len(rows) if any(rows) else 0)
    for one, other in zip(got, rows, strict=any(rows)):
        assert _without_nulls(one) == _without_nulls(other)


def _without_nulls(value: Any) -> Any:
    """Fields that are null or not there are the same in a column; a list keeps its nulls."""
    if isinstance(value, dict):
        made = {name: _without_nulls(each) for name, each in value.items()}
        return {name: each for name, each in made.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
