"""`onecopy run` as people run it: a program of its own, with workers, over every method."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onecopy._lab._records import DTYPE, write
from tests import terminals

pytestmark = pytest.mark.door

ROWS = 20_000

TASKS = """
import os, threading
import numpy as np
from neighbour import FACTOR

def total(block):
    return FACTOR * float(np.nansum(block["val"]))

half = lambda block: len(block) / 2

def index(block):
    return block["index"]

def bad(block):
    raise ValueError("no good")

def killed(block):
    os.kill(os.getpid(), 9)

def larger(a, b):
    return max(a, b)

def bad_reduce(a, b):
    raise KeyError("reduce")

def waits(block):
    with open(os.environ["FIFO"], "w") as fifo:
        fifo.write("here")
    threading.Event().wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with records, an archive and a file of functions; `total` beside them."""
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "neighbour.py").write_text("FACTOR = 2")
    total = write(str(tmp_path / "records.npy"), ROWS)
    (tmp_path / "total").write_text(str(total))
    np.savez_compressed(tmp_path / "archive.npz", x=np.arange(100), y=np.ones(7))
    return tmp_path


def run(folder: Path, *arguments: str, status: int = 0) -> tuple[str, str]:
    """Standard output and error of `onecopy run ARGUMENTS` in `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "onecopy", "run", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def total(folder: Path) -> float:
    return float((folder / "total").read_text())


def test_every_method(folder: Path, method: str) -> None:
    out, err = run(
        folder, "numpy:nansum", "records.npy", "--field", "val", "--reduce", "sum",
        "--method", method, "--workers", "2",
    )  # fmt: skip
    assert float(out) == total(folder)
    assert [line.split()[0] for line in err.splitlines()] == ["time", "workers", "memory"]
    assert f"2 by {method}" in err


def test_function_of_a_file(folder: Path, method: str) -> None:
    os.makedirs(folder / "elsewhere")
    arguments = ("../tasks.py:total", "../records.npy", "--method", method, "--block", "3000")
    out, _ = run(folder / "elsewhere", *arguments, "--reduce", "sum")
    assert float(out) == 2 * total(folder)
    out, _ = run(folder / "elsewhere", "../tasks.py:half", "../records.npy", *arguments[2:])
    assert out == "1500.0\n" * 6 + "1000.0\n", "whole, and a line each, for other programs"


def test_json(folder: Path) -> None:
    out, err = run(
        folder, "tasks:total", "records.npy", "--workers", "1", "--block", "7000",
        "--reduce", "tasks.py:larger", "--json",
    )  # fmt: skip
    assert err == ""
    said: dict[str, Any] = json.loads(out)
    assert said["result"] <= 2 * total(folder)
    assert (said["workers"], said["method"], said["rows"]) == (1, "forkserver", ROWS)
    assert said["data_bytes"] == ROWS * DTYPE.itemsize
    assert (said["function"], said["reduce"]) == ("tasks:total", "tasks.py:larger")
    assert said["seconds"] > 0
    assert 0 < said["bytes_through_pipes"] < said["data_bytes"]
    if Path("/proc/self/smaps_rollup").exists():
        assert said["peak_pss_bytes"] > said["data_bytes"]
        assert said["peak_processes"] >= 2


def test_out(folder: Path) -> None:
    arguments = ("tasks:index", "records.npy", "--block", "7000")
    out, err = run(folder, *arguments, "--out", "blocks.npy")
    assert out == ""
    assert "blocks.npy" in err
    assert np.array_equal(np.load(folder / "blocks.npy"), np.arange(ROWS))
    run(folder, *arguments, "--out", "whole.json", "--reduce", "concat")
    assert json.loads((folder / "whole.json").read_text()) == list(range(ROWS))
    # The blocks' indices cannot be added up: the last block is shorter.
    _, err = run(folder, *arguments, "--reduce", "sum", status=2)
    assert "--reduce sum" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "field"), [("archive.npz:x", ()), ("archive.npz", ("--field", "x"))]
)
def test_member_of_an_archive(folder: Path, file: str, field: tuple[str, ...]) -> None:
    out, _ = run(folder, "numpy:sum", file, *field, "--reduce", "sum")
    assert out == "4950\n"


def test_failing_function(folder: Path, method: str) -> None:
    out, err = run(folder, "tasks:bad", "records.npy", "--method", method, status=1)
    assert out == ""
    assert err.startswith("Traceback")
    assert "ValueError: no good" in err
    assert "tasks.py" in err


def test_a_function_that_takes_no_block(folder: Path) -> None:
    """The error of the call itself has no frame of the program, and none of ours is shown."""
    _, err = run(folder, "tasks:larger", "records.npy", "--workers", "1", status=1)
    first, where = err.splitlines()[:2]
    assert first == "TypeError: larger() missing 1 required positional argument: 'b'"
    assert "tasks.larger" in where
    assert "run_items" not in err


def test_failing_reduce(folder: Path) -> None:
    _, err = run(folder, "tasks:total", "records.npy", "--reduce", "tasks:bad_reduce", status=1)
    assert err.startswith("Traceback")
    assert err.endswith("KeyError: 'reduce'\n")
    assert "onecopy" not in err


def test_only_messages_of_the_library_name_options(folder: Path) -> None:
    """The words of the user's function stay as they are, also in errors of this library."""
    (folder / "own.py").write_text(
        "import numpy as np\nfrom onecopy.errors import BadFile\n"
        "class Sum:\n"
        "    def __add__(self, other): raise ValueError('sep= is mine')\n"
        "def bad(block): raise BadFile('sep= and memory_limit are mine')\n"
        "def mine(block): return Sum()\n"
        "def shapes(block): return np.zeros(len(block))\n"
    )
    block = ("records.npy", "--block", "7000", "--workers", "1")
    _, err = run(folder, "own:bad", *block, status=1)
    assert "sep= and memory_limit are mine" in err
    _, err = run(folder, "own:mine", *block, "--reduce", "sum", status=2)
    assert "ValueError: sep= is mine" in err
    _, err = run(folder, "own:shapes", *block, "--reduce", "sum", status=2)
    assert "--reduce sum combines results of one shape" in err
    assert "or use --reduce concat" in err


def test_worker_that_dies(folder: Path) -> None:
    _, err = run(folder, "tasks:killed", "records.npy", status=1)
    assert "SIGKILL" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("nosuchmodule:f records.npy", "there is no module"),
        ("tasks.py:totl records.npy", "did you mean 'total'"),
        ("numpy:sum records.npy --field nope", "it has index, timestamp, val"),
        ("numpy:sum tasks.py", "format is not known"),
    ],
)
def test_refused_although_workers_were_started(folder: Path, arguments: str, says: str) -> None:
    out, err = run(folder, *arguments.split(), status=2)
    assert (out, err.count("\n")) == ("", 1)
    assert says in err


def test_a_report_that_cannot_be_written_costs_no_result(folder: Path) -> None:
    """Faults that can be known before are said before any block is run; and at the end the result is
    there first, whatever becomes of the report."""
    ran = folder / "ran"
    (folder / "notes.py").write_text(
        f"def note(block):\n    open({str(ran)!r}, 'a').close()\n    return len(block)\n"
    )
    words = ("notes:note", "records.npy", "--reduce", "sum")
    for target in ("nodir/x.html", "."):
        _, err = run(folder, *words, "--report", target, status=2)
        assert (err.count("\n"), ran.exists()) == (1, False), err
    # A name that is too long for a draft, and not for itself: only the attempt tells.
    out, err = run(folder, *words, "--report", "x" * 250 + ".html", status=1)
    assert out == f"{ROWS}\n"
    assert "cannot be written: File name too long" in err
    run(folder, *words, "--out", "res.npy", "--report", "x" * 250 + ".html", status=1)
    assert np.load(folder / "res.npy") == ROWS


def test_a_result_that_does_not_fit_is_kept(folder: Path) -> None:
    """A result that its format cannot hold is in a pickle beside it, or printed."""
    (folder / "sets.py").write_text(
        "def few(block): return {1, 2}\ndef made(block): return lambda: None\n"
    )
    few = ("sets:few", "records.npy", "--reduce", "first", "--workers", "1")
    out, err = run(folder, *few, "--out", "o.json", "--report", "o.html", status=1)
    assert out == ""
    assert "'o.json': the result holds an object of type set, which JSON lacks; use .pkl" in err
    assert "the result is in 'o.json.pkl'" in err
    assert not (folder / "o.json").exists()
    assert pickle.loads((folder / "o.json.pkl").read_bytes()) == {1, 2}
    assert (folder / "o.html").exists()
    run(folder, *few, "--out", "o.npy", status=1)
    assert pickle.loads((folder / "o.npy.pkl").read_bytes()) == {1, 2}
    run(folder, *few, "--out", "o.pkl")
    assert pickle.loads((folder / "o.pkl").read_bytes()) == {1, 2}
    out, err = run(folder, *few, "--json", status=1)
    assert json.loads(out)["result"] is None
    assert "{1, 2}\n" in err
    assert (
        "the result, printed above, holds an object of type set, which JSON lacks; --out FILE.pkl"
        in err
    )
    # Of two that fail, both are said.
    made = ("sets:made", "records.npy", "--method", "thread", "--reduce", "first")
    out, err = run(folder, *made, "--out", "p.pkl", "--report", "x" * 250 + ".html", status=1)
    assert out.startswith("<function made")
    assert "onecopy: the result cannot be pickled: " in err
    assert "; the result is printed\n" in err
    assert "cannot be written: File name too long" in err


def test_limits_and_retries(folder: Path) -> None:
    (folder / "limits.py").write_text(
        "import os, time\nimport numpy as np\n"
        "def slow(block): time.sleep(600)\n"
        "def large(block):\n    kept = []\n    while True: kept.append(np.ones(1_000_000))\n"
        "def once(block):\n"
        "    if not os.path.exists('seen'):\n"
        "        open('seen', 'w').close()\n        os.kill(os.getpid(), 9)\n"
        "    return len(block)\n"
    )
    _, err = run(folder, "limits:slow", "records.npy", "--timeout", "0.2", status=1)
    assert "longer than its timeout of 0.2 s; its worker was ended\n" in err
    _, err = run(folder, "limits:large", "records.npy", "--memory-limit", "200MB", status=1)
    assert "its --memory-limit of 200 MB" in err
    assert "the pool" not in err
    out, _ = run(folder, "limits:once", "records.npy", "--retries", "1", "--reduce", "sum")
    assert out == f"{ROWS}\n"


def test_records_without_a_field(folder: Path) -> None:
    """The likeliest slip has its cure in the last line."""
    _, err = run(folder, "numpy:nansum", "records.npy", "--reduce", "sum", status=1)
    last = err.splitlines()[-1]
    assert last == (
        "hint: 'records.npy' holds records of index, timestamp, val: --field index gives one of them"
    )
    (folder / "t.csv").write_text("a,b\n1,2\n")
    _, err = run(folder, "math:sqrt", "t.csv", status=1)
    assert "'t.csv' holds a table of a, b: --field a" in err.splitlines()[-1]


def test_no_control_characters_reach_a_terminal(folder: Path) -> None:
    (folder / "esc.csv").write_bytes(b"a,b\n1,2\n3,\x1b[31mRED\x1b[2J\x1b]0;pwned\x07,5\n")
    (folder / "names.csv").write_bytes(b"\x1b[2Jx,b\n1,2\n")
    (folder / "esc.py").write_text(
        "def shout(block):\n    raise ValueError('\\x1b[2J\\x07')\n"
        "def tell(block):\n    return '\\x1b[2Jtold'\n"
    )
    for words, status in (
        (("builtins:len", "esc.csv"), 2),
        (("builtins:len", "esc.csv", "--bad-rows", "collect", "--reduce", "sum"), 0),
        (("builtins:len", "names.csv", "--field", "y"), 2),
        (("esc:shout", "records.npy"), 1),
        (("builtins:len", "no\x1b[2J.npy"), 2),
    ):
        _, err = run(folder, *words, status=status)
        assert "\\x1b" in err, err
        assert "\x1b" not in err
        assert "\x07" not in err
    seen = terminals.run(
        sys.executable, "-m", "onecopy", "run", "esc:tell", "records.npy", "--no-progress",
        "--reduce", "sum", cwd=folder,
    )  # fmt: skip
    assert any("\\x1b[2Jtold" in line for line in seen.last), seen.last


def test_a_full_disk_under_standard_output(folder: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "onecopy", "run", "numpy:sum", "archive.npz:x"],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "onecopy: standard output cannot be written: No space left on device\n"


def test_a_shell_completes(folder: Path) -> None:
    def completed(line: str) -> list[str]:
        words = line.split(" ")
        done = subprocess.run(
            [sys.executable, "-m", "onecopy"],
            env={
                **os.environ,
                "_ONECOPY_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(words) - 1),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert completed("onecopy ") == ["run", "convert", "demo", "doctor", "lab", "report", "top"]
    assert completed("onecopy run --re") == ["--reduce", "--retries", "--report"]
    assert completed("onecopy run --method fo") == ["fork", "forkserver"]
    assert "data-sink" in completed("onecopy lab ")


def test_progress_goes_to_standard_error(folder: Path) -> None:
    out, err = run(folder, "tasks:total", "records.npy", "--progress", "--reduce", "sum")
    assert float(out) == 2 * total(folder)
    assert "blocks" in err


def test_reader_that_stops_reading(folder: Path) -> None:
    # More than a pipe holds, so that the writer meets the closed end.
    command = [sys.executable, "-m", "onecopy", "run", "tasks:index", "records.npy", "--json"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 1


def _default_interrupt() -> None:
    # What runs in the background of a script is started with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupted(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Sends SIGINT as a person would: once more when nothing comes of it.

    CPython notes a signal that comes just before a thread blocks on a lock, and looks at
    its note when the lock is had or another signal comes.
    """
    while True:
        child.send_signal(signal.SIGINT)
        try:
            return child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            continue


def test_interrupt_is_quiet(folder: Path, method: str) -> None:
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "onecopy", "run", "tasks:waits", "records.npy"]
    with subprocess.Popen(
        [*command, "--method", method, "--workers", "1"],
        cwd=folder,
        env={**os.environ, "FIFO": str(fifo)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_default_interrupt,
    ) as child:
        assert fifo.read_text() == "here"  # opens when the task has begun
        out, err = _interrupted(child)
    assert (child.returncode, out, err) == (130, b"", b"")
    # That no worker is left is for the leak watch to say.
