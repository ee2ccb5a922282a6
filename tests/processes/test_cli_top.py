"""`onecopy top` and `onecopy report` as people run them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from onecopy._report import write
from onecopy.cli._top_command import Command
from tests import terminals
from tests.runs import made_up

pytestmark = pytest.mark.door

HOLD = "import time; x = bytearray(40_000_000); print('mine', flush=True); time.sleep({})"


def onecopy(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onecopy", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=60)


def test_a_process_once_for_people_and_for_scripts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(600)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            table = onecopy("top", str(child.pid), "--once")
            found = onecopy("top", str(child.pid), "--once", "--json")
        finally:
            child.kill()
    assert (table.returncode, table.stderr) == (0, "")
    assert "PSS" in table.stdout
    assert "its sum means nothing" in table.stdout
    assert "\x1b" not in table.stdout
    made = json.loads(found.stdout)
    [process] = made["processes"]
    assert process["pid"] == child.pid
    assert 40_000_000 <= process["uss"] <= process["pss"] <= process["rss"]
    assert made["pss"] == process["pss"]


def test_a_command_keeps_its_output_and_its_status() -> None:
    code = HOLD.format(0.8) + "; raise SystemExit(3)"
    done = onecopy("top", "--interval", "0.2", "--", sys.executable, "-c", code)
    assert done.returncode == 3
    assert done.stdout == "mine\n"
    assert done.stderr.count("PID") >= 2, "looked at again and again"


def test_a_command_s_processes_add_up() -> None:
    code = (
        "import onecopy as oc, numpy as np, time\n"
        "data = oc.share(np.ones(10_000_000))\n"
        "with oc.Pool(3, method='fork') as pool:\n"
        "    pool.map(lambda i: float(data.sum()), range(30), chunksize=1)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "onecopy", "top", "--interval", "0.2", "--json", "--"]
    with subprocess.Popen(
        [*command, sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    ) as top:
        assert top.stderr is not None
        saved, pid = 0, 0
        while saved < 150_000_000:  # three workers have read 80 MB
            look = json.loads(top.stderr.readline())
            saved, pid = look["saved"], look["processes"][0]["pid"]
        os.kill(pid, signal.SIGTERM)
        assert top.wait(20) == 128 + signal.SIGTERM, "the command's own end"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["top"], "give a PID"),
        (["top", "999999999"], "no process 999999999"),
        (["top", "--", "no-such-program"], "cannot be run"),
        (["report", "nowhere.onecopy"], "does not exist"),
        (["report", __file__], "no run that onecopy saved"),
        (["report", "x.onecopy", "-o", "x.doc"], ".html"),
    ],
)
def test_one_clear_line(words: list[str], says: str) -> None:
    done = onecopy(*words)
    assert done.returncode != 0
    assert done.stderr.startswith("onecopy: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_on_a_terminal_it_is_drawn_in_place() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-m", "onecopy", "top", "--interval", "0.1", str(os.getpid())]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as top:
        os.close(theirs)
        said = b""
        while said.count(b"PID") < 3:
            said += os.read(ours, 65536)
        top.send_signal(signal.SIGINT)
        assert top.wait(20) == 130
    os.close(ours)
    assert b"\x1b[" in said
    assert b"Traceback" not in said


TALKS = """
import os, sys, time
print("here", sys.stdout.isatty(), sys.stdin.read(), flush=True)
for number in range(30):
    print("line", number, flush=True)
print("an error", file=sys.stderr, flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
print("the end", flush=True)
sys.exit(3)
"""


@pytest.mark.parametrize("leave", [b"q", b""])
def test_a_command_s_output_is_kept_apart_from_the_table(tmp_path: Path, leave: bytes) -> None:
    """It finds a terminal, and its output is whole, in order, behind the table; keys sort; the
    summary comes last. To leave the table is not to end the command."""
    (tmp_path / "talks.py").write_text(TALKS)
    typed: list[bytes] = []

    def keys(lines: list[str]) -> bytes:
        if not typed and any("now: tree" in line for line in lines) and "line 29" in lines:
            assert "an error" in lines, "the end of the output is seen meanwhile"
            typed.append(b"p")
            return b"p"
        if typed == [b"p"] and any("now: pss" in line for line in lines):
            typed.append(leave)
            (tmp_path / "go").touch()
            return leave
        return b""

    seen = terminals.run(
        sys.executable, "-m", "onecopy", "top", "--interval", "0.1", "--",
        sys.executable, "talks.py", keys=keys, cwd=tmp_path, rows=60,
    )  # fmt: skip
    assert seen.status == 3
    after = seen.written.rpartition(b"\x1b[?1049l")[2].decode().splitlines()
    said = [line for line in after if line and "\x1b" not in line]
    assert said[:32] == ["here True ", *(f"line {number}" for number in range(30)), "an error"]
    assert said[32] == "the end"
    assert [line.split()[0] for line in said[33:]] == ["time", "memory", "ended"]
    assert said[-1] == "ended    with status 3"
    assert b"PID" in seen.written


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (35, "signal 35")])
def test_a_command_that_is_killed_says_so_in_the_summary(number: int, name: str) -> None:
    code = f"import os; os.kill(os.getpid(), {number})"
    done = onecopy("top", "--", sys.executable, "-c", code)
    assert done.returncode == 128 + number
    assert done.stderr.splitlines()[-1] == f"ended    by {name}"


def test_a_command_that_ends_before_its_memory_is_read() -> None:
    """The summary says so in place of figures. Nothing reads here: a fast machine does not either."""
    command = Command(["false"], apart=False)
    command.finish()
    time, memory, ended = command.summary().splitlines()
    assert time.startswith("time     ")
    assert memory == "memory   not read: the command ended too soon"
    assert ended == "ended    with status 1"


@pytest.mark.parametrize("words", [(), ("--once",), ("--interval", "60")])
def test_a_command_that_ends_at_once(words: tuple[str, ...]) -> None:
    done = onecopy("top", *words, "--", "false")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith("\nended    with status 1\n")
    done = onecopy("top", "--json", *words, "--", "false")
    assert done.returncode == 1
    assert all(line.startswith("{") for line in done.stderr.splitlines())


@pytest.mark.parametrize("dashes", [(), ("--",)])
def test_a_command_s_options_are_its_own(dashes: tuple[str, ...]) -> None:
    code = "import sys; print(sys.argv[1:]); sys.exit(5)"
    done = onecopy("top", "--interval", "60", *dashes, sys.executable, "-c", code, "--json", "-h")
    assert (done.returncode, done.stdout) == (5, "['--json', '-h']\n")
    assert done.stderr.endswith("ended    with status 5\n")


def test_a_terminal_obeys_no_name_of_a_process() -> None:
    code = "import time; '\x1b[2J'; print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            done = onecopy("top", str(child.pid), "--once")
        finally:
            child.kill()
    assert "import time" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_saved_run_becomes_all_the_others(tmp_path: Path) -> None:
    write.report(made_up(100), tmp_path / "run.onecopy")
    said = onecopy("report", "run.onecopy", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    assert "Your functions ran for" in said.stdout
    targets = ("run.html", "run.pftrace", "run.json")
    words = [word for name in targets for word in ("-o", name)]
    done = onecopy("report", "run.onecopy", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert all((tmp_path / name).stat().st_size > 1000 for name in targets)


def test_running_with_a_report(tmp_path: Path) -> None:
    import numpy as np

    np.save(tmp_path / "data.npy", np.ones(200_000))
    words = ["run", "numpy:sum", "data.npy", "--reduce", "sum", "--block", "10000"]
    done = onecopy(*words, "--report", "run.onecopy", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "200000.0\n")
    assert "numpy" in onecopy("report", "run.onecopy", cwd=tmp_path).stdout
    printed = onecopy(*words, "--report", "-", cwd=tmp_path)
    assert printed.stdout == "200000.0\n"
    assert "Your functions ran for" in printed.stderr
    refused = onecopy(*words, "--report", "run.doc", cwd=tmp_path)
    assert refused.returncode == 2
