"""CSV files on the command line."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

import pytest

import onecopy as oc
from onecopy.cli import main
from onecopy.errors import BadFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


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


@pytest.mark.parametrize("late", [False, True])
def test_from_csv_to_csv_rows_are_compared_by_their_types(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: bool
) -> None:
    """And their text is the same: 9 is less than 10, which the text is not."""
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    rows = [f"{i:05d},{i}.50" for i in range(2000)]
    path.write_text("a,x\n" + "\n".join([*rows, "2000.5,9" if late else "02000,9"]) + "\n")
    out = path.with_name("out.csv")
    options = ["--filter", "a>=9", "--filter", "x < 101", "--rows", "1:"]
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(path), str(out), *options])
    assert not ended.value.code
    assert capsys.readouterr().err == ""
    wanted = [*rows[10:101], "2000.5,9" if late else "02000,9"]
    assert out.read_text() == "a,x\n" + "\n".join(wanted) + "\n"
    with pytest.raises(SystemExit):
        main(["convert", str(path), str(out), "--filter", "a > 1998", "--columns", "x"])
    assert out.read_text() == "x\n1999.50\n9\n"
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(path), str(out), "--filter", "z > 1"])
    assert ended.value.code == 2
    assert "has no column 'z'" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [["c"], ["b", "c"], ["d", "c"], ["b", "c", "d"], None])
@pytest.mark.parametrize("late", [False, True])
def test_a_bad_value_is_in_the_column_that_is_named(
    tmp_path: Path, columns: list[str] | None, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow numbers all columns of the file, also if it was told to read some of them."""
    path = tmp_path / "x.csv"
    monkeypatch.setattr("onecopy._files.load.text.BLOCK", 1 << 10)
    path.write_text("a,b,c,d\n" + "1,2,3,4\n" * (1000 if late else 0) + "1,2,x,4\n")
    said = r"'.*x.csv': column 'c' cannot be loaded as int64: .*invalid value 'x'"
    with pytest.raises(BadFile, match=said):
        oc.load(path, columns=columns, dtype={"c": "int64"})
