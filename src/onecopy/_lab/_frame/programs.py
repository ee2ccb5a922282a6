"""Runs lessons that have to be a main program, as a reader would run them.

The behaviour of a module under ``spawn``, or of a logger in the main module, shows only if the file
*is* the main program. Such files are in ``_lab/programs/``, need only the standard library, and are
started by their path.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "programs"


def run_program(
    name: str, *arguments: str, timeout: float = 100.0
) -> subprocess.CompletedProcess[str]:
    """Run ``programs/NAME.py`` in a fresh interpreter; return its output and logs.

    Args:
        name: the file, without ``.py``.
        arguments: the program's arguments.
        timeout: seconds after which it is killed.

    Raises:
        subprocess.CalledProcessError: it failed; a note has its standard error.
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
