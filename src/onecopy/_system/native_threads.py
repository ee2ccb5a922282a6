"""Threads that Python did not start: those of BLAS and OpenMP, those that make a fork unsafe."""

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

    Libraries that are loaded later read the environment; those loaded already (after a fork) are
    set with threadpoolctl. A cap set before the fork is still in force.
    """
    if threads is None:
        return
    before = os.environ.get(THREAD_VARIABLES[0])
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    if "numpy" in sys.modules and before != str(threads):
        import threadpoolctl  # 10 ms that most workers do not need

        threadpoolctl.threadpool_limits(threads)


# jemalloc's thread (pyarrow brings it): it takes all of its locks before a fork, by
# pthread_atfork(3), and starts the thread again in the child (background_thread.c,
# ``background_thread_postfork_child``).
_FORK_SAFE = frozenset({"jemalloc_bg_thd"})


def other_threads() -> int:
    """Return the number of other threads that make a fork unsafe: they may hold a lock."""
    names = []
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/comm") as file:
                names.append(file.read().strip())
    except OSError:  # no such directory here, or a thread has ended meanwhile
        return threading.active_count() - 1
    return sum(name not in _FORK_SAFE for name in names) - 1
