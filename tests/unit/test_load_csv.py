"""`load` of CSV as it is written in the wild: dialects, encodings, compression, exact values."""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import io
import lzma
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._files.load import delimited, encodings
from onecopy.cli import main
from onecopy.errors import BadFile, LoadWarning

TWO = {"a": [1], "b": [2]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


def loaded(path: Path, data: str | bytes, **options: Any) -> dict[str, list[Any]]:
    """The columns of a file of these bytes, without a word."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    columns: dict[str, list[Any]] = oc.load(path, **options).to_pydict()
    return columns


def said(path: Path, data: str | bytes, says: str, **options: Any) -> dict[str, list[Any]]:
    """The same, with one warning."""
    with pytest.warns(LoadWarning, match=says) as caught:
        columns = loaded(path, data, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return columns


def refused(path: Path, data: str | bytes, **options: Any) -> str:
    """The one line by which it is refused."""
    with pytest.raises(BadFile) as error:
        loaded(path, data, **options)
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)
    return str(error.value)


# Numbers.


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
    # Text of all of them, as it stands in each file.
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


# Times.


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


# Dialects.


@pytest.mark.parametrize(("sep", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "pipes")])
def test_the_separator_is_found(path: Path, sep: str, word: str) -> None:
    text = f"a{sep}b\n1{sep}2\n"
    assert said(path, text, f"fields between {word}; sep= names another") == TWO
    assert loaded(path, text, sep=sep) == TWO
    assert loaded(path.with_suffix(".tsv"), text.replace(sep, "\t")) == TWO
    assert loaded(path, text[:3], sep=sep) == {"a": [], "b": []}
    # Commas that stand within values are none.
    quoted = f'a{sep}b\n"1,2,3"{sep}2\n"4,5"{sep}6\n'
    assert said(path, quoted, word)["a"] == ["1,2,3", "4,5"]


def test_header_and_names(path: Path) -> None:
    rows = "1,x\n2,y\n"
    assert loaded(path, rows, header=False) == {"f0": [1, 2], "f1": ["x", "y"]}
    assert loaded(path, rows, names=["n", "s"]) == {"n": [1, 2], "s": ["x", "y"]}
    assert loaded(path, rows, names=["n", "s"], header=True) == {"n": [2], "s": ["y"]}
    assert "has 2 values, and names= has 1" in refused(path, rows, names=["n"])
    got = said(path, "2020,2021\n5,6\n", "looks like values; header=False")
    assert got == {"2020": [5], "2021": [6]}
    assert loaded(path, "0,1\n5,6\n") == {"0": [5], "1": [6]}
    assert loaded(path, '"two\nlines",b\n1,2\n') == {"two\nlines": [1], "b": [2]}
    assert loaded(path, ",b\n1,2\n") == {"": [1], "b": [2]}


def test_two_columns_of_one_name(path: Path) -> None:
    path.write_text("a,b,a\n1,2,x\n")
    table = oc.load(path)
    assert table.column_names == ["a", "b", "a"]
    assert [column.to_pylist() for column in table.columns] == [[1], [2], ["x"]]
    both = oc.load(path, columns=["a"])
    assert [column.to_pylist() for column in both.columns] == [[1], ["x"]]
    assert oc.load(path, columns="b").to_pydict() == {"b": [2]}
    texts = oc.load(path, dtype={"a": str})
    assert [str(field.type) for field in texts.schema] == ["string", "int64", "string"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    assert loaded(path, f"a,b{end}1,2{end}") == loaded(path, f"a,b{end}1,2") == TWO
    assert loaded(path, "a,b") == loaded(path, f"a,b{end}") == {"a": [], "b": []}
    assert loaded(path, f"{end}a,b{end}{end}1,2{end}{end}") == TWO
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 64)
    got = loaded(path, f"a,b{end}" + f'1,"x{end}y"{end}' * 200)
    assert got == {"a": [1] * 200, "b": [f"x{end}y"] * 200}


def test_leading_zeros_are_said_to_go(path: Path) -> None:
    text = "zip,n,t\n01234,1,0.5\n00501,2,08:30\n"
    got = said(path, text, r"column 'zip' lose their leading zeros; dtype=.'zip': 'string'.")
    assert got["zip"] == [1234, 501]
    assert loaded(path, text, dtype={"zip": str})["zip"] == ["01234", "00501"]
    assert loaded(path, text, columns="n") == {"n": [1, 2]}
    assert loaded(path, "a\n007\nx\n") == {"a": ["007", "x"]}


def test_a_line_that_tells_excel_the_separator(path: Path) -> None:
    assert loaded(path, "sep=;\r\na;b\r\n1;2\r\n") == TWO
    assert loaded(path, "sep=|\n1|2\n", header=False) == {"f0": [1], "f1": [2]}
    # Where the separator is named, or the line is another, it holds names.
    assert loaded(path, "sep=\n1\n") == {"sep=": [1]}


def test_truth_by_numbers_where_it_is_asked_for(path: Path) -> None:
    assert loaded(path, "a\n1\n0\n", dtype={"a": bool}) == {"a": [True, False]}
    assert loaded(path, "a,b\ntrue,1\n,2\n", dtype={"a": bool})["a"] == [True, None]
    assert "'yes'" in refused(path, "a\nyes\n", dtype={"a": bool})


def test_nothing_in_it(path: Path) -> None:
    assert "is empty" in refused(path, "")
    assert "no line of names" in refused(path, "\n\n")
    assert "no line of names" in refused(path, "a\n", skip_rows=3)


def test_lines_that_are_passed_over(path: Path) -> None:
    text = "Report of May\n\na,b\n1,2\n"
    assert loaded(path, text, skip_rows=2) == TWO
    text = '# one\na,b\n# two, three\n1,"\n# in a value\n"\n2,x\n# end'
    want = {"a": [1, 2], "b": ["\n# in a value\n", "x"]}
    assert loaded(path, text, comment="#") == want
    assert loaded(path, "junk\r\n" + text, comment="#", skip_rows=1) == want


def test_values_that_are_none(path: Path) -> None:
    text = "n,s\n-,x\n1,-\n,NA\nNA,\n"
    got = loaded(path, text, na_values=["-"])
    assert got == {"n": [None, 1, None, None], "s": ["x", None, "NA", ""]}
    assert loaded(path, text)["n"] == ["-", "1", "", "NA"]


def test_quotes_and_escapes(path: Path) -> None:
    assert loaded(path, "a,b\n1,'x,y'\n", quote="'") == {"a": [1], "b": ["x,y"]}
    assert loaded(path, 'a,b\n1,5" pipe\n') == {"a": [1], "b": ['5" pipe']}
    assert loaded(path, 'a,b\n"1,"2\n', quote="") == {"a": ['"1'], "b": ['"2']}
    assert loaded(path, "a,b\n1,x\\,y\n", escape="\\") == {"a": [1], "b": ["x,y"]}
    assert loaded(path, 'a,b\n1,"x""y"\n') == {"a": [1], "b": ['x"y']}


@pytest.mark.parametrize("bad_rows", ["error", "skip", "collect"])
@pytest.mark.parametrize("text", ['a,b\n1,"x\n2,y\n', 'a\n"x\n', 'a,b\n1,"x'])
def test_a_quote_that_is_not_closed(path: Path, text: str, bad_rows: str) -> None:
    """All that follows would be one value, or one row that is left out."""
    assert "within a quoted value" in refused(path, text, bad_rows=bad_rows)


def test_rows_that_do_not_go_with_the_others(path: Path) -> None:
    text = "a,b\n1,2\n3\n4,5,6\n7,8\n"
    line = refused(path, text)
    assert "is row 2: it has 1 values, and there are 2 columns: '3'" in line
    want = {"a": [1, 7], "b": [2, 8]}
    assert said(path, text, "2 rows were left out, the first one is row 2", bad_rows="skip") == want
    path.write_text(text)
    table, left = oc.load(path, bad_rows="collect")
    assert table.to_pydict() == want
    assert [(row.file, row.row, row.text) for row in left] == [
        (str(path), 2, "3"),
        (str(path), 3, "4,5,6"),
    ]
    with pytest.raises(ValueError, match="one of 'error', 'skip' and 'collect'"):
        oc.load(path, bad_rows="drop")


def test_half_a_row_at_the_end_of_the_wanted_ones_is_not_left_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    path.write_text("a,b\n" + "2024-01-01 10:00:00Z,1\n" * 3000)
    for _ in range(200):  # Arrow's thread is seldom in the middle of it
        table, left = oc.load(path, rows=(0, 5), bad_rows="collect")
        assert (table.num_rows, left) == (5, [])


def test_rows_that_are_left_out_are_counted_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the file is read."""
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    path.write_text("a,b\n" + "1,1.5\n" * 500 + "3\n" + "x,1e300\n")
    table, left = oc.load([path, path], bad_rows="collect")
    assert table.num_rows == 1002
    assert [row.row for row in left] == [501]


def test_a_record_longer_than_a_block(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    long = "x\n" * 20_000
    assert loaded(path, f'a,b\n1,y\n2,"{long}"\n') == {"a": [1, 2], "b": ["y", long]}
    monkeypatch.setattr("onecopy._files.load.text.LARGEST_BLOCK", 1 << 12)
    assert "longer than 4096 bytes" in refused(path, f'a,b\n1,y\n2,"{long}"\n')


def test_what_is_quoted_cannot_steer_a_terminal(path: Path) -> None:
    line = refused(path, "a,b\n1,\x1b[31mred\x1b[2J\n3\n\x1b]0;title\x07,5,6\n")
    assert line.isprintable()
    assert refused(path, "a\n\x1b[2J\n", dtype={"a": "int8"}).isprintable()


# Encodings and compression.


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "name,city\nJosé,Köln\n"),
        ("cp1252", "name\n“Zoë”\n"),
        ("utf-16", "name,city\nJosé,Köln\n"),
        ("utf-16-le", "name,city\nJosé,Köln\n"),
        ("utf-16-be", "name,city\nJosé,Köln\n"),
        ("utf-32", "name,city\nJosé,Köln\n"),
        ("cp1251", "имя,город\nИгорь,Челябинск\nЖанна,Ярославль\n"),  # noqa: RUF001
        ("cp1250", "imie,miasto\nŁukasz,Łódź\nŻaneta,Gdańsk\nZażółć gęślą jaźń,x\n"),
        ("shift_jis", "名前,都市\n太郎,東京\n花子,大阪\n次郎,名古屋\n"),
    ],
)
def test_encodings_are_found(path: Path, encoding: str, text: str) -> None:
    (want, *_) = csv.reader(io.StringIO(text))
    got = said(path, text.encode(encoding), "read as text of .*encoding= names another")
    assert list(got) == want
    assert [*map(list, zip(*got.values(), strict=True))] == [*csv.reader(io.StringIO(text))][1:]
    assert loaded(path, text.encode(encoding), encoding=encoding) == got


def test_marks_at_the_beginning_of_text(path: Path) -> None:
    assert loaded(path, "\ufeffa,b\n1,2\n") == TWO
    assert loaded(path, "\ufeffa,b\n1,2\n", encoding="utf-8-sig") == TWO
    assert loaded(path, "a,b\n1,2\n", encoding="utf-8-sig") == TWO


def test_an_accent_behind_the_first_megabyte(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 300_000
    text = "a,s\n" + "1,plain\n" * rows + "2,Düsseldorf\n"
    got = said(path, text.encode("cp1252"), "text of cp1252")
    assert (len(got["s"]), got["s"][-1]) == (rows + 1, "Düsseldorf")
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 16)
    assert said(path, text.encode("cp1252"), "text of cp1252") == got
    assert "not text of utf-8" in refused(path, text.encode("cp1252"), encoding="utf-8")


def test_text_of_another_encoding_than_was_said(path: Path) -> None:
    assert "not text of ascii, at about byte 4" in refused(path, "a,b\né,1\n", encoding="ascii")
    with pytest.raises(ValueError, match="Python knows no such"):
        loaded(path, "a\n1\n", encoding="nonsense")


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".lz4", ".CSV", ".csv"])
def test_compressed_by_any_name(tmp_path: Path, suffix: str, parts: int) -> None:
    for how in ("gz", "bz2", "xz", "zst", "lz4"):
        if suffix.lower() not in (f".{how}", ".csv"):
            continue
        text = [b"a,b\n", b"1,2\n", b""] if parts == 3 else [b"a,b\n1,2\n"]
        path = tmp_path / f"{how}.CSV{suffix}"
        path.write_bytes(b"".join(_compressed(how, part) for part in text))
        assert oc.load(path).to_pydict() == TWO
        path.write_bytes(_compressed(how, b"a,b\n" + b"1,2\n" * 5000)[:-9])
        with pytest.raises(BadFile, match="not a whole CSV file"):
            oc.load(path)
    plain = tmp_path / "plain.csv.gz"
    plain.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(BadFile, match="not compressed by gzip, as its name says"):
        oc.load(plain)


def _compressed(how: str, data: bytes) -> bytes:
    if how == "gz":
        return gzip.compress(data)
    if how == "bz2":
        return bz2.compress(data)
    if how == "xz":
        return lzma.compress(data)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, {"zst": "zstd"}.get(how, how)) as stream:
        stream.write(data)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def test_other_formats_that_are_called_csv(path: Path) -> None:
    assert "is no text: it begins with b'PK" in refused(path, b"PK\3\4" + bytes(100))


# Options that do not go together.


def test_options_that_cannot_be_meant(path: Path, tmp_path: Path) -> None:
    path.write_text("a\n1\n")
    for option, error, says in (
        ({"sep": "::"}, ValueError, "one character"),
        ({"quote": "é"}, ValueError, "one character"),
        ({"decimal": ",", "thousands": ","}, ValueError, "both ','"),
        ({"skip_rows": -1}, ValueError, "from 0 on"),
        ({"skip_rows": "x"}, TypeError, "number of lines"),
        ({"names": [1]}, TypeError, "list of str"),
    ):
        with pytest.raises(error, match=says):
            oc.load(path, **option)
    other = tmp_path / "x.ndjson"
    other.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="sep=, header= are not for ndjson"):
        oc.load(other, sep=";", header=True)


def test_guesses_need_letters() -> None:
    assert encodings.found(b"a,b\n1,\xe9\n", True) == "cp1252"
    # A character that is cut in two at the end of the sample is no other encoding.
    assert encodings.found("a,é".encode()[:-1], False) == "utf-8"
    assert encodings.found("a,é".encode()[:-1], True) == "cp1252"


# The command line.


def test_on_the_command_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes("# x\nn|t|s\n1.000,5|31.12.2024|-\n2|1.1.2025|é\n3\n".encode("cp1252"))
    out = path.with_suffix(".parquet")
    options = "--sep | --comment # --decimal , --thousands . --encoding cp1252 --na-values -"
    more = ["--parse-dates", "t=%d.%m.%Y", "--bad-rows", "collect", "--dtype", "s=large_string"]
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(path), str(out), *options.split(), *more])
    assert not ended.value.code
    err = capsys.readouterr().err
    assert "row 3 left out: it has 1 values" in err
    table = oc.load(out)
    assert table["n"].to_pylist() == [1000.5, 2.0]
    assert table["t"].to_pylist()[1] == datetime.datetime(2025, 1, 1)
    assert table["s"].to_pylist() == [None, "é"]
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(path), str(out), "--sep", "::"])
    assert ended.value.code == 2
    assert "one character" in capsys.readouterr().err


def test_from_csv_to_csv_no_value_changes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ["007", "1.10", "1e5", "0x10", "", " x ", '"', "a,b", "2024-1-1", "TRUE", "NA", "é"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "a"], *([value, "1"] for value in values)])
    out = path.with_name("out.csv")
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(path), str(out)])
    assert not ended.value.code
    assert out.read_bytes() == path.read_bytes().replace(b"\r\n", b"\n")
    with pytest.raises(SystemExit):
        main(["convert", str(path), str(path.with_name("out.tsv")), "--rows", ":2"])
    assert path.with_name("out.tsv").read_text() == "a\ta\n007\t1\n1.10\t1\n"
    assert capsys.readouterr().err == ""


# Any dialect.

FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\x1a"), max_size=8)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(FIELDS, min_size=width, max_size=width), min_size=1, max_size=8
        )
    ),
    sep=st.sampled_from(",;|\t"),
    quote=st.sampled_from("\"'"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be"]),
)
def test_any_text_in_any_dialect(
    path: Path,
    rows: list[list[str]],
    sep: str,
    quote: str,
    end: str,
    quoting: Any,
    encoding: str,
) -> None:
    text = io.StringIO(newline="")
    names = [f"n{at}" for at in range(len(rows[0]))]
    writer = csv.writer(text, delimiter=sep, quotechar=quote, lineterminator=end, quoting=quoting)
    writer.writerows([names, *rows])
    # Python's writer leaves some line ends without quotes.
    reader = csv.reader(io.StringIO(text.getvalue(), newline=""), delimiter=sep, quotechar=quote)
    assume([*reader] == [names, *rows])
    path.write_bytes(text.getvalue().encode(encoding))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = oc.load(path, sep=sep, quote=quote, encoding=encoding, dtype=str)
    assert got.column_names == names
    assert [list(row) for row in zip(*(c.to_pylist() for c in got.columns), strict=True)] == rows


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
        patch.setattr("onecopy._files.load.delimited._AHEAD", 1000)  # such blocks are many
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


@pytest.mark.parametrize("many", [0, 1 << 30])
def test_a_long_file_is_read_again_with_the_types_that_were_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Or it is read on, where its first block is most of it: the table is the same."""
    opened: list[object] = []

    def count(self: delimited.Rows, types: dict[int, object], taken: list[int]) -> object:
        opened.append([*types])
        return usual(self, types, taken)

    usual = delimited.Rows.open
    monkeypatch.setattr(delimited, "_MANY", many)
    monkeypatch.setattr(delimited.Rows, "open", count)
    path = tmp_path / "x.csv"
    path.write_text("n,f,s,d\n" + "".join(f"{i},{i}.5,w{i},2024-01-02\n" for i in range(200)))
    got = oc.load(path)
    assert opened == ([[], [0, 1, 2, 3]] if many == 0 else [[]])
    assert got["n"].to_pylist() == [*range(200)]
    assert [str(kind) for kind in got.schema.types] == ["int64", "double", "string", "date32[day]"]
