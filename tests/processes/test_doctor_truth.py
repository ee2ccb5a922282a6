"""The doctor's findings in programs whose faults are known; the short form of ``make doctor-truth``."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import onecopy as oc
from onecopy._doctor import explain
from tests.doctor import truth

pytestmark = pytest.mark.beside

QUICK = [each for each in truth.PROGRAMS if each.quick]


@pytest.mark.skipif(oc.cpu_count() < 2, reason="on one CPU two workers are no faster than one")
@pytest.mark.leaks("a worker that a program leaves behind ends a moment after it")
@pytest.mark.parametrize("program", QUICK, ids=lambda each: each.title)
def test_the_expected_finding_comes_first_and_no_false_one(program: truth.Program) -> None:
    if not truth.can_run(program):
        pytest.skip("no mount namespace may be made here")
    found = truth.doctored(program)
    assert truth.wrong(program, found) == ""
    assert {each["id"] for each in found["findings"]} <= set(explain.NAMES)
    for each in found["findings"]:
        assert each["level"] == "note" or each["file"] or each["id"] == "copy-on-write"


@pytest.mark.parametrize("program", QUICK, ids=lambda each: each.title)
def test_every_program_and_every_cure_is_there(program: truth.Program) -> None:
    assert (truth.HERE / "programs" / f"{program.name}.py").exists()
    assert not program.cured or (truth.HERE / "fixed" / f"{program.name}.py").exists()


def onecopy(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "onecopy", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_the_report_fits_eighty_columns_and_comes_again_from_a_recording(tmp_path: Path) -> None:
    script = str(truth.HERE / "programs" / "big_results.py")
    made = onecopy(
        *("doctor", "--record", "run.doctor", "--report", "run.html", "--report", "run.pftrace"),
        *("--all", script),
        cwd=tmp_path,
    )
    assert made.returncode == 0
    assert max(map(len, made.stderr.splitlines())) <= 80
    assert "\x1b" not in made.stderr
    assert "results-pickled" in made.stderr
    assert made.stdout.count("\n") == 1, "the program's own line alone"
    again = onecopy("report", "run.doctor", "-o", "again.html", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert (tmp_path / "again.html").read_text() == (tmp_path / "run.html").read_text()
    shown = onecopy("report", "run.doctor", cwd=tmp_path)
    assert shown.stdout == made.stderr
    page = (tmp_path / "run.html").read_text()
    assert '"label":"parent"' in page
    assert not re.search(r"(?:src|href)=.?https?:", page), "it needs nothing else"
    assert len((tmp_path / "run.pftrace").read_bytes()) > 1000


def test_a_finding_can_fail_a_build(tmp_path: Path) -> None:
    script = str(truth.HERE / "programs" / "leaked_segment.py")
    assert onecopy("doctor", "--quiet", "--fail-on", "memory", script, cwd=tmp_path).returncode == 3
    assert onecopy("doctor", "--quiet", "--fail-on", "crash", script, cwd=tmp_path).returncode == 0


def test_a_command_that_is_no_python_is_run_as_it_is(tmp_path: Path) -> None:
    done = onecopy("doctor", "--", "sh", "-c", "echo hi; exit 4", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "hi\n")
    assert "Nothing to change" in done.stderr


def test_a_line_says_on_a_terminal_why_the_program_hangs(tmp_path: Path) -> None:
    """It comes while the program waits for ever; the program's own output stays as it is."""
    script = str(truth.HERE / "programs" / "join_before_drain.py")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "onecopy", "doctor", script]
    with open(tmp_path / "out", "wb") as out:
        doctor = subprocess.Popen(
            command, stdin=theirs, stdout=out, stderr=theirs, start_new_session=True
        )
    os.close(theirs)
    try:
        said = read_until(ours, b"Ctrl-C ends it and shows the report")
        os.killpg(doctor.pid, signal.SIGINT)
        said += read_until(ours, b"records")
        doctor.wait(30)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(doctor.pid, signal.SIGKILL)
        doctor.wait()
        os.close(ours)
    before, _, after = said.decode().partition("Ctrl-C ends it")
    assert before.splitlines()[-1].startswith("onecopy doctor: A deadlock: ")
    assert "join-before-drain" in after, "the report follows"
    assert (tmp_path / "out").read_bytes() == b""


def read_until(terminal: int, end: bytes) -> bytes:
    """Return the output of a terminal up to a word. TimeoutError after a minute of silence."""
    said = b""
    while end not in said:
        if not select.select([terminal], [], [], 60)[0]:
            raise TimeoutError(said)
        said += os.read(terminal, 65536)
    return said


def test_pools_of_our_own_are_seen_beside_others() -> None:
    [program] = [each for each in truth.PROGRAMS if each.name == "good_beside_pool"]
    found = truth.doctored(program)
    assert [each["kind"] for each in found["pools"]] == ["Pool"]
    [ours] = found["own"]
    assert (ours["workers"], ours["method"]) == (1, "fork")
    assert ours["tasks"] > 0


INITIALIZED = """
import multiprocessing, sys, time
def set_up():
    time.sleep(0.5)
def f(x):
    time.sleep(0.01)
    return x
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2, set_up) as pool:
        pool.map(f, range(20))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_initializer_is_told_apart_from_the_start(tmp_path: Path, method: str) -> None:
    (tmp_path / "program.py").write_text(INITIALIZED)
    done = onecopy("doctor", "program.py", method, cwd=tmp_path)
    assert "were in their initializer" in " ".join(done.stderr.split())
    assert re.search(r"≡ initializer 1(\.\d+)? s", done.stderr)
    lane = next(line for line in done.stderr.splitlines() if line.startswith("worker 0"))
    assert lane.count("≡") > lane.count("░")
