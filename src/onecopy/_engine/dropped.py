"""Pending work at the end of a program or of a ``with`` block, which one line reports as dropped;
and iterators and executors that are dropped.

A pool drops its pending work then, as ``multiprocessing`` does. A user of executors, which finish
it, would look for results in vain. Nothing is reported if the program has terminated the pool, nor
for an executor's work.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._system import forking
from .jobs import MapJob, StreamJob

if TYPE_CHECKING:
    from .engine import Engine
    from .work import Work

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def when_dropped(
    owner: object, method: Callable[..., object], *arguments: object
) -> weakref.finalize[..., Any]:
    """Call a method when ``owner`` is garbage-collected, and not at the end of the program.

    The registry of finalizers would keep the method's object as long as ``owner``, and with it the
    functions that it has to do with, and their modules. So it refers to it weakly. The object is there
    as long as it has anything to do: the pool's threads refer to it.
    """
    found = weakref.finalize(owner, _call, weakref.WeakMethod(method), *arguments)
    found.atexit = False
    return found


def _call(weak: Callable[[], Callable[..., object] | None], *arguments: object) -> None:
    method = weak()
    if method is not None:
        method(*arguments)


def watch(engine: Engine) -> None:
    """Report work of this engine that is pending when the program ends."""
    if not _engines:
        # Registered again for the first of new pools: it must come after ``weakref``'s own hook,
        # which ends pools and is registered when the first finalizer is created.
        atexit.unregister(_tell)
        atexit.register(_tell)
    _engines.add(engine)


def _tell() -> None:
    for engine in list(_engines):
        tell(engine, "when the program did")


def tell(engine: Engine, when: str) -> None:
    """Report the tasks that are pending, if any; ``when``: when they are dropped."""
    tasks = sum(map(_pending, engine.core.unfinished()))
    if tasks:
        what, were = ("task", "was") if tasks == 1 else ("tasks", "were")
        with contextlib.suppress(Exception):  # there is nowhere to report to
            sys.stderr.write(
                f"onecopy: {tasks:,} {what} of a pool had not ended {when}, and {were} dropped: "
                "wait for their results, or close() and join() the pool\n"
            )
            sys.stderr.flush()


def _pending(work: Work) -> int:
    """Return how many of its tasks a caller may wait for. An iterator that is not exhausted was
    left by its caller, or is waiting for nothing."""
    if isinstance(work, StreamJob) or not work.wanted():
        return 0
    return work.left if isinstance(work, MapJob) else 1


def _after_fork() -> None:
    """Forget the engines in a forked child: they are the parent's."""
    _engines.clear()


forking.in_child(_after_fork)
