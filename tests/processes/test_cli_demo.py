"""`onecopy demo` on little data: the table, the sentence, and nothing left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.door

COMMAND = [sys.executable, "-m", "onecopy", "demo", "--workers", "2"]
# No colour and no other width because of where the tests run.
PLAIN = {
    name: value
    for name, value in os.environ.items()
    if name not in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE")
}


def test_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--records", "200000", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=PLAIN,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.stdout
    rows = {tuple(line.split()[:2]): line for line in lines if line.rstrip().endswith("right")}
    assert list(rows) == [
        ("pickled", "spawn"),
        ("pickled", "fork"),
        ("SharedMemory", "spawn"),
        ("SharedMemory", "fork"),
        ("onecopy", "forkserver"),
    ]
    # 200,000 records of 24 bytes, and what pickle writes around them.
    assert rows["pickled", "spawn"].split()[-3:] == ["4.8", "MB", "right"]
    assert rows["SharedMemory", "fork"].split()[-2] == "B"
    assert rows["onecopy", "forkserver"].split()[-2] in ("B", "kB")
    assert "all sums are equal." in " ".join(lines[-3:])
    assert os.listdir(tmp_path) == []


def test_terminated(tmp_path: Path) -> None:
    """SIGTERM in the middle leaves no file, no process and no shared memory."""
    with subprocess.Popen([*COMMAND, "--dir", str(tmp_path), "--records", "2000000"]) as child:
        # A first way has begun when there is a child of the demo.
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
        while children.exists() and not children.read_text() and child.poll() is None:
            select.select([], [], [], 0.01)
        child.send_signal(signal.SIGTERM)
    assert child.returncode == 128 + signal.SIGTERM
    assert os.listdir(tmp_path) == []


def test_way_that_fails(tmp_path: Path) -> None:
    """A demo whose interpreter cannot do its work says so in one line."""
    broken, data = tmp_path / "broken", tmp_path / "data"
    broken.mkdir()
    data.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sys\n"
        "if any('_demo_ways' in word for word in sys.orig_argv): raise SystemExit('cannot start')\n"
    )
    done = subprocess.run(
        [*COMMAND, "--records", "1000", "--dir", str(data)],
        capture_output=True,
        text=True,
        check=False,
        env={**PLAIN, "PYTHONPATH": str(broken)},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("onecopy: the way pickled (spawn) failed: ")
    assert done.stderr.endswith("cannot start\n")
    assert done.stderr.count("\n") == 1
    assert os.listdir(data) == []
