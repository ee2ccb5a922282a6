"""Programs of their own for tests: what a user would run, in an interpreter that is told
to be strict. Also how to wait for a state of which nothing tells."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

# How often a state is asked for that no descriptor and no lock tells of, in seconds.
_ASK_AGAIN = 0.01
_PATIENCE = 30.0
_STRICT = ("-X", "dev", "-W", "error")


def run(
    path: Path,
    source: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    preexec: Callable[[], None] | None = None,
    strict: bool = True,
    timeout: float = 100,
) -> subprocess.CompletedProcess[str]:
    """Run `source` as the main program, by default with warnings as errors; blocks until it ends.

    Args:
        path: a folder to put it in.
        source: the program.
        arguments: its own.
        env: its environment; this process's when None.
        preexec: called in the child before it becomes the program.
        strict: warnings are errors, and Python's own checks are on.
        timeout: seconds after which it is killed, and the test fails.
    """
    program = path / "program.py"
    program.write_text(source)
    return subprocess.run(
        [sys.executable, *(_STRICT if strict else ()), str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=env,
        preexec_fn=preexec,
    )


def assert_clean(done: subprocess.CompletedProcess[str], said: str = "") -> None:
    """It ended well, and said `said` and nothing else."""
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", said)


def until(condition: Callable[[], bool], what: str = "") -> None:
    """Block until `condition` holds; fail the test when it does not in a long time."""
    give_up = time.monotonic() + _PATIENCE
    never = threading.Event()
    while not condition():
        if time.monotonic() > give_up:
            pytest.fail(f"has not come true: {what or condition}")
        never.wait(_ASK_AGAIN)
