"""Work that a program leaves behind: said in one line when it ends.

A pool drops what is pending when the program ends, as ``multiprocessing`` does; who knows
executors, which finish it, would look for results in vain. Nothing is said where somebody has
terminated the pool, or of an executor's work.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import weakref
from typing import TYPE_CHECKING

from .._system import forking
from .jobs import MapJob, StreamJob

if TYPE_CHECKING:
    from .engine import Engine
    from .work import Work

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def watch(engine: Engine) -> None:
    """Says so if there is work of this engine when the program ends."""
    if not _engines:
        # Again for the first of new ones: it has to stand behind ``weakref``'s own, which ends
        # pools and is registered when the first finalizer is made.
        atexit.unregister(_tell)
        atexit.register(_tell)
    _engines.add(engine)


def _tell() -> None:
    for engine in list(_engines):
        tasks = sum(map(_pending, list(engine.core.work.values())))
        if tasks:
            what = "task" if tasks == 1 else "tasks"
            with contextlib.suppress(Exception):  # nobody can be told
                sys.stderr.write(
                    f"onecopy: {tasks:,} {what} of a pool had not ended when the program did, and "
                    "were dropped: wait for their results, or close() and join() the pool\n"
                )
                sys.stderr.flush()


def _pending(work: Work) -> int:
    """How many tasks of it somebody may wait for. An iterator that is not at its end was left by
    who had it, or else is waiting for nobody."""
    if isinstance(work, StreamJob) or not work.wanted():
        return 0
    return work.left if isinstance(work, MapJob) else 1


def _after_fork() -> None:
    """In a forked child nothing of it is the child's."""
    _engines.clear()


forking.in_child(_after_fork)
