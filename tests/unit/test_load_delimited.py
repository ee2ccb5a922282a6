"""`load` of CSV: rows that are left out or too long, quotes that are not closed."""

from __future__ import annotations

from pathlib import Path

import pytest

import onecopy as oc
from onecopy._files.load import delimited
from tests.text import loaded, refused, said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


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
        oc.load(path, bad_rows="drop")  # type: ignore[arg-type]  # refused


def test_half_a_row_at_the_end_of_the_wanted_ones_is_not_left_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    path.write_text("a,b\n" + "2024-01-01 10:00:00Z,1\n" * 3000)
    for _ in range(60):  # Arrow's thread is seldom in the middle of it
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
