"""Whole processes: a module run by a fresh interpreter, timed from outside.

The time goes from just before the process is made to its end, so start-up, imports, the
pool's making and its shutdown are all in it. Peak memory is taken by ``peak_pss`` in
another run, never in one that is timed.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def start(arguments: list[str], **options: object) -> subprocess.Popen[str]:
    """Starts ``python ARGUMENTS`` at the root of the checkout, in a session of its own."""
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def ended(process: subprocess.Popen[str], send: str | None = None) -> str:
    """Waits for the end; returns what was printed. Raises RuntimeError when it failed."""
    output, errors = process.communicate(send)
    if process.returncode:
        last = errors.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"exit code {process.returncode}: {last[0]}")
    return output


def timed(arguments: list[str]) -> tuple[float, str]:
    """Seconds from before its start to its end, and what it printed."""
    begin = time.perf_counter()
    output = ended(start(arguments))
    return time.perf_counter() - begin, output


def members(session: int) -> list[int]:
    """Every live process of a session: what a job has started, whatever its parent is now."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                same = os.getsid(int(name)) == session
            except ProcessLookupError:
                continue
            if same:
                found.append(int(name))
    return found


def pss(pid: int) -> int:
    """Proportional set size in bytes; 0 for a process that has just gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        pass
    return 0


def peak_pss(arguments: list[str], pause: float = 0.01) -> int:
    """The greatest sum of PSS over all processes of a job, in bytes.

    Read again and again while the job runs, and once more when it has computed its result:
    it then waits, its pool still open, until it is told to go on (``jobs.finish``). A sum
    takes about 10 ms per GB mapped and process, which is why such a run is never timed.
    """
    process = start(arguments, stdin=subprocess.PIPE, env={**os.environ, "BENCH_HOLD": "1"})
    peak, running = 0, True
    assert process.stdout is not None
    while running:
        # Readable: the job has printed its result, or has ended without one.
        running = not select.select([process.stdout], [], [], pause)[0]
        peak = max(peak, sum(map(pss, members(process.pid))))
    ended(process, "\n")
    return peak
