"""The normal end of a worker: runs what the program has registered for its exit.

It ends as the standard library's workers do: non-daemon threads are joined, then the finalizers of
``multiprocessing`` and of ``atexit`` run, then the buffers of open files are written. A kill, and
``Pool.terminate``, do none of this.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import sys
import threading
import weakref
from typing import Any

# Files that were open when the objects of this process were frozen: the collector lists frozen
# objects no more.
_frozen: list[weakref.ref[Any]] = []


def begin(*, forked: bool) -> None:
    """Discard, at a worker's start, what the owner has registered for its own exit.

    Args:
        forked: this process is a fork of the owner, and not of a fresh interpreter.
    """
    if forked:
        atexit._clear()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        util._run_after_forkers()


def freeze(*, forked: bool) -> None:
    """Exempt all present objects from garbage collection, in a process that forks workers.

    A collection in a worker would write to every one of them, and so copy their pages. For the same
    reason ``end`` looks at none of them: the files among them are noted here, once for all workers.

    Args:
        forked: see ``begin``.
    """
    # A full collection would write to them too, for milliseconds per 100,000 objects: the young
    # objects are enough.
    gc.collect(1)
    if not forked:
        _frozen[:] = [weakref.ref(file) for file in _files(gc.get_objects())]
    gc.freeze()


def _files(objects: list[Any]) -> list[Any]:
    # ``type``: a proxy's ``__class__`` may raise.
    return [obj for obj in objects if issubclass(type(obj), io.IOBase)]


def end(*, forked: bool) -> None:
    """Run everything that is due before the process ends, however long it takes.

    Args:
        forked: see ``begin``; files that were open at the fork are the owner's, and so are their
            buffers.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    # Another thread may be importing it just now: then there is nothing to finalize.
    finalize = getattr(sys.modules.get("multiprocessing.util"), "_exit_function", None)
    if finalize is not None:
        finalize()
    atexit._run_exitfuncs()
    if not forked:
        _write_out()


def _write_out() -> None:
    """Close the files that are still open, outer ones first: a file that writes into another must
    be flushed before it."""
    kept = {id(file): file for file in (ref() for ref in _frozen) if file is not None}
    kept.update((id(file), file) for file in _files(gc.get_objects()))
    found = list(kept.values())
    inner = (io.BufferedWriter, io.BufferedRandom, io.RawIOBase)
    found.sort(
        key=lambda file: 0 if isinstance(file, io.TextIOBase) else 1 + isinstance(file, inner)
    )
    streams = {id(sys.stdout), id(sys.stderr), id(sys.__stdout__), id(sys.__stderr__)}
    for file in found:
        if id(file) in streams or isinstance(file, io.RawIOBase):
            continue
        with contextlib.suppress(Exception):  # it is closed, or its other end is gone
            if file.writable():
                file.flush()
                if not isinstance(file, inner):
                    file.close()
