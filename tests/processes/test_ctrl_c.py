"""Ctrl-C at any moment of a call: the pool works on, and nothing is left in the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.beside

WAYS = (
    "submit", "apply", "map", "map_async", "imap", "unordered",
    "executor.submit", "executor.map", "share", "create",
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_ctrl_c_at_any_moment(way: str) -> None:
    interrupt(way, "fork", 100)


def interrupt(way: str, method: str, times: int) -> None:
    command = [sys.executable, "-m", "tests.processes.ctrl_c_program", way, method, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said, lost = done.stdout.split()
    assert said == "ok"
    # A few are handled in a finalizer of the standard library's, where what they raise is lost.
    assert int(lost) <= 2 + times // 20
