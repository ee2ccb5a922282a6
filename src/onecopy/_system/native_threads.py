"""Threads that Python did not start: those of BLAS and OpenMP, and how many there are in all."""

from __future__ import annotations

import os
import sys
import threading

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def limit_threads(threads: int | None) -> None:
    """Cap the native thread pools of this process; None leaves them alone.

    Libraries that are loaded later read the environment; one that is here already (after
    a fork) has to be told, which takes threadpoolctl. What it was told before the fork
    still holds.
    """
    if threads is None:
        return
    before = os.environ.get(THREAD_VARIABLES[0])
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    if "numpy" in sys.modules and before != str(threads):
        import threadpoolctl  # 10 ms that most workers do not need

        threadpoolctl.threadpool_limits(threads)


def count_threads() -> int:
    """The threads of this process, native ones too where the system tells."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()
