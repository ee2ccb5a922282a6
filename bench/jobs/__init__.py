"""The programs that are timed as whole processes: small, and each the natural way to do it.

Each is run as ``python -m bench.jobs.NAME FILE WORKERS METHOD``, prints the sum that it
found, and ends. ``finish`` holds a run whose memory is being measured.
"""

from __future__ import annotations

import os
import sys


def finish(total: float) -> None:
    """Prints the result; call it while the pool is still open."""
    print(repr(float(total)), flush=True)
    if os.environ.get("BENCH_HOLD"):
        sys.stdin.readline()
