"""Wrong words on the command line, each with one line that says what to do instead."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from onecopy.cli import main
from onecopy.cli._errors import reason, unread
from onecopy.cli.run import _without_ours


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with some files in it; imports from it are undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    np.save("data.npy", np.arange(6.0))
    Path("x.pkl").write_bytes(pickle.dumps(3))
    Path("program.py").write_text("number = 3\n")
    return tmp_path


def refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, int]:
    """The line that `onecopy ARGUMENTS` gives up with, and its status."""
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("onecopy: ")
    assert err.count("\n") == 1
    assert isinstance(ended.value.code, int)
    return err.removeprefix("onecopy: ").rstrip("\n"), ended.value.code


@pytest.mark.parametrize(
    ("arguments", "says", "status"),
    [
        ("run", "Missing argument 'MODULE:FUNC'; --help has the usage", 2),
        ("run numpy:sum", "Missing argument 'FILE'; --help has the usage", 2),
        ("run numpy:sum data.npy b c", "too many arguments: 'b c'; --help has the usage", 2),
        ("demo foo", "too many arguments: 'foo'; --help has the usage", 2),
        ("run numpy:sum z*.npy", "no file has a name like 'z*.npy'", 2),
        ("run numpy:sum z.npy", "'z.npy' does not exist", 2),
        ("convert z*.npy o.npy", "no file has a name like 'z*.npy'", 2),
        ("convert z.npy o.npy", "'z.npy' does not exist", 2),
        ("convert x.pkl o.npy", "'x.pkl' is a pickle, which cannot be converted", 2),
        (
            "convert data.npy o.pkl",
            "'o.pkl': no file is written as 'pickled'; --to is one of npy, npz, hdf5, zarr, arrow, "
            "parquet, csv, ndjson",
            2,
        ),
        (
            "convert data.npy - --to csv",
            "'-': files are converted, and no standard stream; ./- is a file",
            2,
        ),
        ("report z.onecopy", "'z.onecopy' does not exist", 1),
        ("top 1 2", "one process at a time, with all below it, not 1 2", 2),
        ("top -c", "there is no option -c; --help lists the options", 2),
        ("top --zork python -c", "there is no option --zork; --help lists the options", 2),
        ("run numpy:sum data.npy --workers 1001", "'--workers': it is at most 1000", 2),
        (
            "doctor --record x.zip program.py",
            "--record 'x.zip': the file's name ends in .doctor, for onecopy report",
            2,
        ),
    ],
)
def test_one_line_says_what_to_do(
    arguments: str, says: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    line, ended = refused(arguments, capsys)
    assert line.endswith(says)
    assert ended == status


def test_a_value_in_place_of_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    line, _ = refused("run program.py:number data.npy --method thread", capsys)
    assert line == "'program.py:number' is of type int, and no function"


def test_a_file_that_the_system_refuses() -> None:
    error = PermissionError(13, "Permission denied", "data.npy")
    assert unread("data.npy", error) == "'data.npy' cannot be read: Permission denied"
    assert reason(ValueError("no\n good")) == "ValueError: no good"
    assert reason(OSError("odd")) == "OSError: odd"


def test_a_worker_s_traceback_without_our_frames() -> None:
    ours = str(Path(sys.modules["onecopy"].__file__ or "").parent / "_worker" / "main.py")
    head, end = "Traceback (most recent call last):", "ValueError: of\n  several lines"
    mine = '  File "/home/me/mod.py", line 5, in boom\n    1 / 0\n    ~~^~~'
    frame = f'  File "{ours}", line 63, in run\n    return f(x)\n           ^^^^'
    assert _without_ours(f"\n{head}\n{frame}\n{mine}\n{end}\n") == f"{head}\n{mine}\n{end}"
    assert _without_ours(f"{head}\n{mine}\n{frame}\n{end}") == f"{head}\n{mine}\n{end}"
    assert _without_ours(f"{head}\n{frame}\n{frame}\n{end}") == end
