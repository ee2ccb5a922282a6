"""`load` of CSV: the types of columns. Every value is exact, or stays text."""

from __future__ import annotations

import datetime
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._files.load import survey
from onecopy.errors import BadFile, LoadWarning
from tests.text import loaded, refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-5"], "int64"),
        (["18446744073709551615", "18446744073709551614"], "uint64"),
        (["18446744073709551615", "-1"], "decimal128(38, 0)"),
        (["1", "9223372036854775808"], "uint64"),  # which a double holds, too
        (["18446744073709551616"], "decimal128(38, 0)"),
        (["1.5", "9223372036854775808"], "double"),
        (["9" * 38, "-" + "9" * 38], "decimal128(38, 0)"),
        (["9" * 39, "1"], "decimal256(76, 0)"),
        (["9" * 77], "string"),
        (["1.5", "9007199254740992"], "double"),
        (["1.5", "9007199254740993"], "string"),
        (["1e400"], "string"),
        (["inf", "-inf", "1e300"], "double"),
        (["1", "true"], "string"),
        (["true", "False"], "bool"),
        (["1e20"], "double"),
    ],
)
def test_numbers_are_exact_or_text(path: Path, values: list[str], kind: str) -> None:
    path.write_text("a\n" + "\n".join(values) + "\n")
    table = oc.load(path)
    assert str(table.schema.field("a").type) == kind
    for got, text in zip(table["a"].to_pylist(), values, strict=True):
        if isinstance(got, int) and not isinstance(got, bool):
            assert got == int(text)
        elif isinstance(got, Decimal):
            assert got == Decimal(text)
        elif isinstance(got, str):
            assert got == text


@pytest.mark.parametrize("late", [0, 300])
@pytest.mark.parametrize(
    ("one", "other", "kinds"),
    [
        ("-1", "9223372036854775808", ["decimal128(38, 0)", "double"]),
        ("1", "18446744073709551616", ["decimal128(38, 0)", "string"]),
        ("1.5", "9223372036854775808", ["double"]),
        ("1.5", "9223372036854775809", ["string"]),
        ("x", "9223372036854775808", ["string"]),
        ("0x1F", "1" + 38 * "0", ["string"]),
    ],
)
def test_large_integers_beside_other_files(
    tmp_path: Path, one: str, other: str, kinds: list[str], late: int
) -> None:
    """Whichever file is first, and also if the integer comes late in its file."""
    paths = [tmp_path / "0.csv", tmp_path / "1.csv"]
    for texts in ((one, other), (other, one)):
        for path, text in zip(paths, texts, strict=True):
            path.write_text("a\n" + "0\n" * late + f"{text}\n")
        table = oc.load(paths)
        kind = str(table.schema.field("a").type)
        assert kind == (kinds[-1] if late else kinds[0])
        values = [each for each in table["a"].to_pylist() if each not in (0, "0")]
        assert values == list(texts) if kind == "string" else [*map(Decimal, texts)]


@pytest.mark.parametrize(
    ("first", "late", "kind"),
    [
        ("1", "1.5", "double"),
        ("1", "x", "string"),
        ("", "7", "int64"),
        ("1", "18446744073709551615", "uint64"),
        ("1.5", "9007199254740993", "string"),
        ("2024-01-01", "2024-01-01 10:00:00", "timestamp[s]"),
        ("2024-01-01", "soon", "string"),
        ("10:30", "10:30:15", "time32[s]"),
        ("true", "no", "string"),
        ("2024-01-01 10:00:00Z", "2024-01-01 10:00:00+02:00", "string"),
    ],
)
def test_a_type_that_changes_late(
    path: Path, monkeypatch: pytest.MonkeyPatch, first: str, late: str, kind: str
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    path.write_text("a,b\n" + f"{first},1\n" * 1000 + f"{late},2\n" + f"{first},3\n")
    table = oc.load(path)
    assert str(table.schema.field("a").type) == kind
    assert table.num_rows == 1002
    if kind == "string":
        assert set(table["a"].to_pylist()) == {first, late}
    assert oc.load(path, rows=(0, 200)).num_rows == 200
    if late != "7":
        with pytest.raises(BadFile, match=r"column 'a' cannot be loaded as int8: Row #\d+"):
            oc.load(path, dtype={"a": "int8"})


def test_files_whose_types_differ(tmp_path: Path) -> None:
    for name, value in (("1", "007"), ("2", "1.5"), ("3", "")):
        (tmp_path / f"{name}.csv").write_text(f"a,b\n{value},1\n")
    with pytest.warns(LoadWarning, match="leading zeros"):
        got = oc.load(tmp_path / "[123].csv")
    assert got["a"].to_pylist() == [7.0, 1.5, None]
    (tmp_path / "4.csv").write_text("a,b\nx,1\n")
    got = oc.load(tmp_path / "*.csv")
    # Text of all of them, as each file has it.
    assert got["a"].to_pylist() == ["007", "1.5", "", "x"]
    (tmp_path / "1.csv").write_text("a,b\n9007199254740993,1\n")
    got = oc.load(tmp_path / "[12].csv")
    assert got["a"].to_pylist() == ["9007199254740993", "1.5"]


def test_decimal_commas_and_thousands(path: Path) -> None:
    text = "a;b\n1.234,5;2\n7,25;\n"
    got = loaded(path, text, sep=";", decimal=",", thousands=".")
    assert got == {"a": [1234.5, 7.25], "b": [2, None]}
    assert loaded(path, text, sep=";")["a"] == ["1.234,5", "7,25"]
    assert loaded(path, 'a\n"1,234"\n12\n', thousands=",") == {"a": [1234, 12]}
    # Groups that are none are something else.
    assert loaded(path, 'a\n"1,23"\n12\n', thousands=",") == {"a": ["1,23", "12"]}
    assert loaded(path, "a;b\n1.5;x\n", sep=";", decimal=",") == {"a": ["1.5"], "b": ["x"]}
    got = loaded(path, 'a\n"1,234"\n', thousands=",", dtype={"a": "int32"})
    assert got == {"a": [1234]}


def test_columns_that_are_certain_are_not_checked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments with a zone are looked at value by value, and the columns beside them are not."""
    looked: list[str] = []

    def look(self: survey.Column, values: Any) -> None:
        looked.append(values[0].as_py())
        usual(self, values)

    usual = survey.Column.look
    monkeypatch.setattr(survey.Column, "look", look)
    text = "n,t,s,u\n1,2024-01-01T10:00:00Z,x,18446744073709551615\n"
    got = loaded(path, text)
    assert (got["n"], got["s"], got["u"]) == ([1], ["x"], [2**64 - 1])
    assert looked == ["2024-01-01T10:00:00Z", "18446744073709551615"]


def test_times(path: Path) -> None:
    assert loaded(path, "a\n2024-01-31\n") == {"a": [datetime.date(2024, 1, 31)]}
    assert loaded(path, "a\n2024-01-31\n", parse_dates=False) == {"a": ["2024-01-31"]}
    zone = "2024-01-01T10:00:00+02:00"
    assert loaded(path, f"a\n{zone}\n") == {"a": [zone]}
    moment = datetime.datetime(2024, 1, 1, 8, tzinfo=datetime.UTC)
    assert loaded(path, f"a\n{zone}\n", parse_dates=["a"]) == {"a": [moment]}
    assert loaded(path, "a\n2024-01-01T08:00:00Z\n") == {"a": [moment]}
    day = datetime.datetime(2024, 12, 31)
    german = {"a": "%d.%m.%Y"}
    assert loaded(path, "a,b\n31.12.2024,\n,1\n", parse_dates=german)["a"] == [day, None]
    assert loaded(path, "a\n1.2.2024\n", parse_dates=german)["a"][0].month == 2
    assert "'31.02.2024', not '%d.%m.%Y'" in refused(path, "a\n31.02.2024\n", parse_dates=german)
    assert "'soon'" in refused(path, "a\nsoon\n", parse_dates=["a"])
    assert "has no column 'z'" in refused(path, "a\n1\n", parse_dates=["z"])


TOKENS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.integers(-(10**40), 10**40).map(str),
    st.integers(2**53 - 2, 2**53 + 2).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["true", "False", "NA", "nan", "x", "007", "1e3", "0x1F", "+5", "-0", " 7 "]),
    st.dates().map(str),
    st.datetimes(min_value=datetime.datetime(1700, 1, 1)).map(str),
    st.times().map(str),
    st.sampled_from(["2024-01-01T10:00:00Z", "2024-01-01T10:00:00+02:00", "10:30", "24:00"]),
)
PARTS = st.lists(
    st.lists(TOKENS, min_size=1, max_size=6) | TOKENS.map(lambda token: [token] * 3),
    min_size=1,
    max_size=3,
)


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=PARTS, block=st.sampled_from([16, 4 << 20]))
def test_any_values_in_any_files_are_exact_or_text(
    tmp_path: Path, parts: list[list[str]], block: int
) -> None:
    """Whatever types the files, and the blocks of a file, look to have."""
    names = [tmp_path / f"{at}.csv" for at in range(len(parts))]
    for name, tokens in zip(names, parts, strict=True):
        name.write_text("a,b\n" + "".join(f"{token},1\n" for token in tokens))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr("onecopy._files.load.text.BLOCK", block)
        warnings.simplefilter("ignore", LoadWarning)  # of leading zeros
        table = oc.load(names)
    kind = table.schema.field("a").type
    got = table["a"].cast("string") if pa.types.is_temporal(kind) else table["a"]
    for value, token in zip(
        got.to_pylist(), (each for part in parts for each in part), strict=True
    ):
        assert _stands_for(value, token.strip() if not isinstance(value, str) else token, kind)


def _stands_for(value: Any, token: str, kind: Any) -> bool:
    """Tells whether the value is what the token says, and nothing near it."""
    if value is None:
        return token in ("NA", "nan")
    if pa.types.is_string(kind):
        return bool(value == token)
    if pa.types.is_temporal(kind):
        moment = datetime.datetime.fromisoformat
        if pa.types.is_time(kind):
            return datetime.time.fromisoformat(value) == datetime.time.fromisoformat(token)
        one, other = moment(value.rstrip("Z")[:26]), moment(token.rstrip("Z"))
        return one == other
    if isinstance(value, bool):
        return token.lower() == str(value).lower()
    if token.lower().startswith("0x"):
        return bool(value == int(token, 16))
    digits = token.lstrip("+-").isdigit()
    return bool(value == (int(token) if digits else float(token)))
