"""The narration: lines that say what a process of an experiment does.

A line is the process's name, the seconds since its last line, and the text. If memory matters it
ends with the process's physical memory (PSS, in which a page is divided by the number of its users,
and USS, its private memory), and with the memory of its Python objects by ``tracemalloc``, now and
at the peak. RSS is not printed: it counts a shared page once per process.

Tracing makes each allocation of an object more expensive, so an experiment that measures time with
many small ones leaves it off; then its lines have PSS and USS alone. A forked process continues to
trace what it inherited; a spawned one has to start tracing itself.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tracemalloc
from time import perf_counter

from ..._system import procfs
from ...errors import human_bytes

# When the process of this pid printed its last line: a forked child starts again.
_last: tuple[int, float] = (0, 0.0)


def trace() -> None:
    """Start tracing this process's Python objects."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()


def say(text: str, *, memory: bool = False, name: str = "") -> None:
    """Print a line to standard output, whole even if several processes do so at once.

    Args:
        text: the action or finding, without a line break.
        memory: end the line with the process's memory. Reading it takes about 10 ms per GB.
        name: the process's, if ``multiprocessing`` has no name for it.
    """
    global _last
    now = perf_counter()
    since = now - _last[1] if _last[0] == os.getpid() else 0.0
    name = name or multiprocessing.current_process().name
    line = f"{name:<19} +{since:7.3f} s  {text}"
    if memory:
        line = f"{line}  {_memory()}"
    sys.stdout.flush()
    # One write of a short line is atomic on a pipe (pipe(7)); a buffer flushed by its size is not.
    os.write(sys.stdout.fileno(), f"{line}\n".encode())
    _last = (os.getpid(), perf_counter())


def _memory() -> str:
    parts = []
    found = procfs.rollup()
    if found is not None:
        parts.append(f"PSS {human_bytes(found.pss)}, USS {human_bytes(found.uss)}")
    if tracemalloc.is_tracing():
        usage, peak = (figure / 1e6 for figure in tracemalloc.get_traced_memory())
        parts.append(f"Memory usage: {usage:.1f} MB; peak: {peak:.1f} MB")
    return "; ".join(parts)
