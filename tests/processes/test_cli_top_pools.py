"""`onecopy top` shows what the workers of another program's pools run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import terminals

pytestmark = [
    pytest.mark.door,
    pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd"),
]

# Item 5 ends when its file appears; the calls before it have ended.
PROGRAM = """
import os, sys, time
import onecopy as oc

def wait_until_the_file_is_in_its_folder(item):
    while item == 5 and not os.path.exists("go"):
        time.sleep(0.01)
    if item == 2:
        raise ValueError("bad 2")
    return item

if __name__ == "__main__":
    with oc.Pool(2, method=sys.argv[1]) as pool:
        pool.map(wait_until_the_file_is_in_its_folder, range(4), chunksize=1, errors="skip")
        last = pool.map_async(wait_until_the_file_is_in_its_folder, [5], chunksize=1)
        print(os.getpid(), flush=True)
        last.get()
        print("done", flush=True)
        sys.stdin.readline()
"""


@contextmanager
def running(source: str, *words: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that has printed its first line, its pid."""
    (cwd / "program.py").write_text(source)
    command = [sys.executable, "program.py", *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd
    ) as child:
        try:
            assert child.stdout is not None
            assert int(child.stdout.readline()) == child.pid
            yield child
        finally:
            child.kill()


def top(pid: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "onecopy", "top", str(pid), "--once", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def until_running(pid: int) -> dict[str, Any]:
    """The only pool, once a worker is at the last call."""
    while True:
        [pool] = top(pid)["pools"]
        if any(each["running"] and each["running"]["start"] == 0 for each in pool["present"]):
            return dict(pool)


def test_workers_functions_items_and_tasks(process_method: str, tmp_path: Path) -> None:
    with running(PROGRAM, process_method, cwd=tmp_path) as child:
        pool = until_running(child.pid)
        assert (pool["owner"], pool["number"], pool["method"]) == (child.pid, 1, process_method)
        assert (pool["workers"], pool["tasks"], pool["failed"], pool["lost"]) == (2, 4, 1, 0)
        workers = pool["present"]
        assert [each["number"] for each in workers] == [1, 2]
        assert sum(each["tasks"] for each in workers) == 4
        [busy] = [each["running"] for each in workers if each["running"]]
        assert busy["function"].endswith("wait_until_the_file_is_in_its_folder")
        assert (busy["method"], busy["start"], busy["stop"]) == ("map", 0, 1)
        assert busy["pid"] in {each["pid"] for each in top(child.pid)["processes"]}
        later = until_running(child.pid)["present"][busy["worker"] - 1]["running"]
        assert later["seconds"] > busy["seconds"]
        (tmp_path / "go").touch()
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        [pool] = top(child.pid)["pools"]
        assert pool["tasks"] == 5
        assert [each["running"] for each in pool["present"]] == [None, None]


@pytest.mark.parametrize("columns", [60, 80, 130])
def test_on_a_terminal(columns: int, tmp_path: Path) -> None:
    """No cell is cut that tells the item; sizes that do not fit are left out."""
    with running(PROGRAM, "fork", cwd=tmp_path) as child:
        until_running(child.pid)
        words = ("-m", "onecopy", "top", "--interval", "0.1", str(child.pid))
        shown: list[list[str]] = []

        def keys(lines: list[str]) -> bytes:
            if any(line.startswith("q leave") for line in lines) and not shown:
                shown.append(lines)
                return b"q"
            return b""

        terminals.run(sys.executable, *words, columns=columns, rows=24, keys=keys)
    lines = [line.rstrip() for line in shown[0] if line]
    head, ends = lines[0].split(), [line.rpartition(": ")[2] for line in lines]
    assert head[:4] == ["PID", "S", "CPU", "PSS"]
    assert ("USS" in head, "dirty" in head) == (columns >= 80, columns >= 130)
    assert head[-7:] == ["tasks", "for", "command,", "or", "what", "it", "runs"]
    [busy] = [line for line in lines if line.endswith(", item 0")]
    assert " s " in busy
    assert ("worker " in busy) == (columns >= 80)
    assert ("wait_until_the_file_is_in_its_folder, item 0" in busy) == (columns >= 130)
    assert "idle" in ends
    assert "pool 1: 2 workers by fork, 4 tasks done, 1 failed" in lines


def test_workers_of_hosts(tmp_path: Path) -> None:
    """Made-up ones are in the process tree; their agents show no pool of their own."""
    source = PROGRAM.replace("oc.Pool(2, method=sys.argv[1])", "oc.Pool(cluster=oc.loopback(2))")
    with running(source, cwd=tmp_path) as child:
        pool = until_running(child.pid)
        assert (pool["owner"], pool["workers"], pool["tasks"]) == (child.pid, 2, 4)
        workers = pool["present"]
        assert sorted(each["host"] for each in workers) == ["loopback-1", "loopback-2"]
        assert sum(each["tasks"] for each in workers) == 4
        assert {each["pid"] for each in workers} <= {
            each["pid"] for each in top(child.pid)["processes"]
        }
        [busy] = [each for each in workers if each["running"]]
        assert busy["running"]["function"].endswith("wait_until_the_file_is_in_its_folder")
        assert (busy["running"]["start"], busy["running"]["stop"]) == (0, 1)
        assert busy["running"]["host"] == busy["host"]
        assert busy["running"]["pid"] == busy["pid"]
        (tmp_path / "go").touch()
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        done = subprocess.run(
            [sys.executable, "-m", "onecopy", "top", str(child.pid), "--once"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert "pool 1: 2 workers by forkserver, 2 hosts, 5 tasks done, 1 failed" in done.stdout
    assert "onecopy: agent of loopback-1" in done.stdout
    assert "worker 1: idle" in done.stdout
    assert "worker 2: idle" in done.stdout


def test_each_pool_of_a_program(tmp_path: Path) -> None:
    source = """
import os, sys, time
import onecopy as oc
pool, executor = oc.Pool(1, method="fork"), oc.ProcessPoolExecutor(1)
pool.map(abs, [1])
executor.submit(abs, 1).result()
print(os.getpid(), flush=True)
sys.stdin.readline()
"""
    with running(source, cwd=tmp_path) as child:
        found = top(child.pid)["pools"]
        assert [(each["number"], each["tasks"]) for each in found] == [(1, 1), (2, 1)]
        done = subprocess.run(
            [sys.executable, "-m", "onecopy", "top", str(child.pid), "--once"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert f"pool 2 of {child.pid}: 1 worker by forkserver, 1 task done" in done.stdout
    assert "worker 1.1: idle" in done.stdout
    assert "worker 2.1: idle" in done.stdout


def test_a_stopped_program_does_not_answer(tmp_path: Path) -> None:
    with running(PROGRAM, "fork", cwd=tmp_path) as child:
        child.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)
        done = subprocess.run(
            [sys.executable, "-m", "onecopy", "top", str(child.pid), "--once"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        child.send_signal(signal.SIGCONT)
    assert f"a pool of process {child.pid} does not answer" in done.stdout
    assert "onecopy: pool 1, worker 1" in done.stdout


def test_a_terminal_obeys_no_name_of_a_function(tmp_path: Path) -> None:
    source = r"""
import os, sys, time
import onecopy as oc
pool = oc.Pool(1, method="fork")
pool.options(name="\x1b[2J[red]x").submit(time.sleep, 600)
while not pool.stats().running:
    time.sleep(0.01)
print(os.getpid(), flush=True)
sys.stdin.readline()
"""
    with running(source, cwd=tmp_path) as child:
        done = subprocess.run(
            [sys.executable, "-m", "onecopy", "top", str(child.pid), "--once"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert r"worker 1: \x1b[2J[red]x, task 1" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_pool_that_has_ended_shows_nothing(tmp_path: Path) -> None:
    source = """
import os, sys
import onecopy as oc
with oc.Pool(1, method="fork") as pool:
    pool.map(abs, [1])
print(os.getpid(), flush=True)
sys.stdin.readline()
"""
    with running(source, cwd=tmp_path) as child:
        assert top(child.pid)["pools"] == []
