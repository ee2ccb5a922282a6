"""Test runs: two on one machine do not disturb each other, and Ctrl-C ends one with a summary."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.scripts import until

ROOT = Path(__file__).parents[2]

Start = Callable[..., subprocess.Popen[str]]

# It makes each kind of thing that the leak watch looks for beyond its own process.
HOLDS = """
import multiprocessing, os, tempfile
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
import pytest
from tests.scripts import until

@pytest.mark.leaks("the resource tracker of the standard library")
def test_holds_things_while_the_other_is_watched(request):
    folder = Path(__file__).parent
    segment = SharedMemory(create=True, size=1)
    lock = multiprocessing.get_context("spawn").Lock()
    if os.fork() == 0:
        if os.fork() == 0:
            until((folder / "over").exists)
        os._exit(0)
    os.wait()
    with tempfile.NamedTemporaryFile(prefix="onecopy-"):
        (folder / "made").touch()
        until((folder / "over").exists)
    segment.close()
    segment.unlink()
"""

IS_WATCHED = """
from pathlib import Path
from tests.scripts import until

def test_leaves_nothing():
    folder = Path(__file__).parent
    (folder / "begun").touch()
    until((folder / "made").exists)
"""

IS_INTERRUPTED = """
import os, time
from pathlib import Path
import onecopy as oc

def test_before_it():
    pass

def hang(begun):
    begun[0] = 1
    time.sleep(600)

def test_hangs(make_pool):
    pool = make_pool("fork", 1)
    begun = oc.zeros(1)
    kept = os.pipe()
    future = pool.submit(hang, begun)
    while not begun[0]:
        time.sleep(0.001)
    (Path(__file__).parent / "begun").touch()
    {waits}

def test_after_it():
    pass
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a run of one file, with the suite's own conftest; it is gone when the test is."""
    runs: list[subprocess.Popen[str]] = []

    def started(name: str, source: str) -> subprocess.Popen[str]:
        (tmp_path / name).write_text(source)
        command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
        command += [f"--rootdir={ROOT}", "-c", str(ROOT / "pyproject.toml"), str(tmp_path / name)]
        run = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        runs.append(run)
        return run

    yield started
    for run in runs:
        with run:
            run.kill()


def test_one_is_not_blamed_for_what_another_holds(start: Start, tmp_path: Path) -> None:
    watched = start("test_watched.py", IS_WATCHED)
    until((tmp_path / "begun").exists, "the watched test has begun")
    holds = start("test_holds.py", HOLDS)
    said, _ = watched.communicate()
    assert watched.returncode == 0, said
    (tmp_path / "over").touch()
    said, _ = holds.communicate()
    assert holds.returncode == 0, said


@pytest.mark.parametrize("waits", ["future.result()", "time.sleep(600)"])
def test_ctrl_c(start: Start, tmp_path: Path, waits: str) -> None:
    usual = Path(os.environ["TMPDIR"])
    run = start("test_interrupted.py", IS_INTERRUPTED.format(waits=waits))
    until((tmp_path / "begun").exists, "the test hangs")
    family = psutil.Process(run.pid).children(recursive=True)
    (folder,) = usual.glob("tests-*")
    run.send_signal(signal.SIGINT)
    said, _ = run.communicate()
    assert run.returncode == pytest.ExitCode.INTERRUPTED, said
    assert "! KeyboardInterrupt !" in said
    assert "1 passed in" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "the test left behind" not in said
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    assert not folder.exists()
