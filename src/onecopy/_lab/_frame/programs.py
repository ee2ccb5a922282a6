"""Lessons that have to be a main program of their own, run as a reader would run them.

What a module does under ``spawn``, or a logger in the main module, can only be seen where
the file in question *is* the main program. Such files stand in ``lab/programs/``, need
nothing but the standard library, and are started by their path.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "programs"


def run_program(
    name: str, *arguments: str, timeout: float = 100.0
) -> subprocess.CompletedProcess[str]:
    """Runs ``programs/NAME.py`` in a fresh interpreter; returns what it printed and logged.

    Args:
        name: the file, without ``.py``.
        arguments: its own.
        timeout: seconds after which it is killed.

    Raises:
        subprocess.CalledProcessError: it failed; what it wrote to standard error is noted.
        subprocess.TimeoutExpired: it did not end.
    """
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, done.args)
        error.add_note(done.stderr)
        raise error
    return done
