"""Starts worker processes: the interface of the start methods, and the choice of one.

One file per method. A worker starts with one end of a socket pair and gets everything else through
it. The thread or process that starts it lives as long as the pool, so that the kernel ends the
worker when the pool's owner is gone (see ``_system.death``).
"""

from __future__ import annotations

import sys
from typing import Literal, Protocol, get_args

Method = Literal["auto", "fork", "forkserver", "spawn", "thread"]
METHODS: tuple[Method, ...] = get_args(Method)


class Launcher(Protocol):
    """Starts worker processes and learns how they ended. Used by the driver thread alone."""

    def fileno(self) -> int:
        """Return a descriptor to wait on for ``poll_events``, or -1."""

    def pids(self) -> list[int]:
        """Return the processes that serve this launcher."""

    def start(self, worker: int, sock: int) -> None:
        """Begin to start a worker that serves the descriptor ``sock`` (not taken over)."""

    def reap(self, worker: int) -> None:
        """Request the exit code of a worker that has ended or must end; kill it if necessary."""

    def freeze(self, segment: int) -> bool:
        """Make sure that workers started from now on cannot write to this segment through an
        inherited mapping. Returns True if that takes time (``poll_events`` reports ``frozen``)."""

    def poll_events(self) -> list[tuple[str, int, int, int]]:
        """Return new events, without blocking: ("pid", worker, pid, 0), ("exit", worker, exit code,
        peak physical memory in bytes), ("frozen", 0, 0, segment), ("slow", line, milliseconds,
        bytes) of the main module's import, or ("broken", 0, 0, 0) if no more workers can be
        started."""

    def close(self) -> None:
        """End the processes that serve this launcher; its workers have ended before."""


def resolve(method: str) -> Method:
    """Return the start method that ``method`` means. ``auto`` is the user's own choice by
    ``multiprocessing.set_start_method``, otherwise the clean ``forkserver``.

    Raises ValueError for a method that does not exist.
    """
    known = _known(method)
    if known != "auto":
        return known
    # If it is not imported, or another thread is importing it now, no method was chosen.
    ask = getattr(sys.modules.get("multiprocessing"), "get_start_method", None)
    chosen = ask(allow_none=True) if ask is not None else None
    return _known(str(chosen)) if chosen else "forkserver"


def _known(method: str) -> Method:
    for known in METHODS:
        if known == method:
            return known
    raise ValueError(f"unknown start method {method!r}; it is one of {', '.join(METHODS)}")
