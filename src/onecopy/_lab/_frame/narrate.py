"""How a process of an experiment says what it does.

A line is the process's name, the seconds since its last line, and the text. Where memory
matters it ends with what the process takes of physical memory (PSS, a page divided by the
number of its users, and USS, what it has alone), and with what its Python objects take by
``tracemalloc``, now and at most. RSS is not said: it counts a shared page once per process.

Tracing makes each allocation of an object dearer, so an experiment that measures time with
many small ones leaves it off, and its lines then have PSS and USS alone. A forked process
goes on tracing with what it inherited; a spawned one has to begin by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tracemalloc
from time import perf_counter

from ..._system import procfs
from ...errors import human_bytes

# When the process of this pid said its last line: a forked child begins anew.
_last: tuple[int, float] = (0, 0.0)


def trace() -> None:
    """From now on this process counts what its Python objects take."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()


def say(text: str, *, memory: bool = False, name: str = "") -> None:
    """Prints a line to standard output, whole even when several processes do so at once.

    Args:
        text: what the process does or found, without a line break.
        memory: end the line with the process's memory. Reading it takes about 10 ms per GB.
        name: the process's, where ``multiprocessing`` knows it by none of its own.
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
