"""`load` of CSV in every dialect: separators, names, line ends, comments, quotes."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import onecopy as oc
from tests.text import loaded, refused, said

TWO = {"a": [1], "b": [2]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


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


@pytest.mark.parametrize("before", ["", "7\n" * 500])
def test_hexadecimal_numbers_stay_text(
    path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 256)
    few = before.split()
    assert loaded(path, f"a\n{before}0x00FF\n0XA\n8\n")["a"] == [*few, "0x00FF", "0XA", "8"]
    # Columns without one are integers still.
    rows = before.replace("7", "7,7,7")
    got = loaded(path, f"a,b,c\n{rows}1,0x1f,0x00112233445566778899aabb\n2,3,4\n")
    assert got["a"] == [*map(int, few), 1, 2]
    assert (got["b"][-2:], got["c"][-1]) == (["0x1f", "3"], "4")
    got = loaded(path, f"a,b\n{before.replace('7', '7,7')}1,no 0x1f\n2,x\n")
    assert got["a"] == [*map(int, few), 1, 2]
    assert loaded(path, f"a\n{before}0x1F\n", dtype={"a": int})["a"][-1] == 31
    assert loaded(path, 'a,b\n"0x1F","1,000"\n', thousands=",") == {"a": ["0x1F"], "b": [1000]}


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


def test_options_that_cannot_be_meant(path: Path, tmp_path: Path) -> None:
    path.write_text("a\n1\n")
    for option, error, says in (
        ({"sep": "::"}, ValueError, "one character"),
        ({"quote": "é"}, ValueError, "one character"),
        ({"decimal": ",", "thousands": ","}, ValueError, "both ','"),
        ({"skip_rows": -1}, ValueError, "from 0 on"),
        ({"skip_rows": "x"}, TypeError, "number of lines"),
        ({"names": [1]}, TypeError, "list of str"),
        ({"header": 0}, TypeError, "True or False"),
    ):
        with pytest.raises(error, match=says):
            oc.load(path, **option)
    other = tmp_path / "x.ndjson"
    other.write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="sep=, header= are not for ndjson"):
        oc.load(other, sep=";", header=True)


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
