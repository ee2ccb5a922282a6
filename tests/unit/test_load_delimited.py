"""`load` of CSV: rows that are left out or too long, quotes that are not closed."""

from __future__ import annotations

import csv
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_the_first_block_is_decoded_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The types that it has are those of the blocks after it, so reading goes on from there."""
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    opened: list[object] = []

    def count(self: delimited.Rows, types: dict[int, object], taken: list[int]) -> object:
        opened.append([*types])
        return usual(self, types, taken)

    usual = delimited.Rows.open
    monkeypatch.setattr(delimited.Rows, "open", count)
    path.write_text("n,f,s,d\n" + "".join(f"{i},{i}.5,w{i},2024-01-02\n" for i in range(200)))
    got = oc.load(path)
    assert opened == [[]]
    assert got["n"].to_pylist() == [*range(200)]
    assert [str(kind) for kind in got.schema.types] == ["int64", "double", "string", "date32[day]"]


# --- where a block is cut ----------------------------------------------------------

_ROWS = {
    "plain": [[str(at), f"w{at}"] for at in range(60)],
    "quotes": [[str(at), f'say "{at}"' * (at % 3)] for at in range(60)],
    "line ends": [[str(at), "a\nb,\n\nc\n" * (at % 4)] for at in range(60)],
    "long": [[str(at), "line\n" * (at % 30)] for at in range(60)],
    "quotes and line ends": [[str(at), 'a"\n"\n,"b' * (at % 5)] for at in range(60)],
    "looks like rows": [[str(at), "\n5,x\n" * (at % 7)] for at in range(60)],
    "byte-order marks": [["\ufeff" + str(at), "\ufeff"] for at in range(60)],
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [8, 100, 1000])
@pytest.mark.parametrize("kind", _ROWS)
def test_values_are_whole_wherever_the_file_is_cut(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, block: int, end: str
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", block)
    rows = _ROWS[kind]
    with path.open("w", newline="") as file:
        # Python's writer quotes no line end other than its own.
        alone = end == "\r"
        writer = csv.writer(
            file, lineterminator=end, quoting=csv.QUOTE_ALL if alone else csv.QUOTE_MINIMAL
        )
        writer.writerows([["n", "w"], *rows])
    table = oc.load(path, dtype="string", sep=",")
    assert [[*each.values()] for each in table.to_pylist()] == rows


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.lists(st.text('ab1,;"\n\r \ufeffé', max_size=12), min_size=2, max_size=2), min_size=1
    ),
    block=st.sampled_from([4, 20, 70]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_values_are_whole(path: Path, rows: list[list[str]], block: int, end: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["n", "w"], *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("onecopy._files.load.text.BLOCK", block)
        table = oc.load(path, dtype="string", sep=",", encoding="utf-8")
    assert [[*each.values()] for each in table.to_pylist()] == rows


def test_quotes_within_plain_values_do_not_move_a_cut_for_good(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them makes all later counts odd; a line end that is one in truth is found all the same."""
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 64)
    lines = [f"{at},{'5in' if at % 7 else chr(34) * 2} of {at}" for at in range(100)]
    values = [line.partition(",")[2].replace('""', "") for line in lines]
    lines[3] += '"'
    values[3] += '"'
    lines[50], values[50] = '50,"a\nb"', "a\nb"
    path.write_text("n,w\n" + "\n".join(lines) + "\n")
    assert oc.load(path)["w"].to_pylist() == values


@pytest.mark.parametrize("block", [16, 64, 300])
def test_an_escaped_line_end_is_no_end_of_a_row(
    path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", block)
    path.write_text("n,w\n" + "".join(f"{at},a\\\nb\n" for at in range(50)))
    got = oc.load(path, escape="\\", dtype="string")
    assert got.to_pydict() == {"n": [*map(str, range(50))], "w": ["a\nb"] * 50}


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_numbered_through_all_blocks(
    path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 64)
    monkeypatch.setattr(delimited, "threads_for_decoding", lambda: threads)
    lines = [f"{at},x" if at % 9 else f'{at},"x\n",{at}' for at in range(1, 200)]
    path.write_text("n,w\n" + "\n".join(lines) + "\n")
    table, left = oc.load(path, bad_rows="collect")
    assert table["n"].to_pylist() == [at for at in range(1, 200) if at % 9]
    assert [(row.row, row.text) for row in left] == [(at, lines[at - 1]) for at in range(9, 200, 9)]
    assert "such is row 9: it has 3 values" in refused(path, path.read_text())


def test_the_first_fault_of_a_file_is_the_one_that_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though threads decode the blocks after it at the same time."""
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 64)
    lines = [f"{at},1.5" for at in range(200)]
    lines[100], lines[120], lines[150] = "100", "120,y", "150,1,2"
    text = "n,w\n" + "\n".join(lines) + "\n"
    assert "row 101" in refused(path, text, dtype={"n": "int64", "w": "float64"})
    lines[100] = "100,1"
    text = "n,w\n" + "\n".join(lines) + "\n"
    assert "cannot be loaded as double" in refused(path, text, dtype={"w": "float64"})


def test_an_open_quote_in_a_long_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 64)
    text = "n,w\n" + "1,x\n" * 100 + '2,"x\n' + "3,y\n" * 1000
    assert "within a quoted value" in refused(path, text)
    monkeypatch.setattr("onecopy._files.load.text.LARGEST_BLOCK", 1 << 11)
    assert "longer than 2048 bytes" in refused(path, text)


@pytest.mark.parametrize("sep", [*"acf19", "\x1a", "\x1f"])
def test_any_character_separates_values(path: Path, sep: str) -> None:
    rows = [["x", "y"], ["2", "z"], ["3", "5"]]
    path.write_text("".join(f"{sep.join(row)}\n" for row in [["n", "w"], *rows]))
    got = oc.load(path, sep=sep, quote="", dtype="string", encoding="utf-8")
    assert [[*each.values()] for each in got.to_pylist()] == rows


def test_the_end_of_a_file_of_ms_dos(path: Path) -> None:
    assert loaded(path, "a,b\r\n1,2\r\n\x1a") == {"a": [1], "b": [2]}


def test_threads_end_with_the_load(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 64)
    path.write_text("n,w\n" + "1,x\n" * 1000)
    assert oc.load(path, rows=(0, 5)).num_rows == 5
    with pytest.raises(oc.BadFile):
        oc.load(path, dtype={"w": "int64"})
    assert not [each for each in threading.enumerate() if "decode" in each.name]
