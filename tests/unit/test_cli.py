"""The command line without a worker: what it refuses, how it names things, what it prints.

Each error is one line on standard error and an exit status. Whole runs, with workers, are
in `tests/processes/test_cli_run.py`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import onecopy
from onecopy._lab._records import DTYPE, write
from onecopy.cli import _show, _source, _targets, main
from onecopy.cli._application import COMMANDS, application
from onecopy.cli._errors import CommandError
from onecopy.cli.demo import Figures, check, sentence


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with some files in it; imports from it are undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    records = np.zeros(10, DTYPE)
    np.save("records.npy", records)
    np.save("plain.npy", np.arange(6.0))
    np.save("scalar.npy", np.array(3))
    np.save("objects.npy", np.array([None, {}]), allow_pickle=True)
    np.savez("two.npz", x=records, y=np.arange(4))
    np.savez("one.npz", only=records)
    Path("text.txt").write_text("no data")
    Path("damaged.npy").write_bytes(b"\x93NUMPY\x01")
    return tmp_path


def refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that `onecopy ARGUMENTS` gives up with."""
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("onecopy: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("bogus", "there is no command 'bogus'; try 'onecopy --help'"),
        ("run --feild val", "there is no option --feild; did you mean --field?"),
        ("doctor --html x", "there is no option --html; --help lists the options"),
        ("rum numpy:sum plain.npy", "there is no command 'rum'; did you mean 'run'?"),
        ("run numpy:sum plain.npy --workers 0", "'--workers': it is at least 1"),
        ("run numpy:sum plain.npy --workers x", "'--workers': it is a whole number"),
        ("run numpy:sum plain.npy --method forks", "'--method': 'forks' is not one of"),
        ("run numpy:sum plain.npy --timeout 0", "timeout is a number of seconds above 0"),
        ("run numpy:sum plain.npy --memory-limit 2XB", "memory_limit is a size, such as '2GB'"),
        (
            "run numpy:sum plain.npy --report no/x.html",
            "--report 'no/x.html': there is no directory",
        ),
        ("run numpy:sum plain.npy --reduce median", "sum, min, max, mean, count, first, last"),
        ("convert plain.npy no/x.npy", "'no/x.npy': there is no directory 'no'"),
        ("lab cow-array --html x.txt", "--html 'x.txt': the file's name ends in .html"),
        ("run numpy records.npy", "MODULE:FUNC"),
        ("run :sum records.npy", "MODULE:FUNC"),
        ("run nowhere.py:f records.npy", "there is no file 'nowhere.py'"),
        ("run numpy:sum nowhere.npy", "'nowhere.npy' does not exist"),
        ("run numpy:sum .", "holds files of several formats (npy, npz)"),
        ("run numpy:sum", "FILE"),
        ("run numpy:sum records.npy --workers 0", "--workers"),
        ("run numpy:sum records.npy --workers two", "--workers"),
        ("run numpy:sum records.npy --block 0", "--block"),
        ("run numpy:sum records.npy --method zap", "--method"),
        (
            "run numpy:sum records.npy --reduce zap",
            "it is sum, min, max, mean, count, first, last, concat or MODULE:FUNC",
        ),
        ("run numpy:sum records.npy --out result.txt", ".npy or .json"),
        ("run numpy:sum records.npy --out nowhere/result.npy", "no directory 'nowhere'"),
        ("run numpy:sum records.npy --out records.npy", "is the file that is read"),
        ("run numpy:sum records.npy --zap", "--zap"),
        ("rum numpy:sum records.npy", "'rum'"),
        ("demo --records 0", "--records"),
        ("demo --dir nowhere", "'nowhere' is no directory"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_usage_error_is_one_line(
    arguments: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(arguments, capsys)


def test_help_says_what_people_write(capsys: pytest.CaptureFixture[str]) -> None:
    usages = {
        "run": "MODULE:FUNC FILE",
        "convert": "IN... OUT",
        "lab": "[NAME]",
        "top": "[PID | -- COMMAND ...]",
        "report": "FILE",
        "doctor": "(SCRIPT | -m MODULE | -c CODE |",
    }
    for command, usage in usages.items():
        with pytest.raises(SystemExit):
            main([command, "--help"])
        out = capsys.readouterr().out
        assert f"onecopy {command} [OPTIONS] {usage}" in out
        assert not any(kind in out for kind in ("<bool>", "<str>", "<list"))


@pytest.mark.parametrize("columns", [48, 60, 79, 80, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_cuts_nothing_on_any_terminal(
    command: str,
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    words = [command] if command else []
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    out = capsys.readouterr().out
    parser: Any = typer.main.get_command(application(words))
    names = {
        name
        for each in (parser.commands[command] if command else parser).params
        if each.param_type_name == "option"
        for name in (*each.opts, *each.secondary_opts)
    }
    assert names
    assert {name for name in names if not re.search(rf"{name}(?![\w-])", out)} == set()
    assert "…" not in out
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.|COMMAND\s+\.\.\.|IN\.\.\.", "", out)
    assert max(map(len, out.splitlines())) <= columns


def test_a_suggestion_is_similar() -> None:
    with pytest.raises(CommandError) as refused:
        _targets.resolve(_targets.parse("numpy:nosuch"))
    assert "mean" not in str(refused.value)
    with pytest.raises(CommandError, match="did you mean 'nansum'"):
        _targets.resolve(_targets.parse("numpy:nansumm"))


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in (
        (["--version"], f"onecopy {onecopy.__version__}"),
        (["--help"], "run"),
        ([], "demo"),
        (["run", "--help"], "--reduce"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        out, err = capsys.readouterr()
        assert says in out
        assert err == ""


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nosuchmodule:f", "there is no module 'nosuchmodule'"),
        ("numpy.nosuch:f", "there is no module 'numpy.nosuch'"),
        ("numpy:nansun", "did you mean 'nansum'?"),
        ("numpy:pi", "not a function but a float"),
        ("fails.py:f", "importing 'fails.py' failed: ZeroDivisionError"),
        ("ends.py:f", "importing 'ends.py' failed: SystemExit: 3"),
        ("needs.py:f", "needs a module 'nosuchmodule'"),
        ("typo.py:f", "importing 'typo.py' failed: SyntaxError"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_function_that_is_not_there(spec: str, says: str) -> None:
    Path("fails.py").write_text("1 / 0")
    Path("ends.py").write_text("raise SystemExit(3)")
    Path("needs.py").write_text("import nosuchmodule")
    Path("typo.py").write_text("def")
    target = _targets.parse(spec)
    _targets.find(target)
    with pytest.raises(CommandError) as caught:
        _targets.resolve(target)
    assert says in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize("name", ["queue.py", "numpy.py", "two.parts.py"])
@pytest.mark.usefixtures("folder")
def test_file_whose_name_cannot_be_a_module(name: str) -> None:
    Path(name).write_text("f = abs")
    with pytest.raises(CommandError, match="rename"):
        _targets.parse(f"{name}:f")


@pytest.mark.usefixtures("folder")
def test_file_that_another_module_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("hidden_by.py").write_text("f = abs")
    monkeypatch.setitem(sys.modules, "hidden_by", sys)
    target = _targets.parse("hidden_by.py:f")
    with pytest.raises(CommandError, match="is hidden by the module 'hidden_by'"):
        _targets.resolve(target)


def test_function_from_a_file_and_its_neighbour(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub/some-tasks.py").write_text("import cli_neighbour\nclass A:\n  f = abs\n")
    (folder / "sub/cli_neighbour.py").write_text("")
    (folder / "sub/queue.py").write_text("1 / 0")
    monkeypatch.setitem(sys.modules, "cli_neighbour", sys)
    monkeypatch.delitem(sys.modules, "cli_neighbour")
    target = _targets.parse("sub/some-tasks.py:A.f")
    _targets.find(target)
    assert _targets.resolve(target) is abs
    standard = os.path.dirname(os.__file__)
    # What lies beside the file comes after the standard library and before the rest.
    assert sys.path.index(standard) < sys.path.index(str(folder / "sub"))
    assert _targets.resolve(_targets.parse("numpy:linalg.norm")) is np.linalg.norm


@pytest.mark.parametrize(
    ("file", "field", "says"),
    [
        ("text.txt", None, "format is not known"),
        ("damaged.npy", None, "not a whole .npy file"),
        ("objects.npy", None, "Python objects"),
        ("scalar.npy", None, "single value"),
        ("records.npy", "nope", "has no field 'nope'; it has index, timestamp, val"),
        ("plain.npy", "val", "plain float64, not records"),
        ("two.npz", None, "choose a member, as two.npz:NAME or by --field; it has x, y"),
        ("two.npz", "val", "has no member 'val'"),
        ("two.npz:z", None, "has no member 'z'"),
        ("two.npz:y", "val", "plain int64, not records"),
        ("one.npz:nope", None, "has no member 'nope'; it has only"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_data_that_is_not_there(file: str, field: str | None, says: str) -> None:
    with pytest.raises(CommandError) as caught:
        _source.load(file, field)
    assert says in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    ("file", "field", "shape", "dtype", "data_bytes"),
    [
        ("records.npy", None, (10,), DTYPE, 240),
        ("records.npy", "val", (10,), "f8", 240),
        ("plain.npy", None, (6,), "f8", 48),
        ("two.npz", "y", (4,), "i8", 32),
        ("two.npz:x", "val", (10,), "f8", 240),
        ("one.npz", None, (10,), DTYPE, 240),
        ("one.npz", "val", (10,), "f8", 240),
        ("one.npz", "only", (10,), DTYPE, 240),
    ],
)
@pytest.mark.usefixtures("folder")
def test_data(file: str, field: str | None, shape: Any, dtype: Any, data_bytes: int) -> None:
    source = _source.load(file, field)
    assert (source.data.shape, source.data.dtype, source.data_bytes) == (shape, dtype, data_bytes)


@pytest.mark.usefixtures("folder")
def test_file_with_a_colon_in_its_name() -> None:
    os.rename("two.npz", "two.npz:y.npz")
    assert _source.load("two.npz:y.npz:y", None).data.shape == (4,)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.float64(3.5), "3.5"),
        ([1, 2], "[1, 2]  (2 blocks)"),
        ([np.zeros(3)], "[<ndarray float64 (3,)>]  (1 block)"),
        (list(range(100)), "[0, 1, 2, ..., 97, 98, 99]  (100 blocks)"),
        (np.arange(3), "[0 1 2]"),
        (["x" * 99], f"[{'x' * 37}...]  (1 block)"),
    ],
)
def test_result_as_text(value: Any, shown: str) -> None:
    assert _show.text(value) == shown


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (np.float32(1.5), 1.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([1.0, np.nan, np.inf, -np.inf]), [1.0, "NaN", "Infinity", "-Infinity"]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.datetime64("2020-01-02"), "2020-01-02"),
        (np.zeros(1, [("a", "i4"), ("b", "f8")]), [[0, 0.0]]),
        ({1: (None, True, "x")}, {"1": [None, True, "x"]}),
        (1j, "1j"),
    ],
)
def test_result_as_strict_json(value: Any, read: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(_show.dump(value), parse_constant=refuse) == read


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (np.float64(2), ()),
        (np.arange(5), (5,)),
        ([1.0, 2.0, 3.0], (3,)),
        ([np.zeros(3), np.zeros(3)], (2, 3)),
        ([np.zeros(3), np.zeros(2)], (5,)),
        ([], (0,)),
    ],
)
def test_result_saved(value: Any, shape: tuple[int, ...]) -> None:
    before = set(os.listdir())
    _show.save("result.npy", value)
    assert np.load("result.npy").shape == shape
    _show.save("result.json", value)
    assert json.loads(Path("result.json").read_text()) == _show.to_json(value)
    assert set(os.listdir()) - before == {"result.npy", "result.json"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("value", [object(), [{}, {}], [np.zeros((2, 2)), np.zeros(3)]])
def test_result_that_is_no_array(value: Any) -> None:
    before = sorted(os.listdir())
    with pytest.raises(CommandError, match=r"use \.json"):
        _show.save("result.npy", value)
    assert sorted(os.listdir()) == before


@pytest.mark.usefixtures("folder")
def test_records_of_the_demo() -> None:
    total = write("made.npy", 1_000_003)
    made = np.load("made.npy")
    assert made.dtype == DTYPE
    assert made["index"].tolist() == list(range(1_000_003))
    assert np.nansum(made["val"]) == total
    assert set(np.unique(made["val"])[:2]) == {0, 1}
    assert np.isnan(made["val"]).any()


def test_demo_without_room(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"of disk in .* is free; try --records \d+$") as caught:
        check(10**15, 2, str(tmp_path))
    assert caught.value.status == 1


def test_demo_says_what_the_figures_say() -> None:
    figures = [
        Figures("pickled", "spawn", 4.0, 900, 480, True),
        Figures("pickled", "fork", 3.0, 1200, 480, True),
        Figures("SharedMemory", "spawn", 1.0, 600, 1, True),
        Figures("onecopy", "forkserver", 0.5, 300, 1, True),
    ]
    assert sentence(figures) == (
        "pickled took 6.0 to 8.0 times the time and 3.0 to 4.0 times the memory of onecopy; "
        "SharedMemory took 2.0 times the time and 2.0 times the memory of onecopy; "
        "all sums are equal."
    )
    wrong = Figures("pickled", "spawn", 4.0, None, 480, False)
    assert sentence([wrong, figures[-1]]) == (
        "pickled took 8.0 times the time of onecopy; 1 of 2 sums are wrong."
    )
