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
    gc.unfreeze()
    found = [obj for obj in gc.get_objects() if isinstance(obj, io.IOBase)]
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
