"""The normal end of a worker: what a program has asked to be done at the end is done.

As the standard library's workers end: threads that are no daemons are waited for, then the
finalizers of ``multiprocessing`` and of ``atexit`` run, then what is in the buffers of open
files is written. A kill, and ``Pool.terminate``, do none of this.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import sys
import threading


def begin(*, forked: bool) -> None:
    """At a worker's start: what the owner has registered for its own end is not run here.

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
    """Do what is due before the process ends; waits as long as that takes.

    Args:
        forked: as in ``begin``: files that were open then are the owner's, and so is what is in
            their buffers.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    # Another thread may be importing it just now: then it has nothing to finalize.
    finalize = getattr(sys.modules.get("multiprocessing.util"), "_exit_function", None)
    if finalize is not None:
        finalize()
    atexit._run_exitfuncs()
    if not forked:
        _write_out()


def _write_out() -> None:
    """Close the files that nobody has closed, outer ones first: what writes into another file
    has to be done before that."""
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
        with contextlib.suppress(Exception):  # closed, or its end is no longer there
            if file.writable():
                file.flush()
                if not isinstance(file, inner):
                    file.close()
