"""The command line without a worker: what it refuses, how it names things, what it prints.

Each error is one line on standard error and an exit status. Whole runs, with workers, are
in `tests/processes/test_cli_run.py`.
"""

from __future__ import annotations

import datetime as dt
import inspect
import json
import os
import pickle
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import typer

import onecopy
from onecopy._lab._records import DTYPE, write
from onecopy.cli import _show, _source, _targets, main
from onecopy.cli._application import COMMANDS, application
from onecopy.cli._as_json import NotJson, dump, to_json
from onecopy.cli._errors import CommandError
from onecopy.cli._messages import in_options
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
        ("run numpy:sum plain.npy --timeout 0", "--timeout is a number of seconds above 0"),
        ("run numpy:sum plain.npy --memory-limit 2XB", "--memory-limit is a size, such as '2GB'"),
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
        ("run numpy:sum records.npy --out result.txt", ".npy, .json or .pkl"),
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


@pytest.mark.parametrize(
    ("library", "here"),
    [
        ("sep= names another separator", "--sep names another separator"),
        ("names= has 3", "--names has 3"),
        ("quote= names another character, and '' none", "--quote names another character, and '' none"),
        ("columns=, rows= and dtype= are", "--columns, --rows and --dtype are"),
        ("sep= and quote= may be others (encoding= too)", "--sep and --quote may be others (--encoding too)"),
        ("header=False makes it a row", "--no-header makes it a row"),
        ("missing='null' makes it null", "--missing null makes it null"),
        ("bad_rows='skip' leaves out", "--bad-rows skip leaves out"),
        ("dtype={'z': 'string'} keeps", "--dtype z=string keeps"),
        ("dtype={'a b': 'string'} keeps", "--dtype 'a b=string' keeps"),
        ("dtype={\"it's}\": 'string'} keeps", "--dtype 'it'\"'\"'s}=string' keeps"),
        ("dtype={'z': ...} sets", "--dtype z=TYPE sets"),
        ("bad_rows='x': it is", "--bad-rows 'x': it is"),
        ("sep='\\t': it is", "--sep '\\t': it is"),
        ("skip_rows=-1: it is", "--skip-rows -1: it is"),
        ("'x': filter=: there are 2", "'x': --filter: there are 2"),
        ("or say format=", "or say --from"),
        # The user's own words.
        ("'sep=1.csv' is no file, sep= is", "'sep=1.csv' is no file, --sep is"),
        ("\"it's rows=3\" is", "\"it's rows=3\" is"),
        ("begins with b'rows=3'; format= may", "begins with b'rows=3'; --from may"),
        ("the file's rows= is the file's", "the file's --rows is the file's"),
        ("filter='sep=3 ~ \\'x\\'': it is", "--filter 'sep=3 ~ \\'x\\'': it is"),
        ("is in no folder rows=..., as", "is in no folder rows=..., as"),
        # Others' arguments, and what has no option.
        ("say load(rows=3), or np.f(x, y, out.sep=3)", "say load(rows=3), or np.f(x, y, out.sep=3)"),
        ("block_bytes= sets, allow_pickle=True loads", "block_bytes= sets, allow_pickle=True loads"),
    ],
)  # fmt: skip
def test_a_message_of_the_library_names_options(library: str, here: str) -> None:
    assert in_options(library) == here


def test_every_argument_of_load_has_its_option() -> None:
    without = {"path", "allow_pickle", "progress"}
    for name in set(inspect.signature(onecopy.load).parameters) - without:
        assert in_options(f"{name}= may help").startswith("--"), name


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("convert text.csv o.npy --sep ab", "--sep 'ab': it is one character"),
        (
            "convert text.csv o.bin",
            "'o.bin': the format is not known by the name; --to is one of npy,",
        ),
        ("convert data.bin o.npy", "or say --from"),
        ("convert text.csv o.npy --rows=-3:", "--rows '-3:': it is START:STOP"),
        ("convert plain.npy o.npy --sep ;", "--sep is not for npy"),
        ("run numpy:sum data.bin", "or say --from"),
        ("run numpy:sum text.csv --field a --from arrow", "'text.csv'"),
        ("run numpy:sum text.csv --names a", "and --names has 1"),
        ("run numpy:sum plain.npy --timeout 0", "--timeout is a number of seconds above 0"),
        ("run numpy:sum plain.npy --memory-limit 2XB", "--memory-limit is a size, such as '2GB'"),
        (
            "run numpy:sum plain.npy --timeout 1 --memory-limit 2GB --method thread",
            "--timeout and --memory-limit need a start method",
        ),
        ("run numpy:sum x.pkl", "the command line reads none; in Python, onecopy.load("),
    ],
)
@pytest.mark.usefixtures("folder")
def test_errors_name_options(arguments: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("text.csv").write_text("a;b\n1;2\n")
    Path("data.bin").write_text("a;b\n1;2\n")
    Path("x.pkl").write_bytes(pickle.dumps(3))
    assert says in refused(arguments, capsys)


@pytest.mark.usefixtures("folder")
def test_notes_name_options(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sep=.csv").write_text("007;1\n008;2\n")
    with pytest.raises(SystemExit) as ended:
        main(["convert", "sep=.csv", "o.npy"])
    assert ended.value.code in (None, 0)
    err = capsys.readouterr().err
    assert "onecopy: 'sep=.csv': read as fields between semicolons; --sep names another" in err
    assert "looks like values; --no-header makes it a row" in err
    assert "--dtype 007=string keeps them" in err


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
        ("numpy:pi", "is of type float, and no function"),
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


_KEYS = {"true": 1, "null": 2, "3": 4, "2020-01-02": 5}
_MOMENTS = ["NaT", None, "0 days 01:00:00", "2020-01"]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (np.float32(1.5), 1.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([1.0, np.nan, np.inf, -np.inf]), [1.0, "NaN", "Infinity", "-Infinity"]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.datetime64("2020-01-02"), "2020-01-02"),
        (np.zeros(1, [("a", "i4"), ("b", "f8")]), [{"a": 0, "b": 0.0}]),
        (np.zeros(1, [("a", "i4")])[0], {"a": 0}),
        (np.array([[1, None], ["x", {}]], object), [[1, None], ["x", {}]]),
        (np.ma.array([1, 2], mask=[False, True]), [1, None]),
        (np.longdouble(0.5), 0.5),
        (np.timedelta64(5, "h"), "5 hours"),
        (np.ones(1, "c8"), ["(1+0j)"]),
        ({1: (None, True, "x")}, {"1": [None, True, "x"]}),
        ({True: 1, None: 2, np.int64(3): 4, dt.date(2020, 1, 2): 5}, _KEYS),
        (1j, "1j"),
        (Decimal("1.20"), "1.20"),
        (Path("a/b"), "a/b"),
        (dt.datetime(2020, 1, 2, 3), "2020-01-02T03:00:00"),
        (dt.timedelta(1), "1 day, 0:00:00"),
        (range(2), [0, 1]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Series([1, 2], ["x", "y"]), {"x": 1, "y": 2}),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.DataFrame({"a": [1, 2], 3: ["x", "y"]}), [{"a": 1, "3": "x"}, {"a": 2, "3": "y"}]),
        (pd.DataFrame({"a": [1]}, [pd.Timestamp(2020, 1, 2)]), {"2020-01-02T00:00:00": {"a": 1}}),
        (pd.DataFrame(index=range(2)), [{}, {}]),
        (pd.Index([1, 2]), [1, 2]),
        ([pd.NaT, pd.NA, pd.Timedelta(1, "h"), pd.Period("2020-01")], _MOMENTS),
        (pa.table({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        (pa.chunked_array([[1], [None]]), [1, None]),
        (pa.scalar(dt.date(2020, 1, 2)), "2020-01-02"),
        (pl.DataFrame({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        (pl.Series([1.5, None]), [1.5, None]),
    ],
)
def test_result_as_strict_json(value: Any, read: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(dump(value), parse_constant=refuse) == read


_LOOP: list[Any] = []
_LOOP.append(_LOOP)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "an object of type object, which"),
        ([1, {"x": ({2},)}], "an object of type set at [1]['x'][0], which"),
        (b"x", "an object of type bytes, which"),
        (np.array([b"x"]), "bytes, which"),
        (np.array([None, object()]), "an object of type object at [1], which"),
        (np.random.default_rng(0), "an object of type Generator, which"),
        ({(1, 2): 3}, "a key of type tuple, which"),
        ({1: "one", "1": "another"}, "several keys '1', which"),
        (pd.Series([1, 2], ["x", "x"]), "several keys 'x', which"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "several keys 'x', which"),
        (pd.Series([{1}]), "an object of type set at [0], which"),
        (pd.DataFrame({"a": [1]}).groupby("a"), "an object of type DataFrameGroupBy, which"),
        (pa.table([[1], [2]], ["x", "x"]), "several keys 'x', which"),
        (pa.schema([]), "an object of type Schema, which"),
        (pl.DataFrame({"a": [1]}).lazy(), "an object of type LazyFrame, which"),
        (_LOOP, "an object within itself, or nested too deep, which"),
        (len, "an object of type builtin_function_or_method, which"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_result_that_json_lacks_is_not_written_as_its_text(value: Any, what: str) -> None:
    with pytest.raises(NotJson) as refused:
        dump(value)
    assert str(refused.value) == f"{what} JSON lacks"
    before = sorted(os.listdir())
    with pytest.raises(CommandError) as unsaved:
        _show.save("result.json", value)
    assert unsaved.value.status == 1
    assert "use .pkl" in str(unsaved.value)
    assert sorted(os.listdir()) == before


@pytest.mark.usefixtures("folder")
def test_result_is_saved_beside_what_cannot_hold_it() -> None:
    Path("result.json.pkl").write_text("the user's")
    assert _show.save_beside("result.json", {1, 2}) == "result.json1.pkl"
    assert pickle.loads(Path("result.json1.pkl").read_bytes()) == {1, 2}
    assert Path("result.json.pkl").read_text() == "the user's"
    before = sorted(os.listdir())
    assert _show.save_beside("result.json", lambda: None) is None
    assert _show.save_beside("x" * 250 + ".json", 1) is None
    assert sorted(os.listdir()) == before


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
    assert json.loads(Path("result.json").read_text()) == to_json(value)
    _show.save("result.pkl", value)
    assert to_json(pickle.loads(Path("result.pkl").read_bytes())) == to_json(value)
    assert set(os.listdir()) - before == {"result.npy", "result.json", "result.pkl"}


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
