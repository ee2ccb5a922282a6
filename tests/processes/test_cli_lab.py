"""`onecopy lab` as people run it: one experiment, its files, and how it ends.

The list, and what is refused before anything is run, are in `tests/unit/test_lab.py`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from onecopy._lab._frame import running
from onecopy._system import procfs
from tests.scripts import until

pytestmark = pytest.mark.door

COMMAND = [sys.executable, "-m", "onecopy", "lab"]
# No colour and no other width because of where the tests run.
PLAIN = {
    name: value
    for name, value in os.environ.items()
    if name not in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE")
}


def lab(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, env=env or PLAIN
    )


def test_run(tmp_path: Path) -> None:
    """One experiment on a pipe, with both files."""
    as_json, as_html = tmp_path / "lab.json", tmp_path / "lab.html"
    done = lab("address-spaces", "--json", str(as_json), "--html", str(as_html))
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert "NOT SO HERE" not in done.stdout
    (found,) = json.loads(as_json.read_text())["experiments"]
    assert (found["name"], found["size"]) == ("address-spaces", "small")
    assert found["data"]["lists"]["fork"]
    assert all(claim["holds"] for claim in found["claims"])
    assert all(line in done.stdout.splitlines() for line in found["said"])
    page = as_html.read_text()
    assert "<script" not in page
    assert "src=" not in page
    assert "href=" not in page
    assert all(claim["sentence"].replace("'", "&#x27;") in page for claim in found["claims"])


def test_cannot_run(tmp_path: Path) -> None:
    """An experiment whose interpreter fails: its own words, one line, and an exit status."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'onecopy._lab' in sys.orig_argv: raise SystemExit('cannot start')\n"
    )
    done = lab("address_spaces", env={**PLAIN, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert "cannot start" in done.stderr
    assert last == "onecopy: address-spaces failed: its interpreter ended with exit status 1"


def group_of(group: int) -> list[procfs.Status]:
    """The processes in a process group."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        status = procfs.status(pid)
        with suppress(ProcessLookupError):
            if status is not None and os.getpgid(pid) == group:
                found.append(status)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_early(number: signal.Signals) -> None:
    """A signal in the middle ends all that the experiment started, stopped children too."""
    with subprocess.Popen(
        [*COMMAND, "process-states", "--size", "full"], stdout=subprocess.PIPE, text=True
    ) as child:
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
        until(lambda: bool(children.read_text().split()), "an experiment that runs")
        group = int(children.read_text().split()[0])
        theirs = Path(f"/proc/{group}/task/{group}/children")
        until(lambda: len(theirs.read_text().split()) > 3, "its children")
        child.send_signal(number)
        assert child.stdout is not None
        # It ends when no process holds it any more, the experiment's own processes included.
        assert select.select([child.stdout], [], [], 30)[0]
        child.stdout.read()
    assert child.returncode == (128 + number if number == signal.SIGTERM else 130)
    # The kernel closes a process's files before it is a zombie, which its new parent waits for.
    until(lambda: all(each.state == "Z" for each in group_of(group)), "the end of its processes")


def test_versions(tmp_path: Path) -> None:
    """Of each Python on PATH what it answers itself."""
    python = tmp_path / "python3"
    python.symlink_to(sys.executable)
    as_json = tmp_path / "versions.json"
    done = lab(
        "versions",
        "--json",
        str(as_json),
        env={**PLAIN, "PATH": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    version = ".".join(map(str, sys.version_info[:3]))
    (row,) = [line for line in done.stdout.splitlines() if line.startswith(version)]
    assert row.split()[1] == ("forkserver" if sys.version_info >= (3, 14) else "fork")
    (found,) = json.loads(as_json.read_text())["versions"]
    assert (found["version"], found["default"]) == (version, row.split()[1])
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that an experiment leaves running neither holds up its result nor stays."""
    (tmp_path / "sitecustomize.py").write_text(
        "import subprocess, sys\n"
        "if 'onecopy._lab' in sys.orig_argv:\n"
        f"    file = open({str(tmp_path / 'pid')!r}, 'w')\n"
        "    print(subprocess.Popen(['sleep', '600']).pid, file=file, flush=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = running.run("address-spaces", "small")
    assert found.data["lists"]
    left = int((tmp_path / "pid").read_text())
    # The run has read to the end of its output, which the kernel closes before the process's end.
    until(lambda: (status := procfs.status(left)) is None or status.state == "Z", "its end")
