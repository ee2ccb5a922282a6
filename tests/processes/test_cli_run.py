"""`onecopy run` as people run it: a program of its own, with workers, over every method."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onecopy._lab._records import DTYPE, write

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
    assert out == "[1500.0, 1500.0, 1500.0, 1500.0, 1500.0, 1500.0, 1000.0]  (7 blocks)\n"


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


def test_failing_reduce(folder: Path) -> None:
    _, err = run(folder, "tasks:total", "records.npy", "--reduce", "tasks:bad_reduce", status=1)
    assert err.startswith("Traceback")
    assert err.endswith("KeyError: 'reduce'\n")
    assert "onecopy" not in err


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
