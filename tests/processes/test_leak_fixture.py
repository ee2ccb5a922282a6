"""The leak watch catches processes: living ones, zombies, orphans.

The kinds of leak that need no child are in `tests/unit/test_leak_fixture.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import leaks
from tests.leaks import Kind, Snapshot, explain, find, settle

needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs pidfd: elsewhere the end is asked for in turns"
)

UNTIL_END_OF_INPUT = "import sys; sys.stdin.read()"

# Leaves a child behind that lives until the end of its input, and says its pid.
LEAVES_AN_ORPHAN = """
import os, sys
pid = os.fork()
if pid == 0:
    os.close(1)
    os.read(0, 1)
    os._exit(0)
print(pid, flush=True)
"""


def processes(before: Snapshot) -> list[leaks.Leak]:
    return [leak for leak in find(before) if leak.kind is Kind.PROCESS]


def test_child() -> None:
    before = Snapshot()
    command = [sys.executable, "-c", UNTIL_END_OF_INPUT]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        (found,) = settle(before, patience=0, allowed={Kind.DESCRIPTOR})
        assert found.kind is Kind.PROCESS
        assert f"{child.pid} " in explain([found])
    assert settle(before) == []


@needs_pidfd
def test_child_that_ends_is_waited_for_and_not_reaped() -> None:
    before = Snapshot()
    child = subprocess.Popen([sys.executable, "-c", UNTIL_END_OF_INPUT], stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.close()
    # Whether it is still running now or not: what is left in the end is a
    # zombie, because nobody has waited for it.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    found = settle(before, patience=0.05)
    assert [leak.what for leak in found] == [
        f"{child.pid}, a zombie: it ended and nobody waited for it"
    ]
    assert child.wait() == 0
    assert settle(before) == []


def test_killed_leftovers_are_gone() -> None:
    before = Snapshot()
    with subprocess.Popen(
        [sys.executable, "-c", UNTIL_END_OF_INPUT], stdin=subprocess.PIPE
    ) as child:
        leaks.kill(processes(before))
        assert child.wait() == -9
    assert settle(before) == []


def test_orphan() -> None:
    before = Snapshot()
    read, write = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", LEAVES_AN_ORPHAN],
            stdin=read,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert [leak.what.split()[0] for leak in processes(before)] == [done.stdout.strip()]
    finally:
        os.close(read)
        os.close(write)
    assert settle(before) == []


@pytest.mark.leaks("the resource tracker of the standard library lives as long as the interpreter")
def test_marker_lets_the_resource_tracker_stay() -> None:
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()
