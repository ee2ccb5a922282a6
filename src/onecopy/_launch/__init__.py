"""Starting worker processes: the face that every start method has, and the choice.

One file per method. What they have in common: a worker is born with one end of a socket
pair and gets everything else through it, and whoever makes it lives as long as the pool,
so that the kernel ends it when the pool's owner is gone (see ``_system.death``).
"""

from __future__ import annotations

import sys
from typing import Literal, Protocol, get_args

Method = Literal["auto", "fork", "forkserver", "spawn", "thread"]
METHODS: tuple[Method, ...] = get_args(Method)


class Launcher(Protocol):
    """Makes worker processes and learns how they ended. Used by the driver thread alone."""

    def fileno(self) -> int:
        """A descriptor to wait on for ``poll_events``, or -1."""

    def pids(self) -> list[int]:
        """What serves this launcher."""

    def start(self, worker: int, sock: int) -> None:
        """Begins to make a worker that serves the descriptor ``sock`` (not taken over)."""

    def reap(self, worker: int) -> None:
        """The worker has ended or must: asks for its exit code, killing it if need be."""

    def freeze(self, segment: int) -> bool:
        """Workers that are made from now on cannot write to this segment through a mapping
        that they inherit; True when that has to be waited for (``poll_events`` says ``frozen``)."""

    def poll_events(self) -> list[tuple[str, int, int, int]]:
        """What has become known, without blocking: ("pid", worker, pid, 0), ("exit", worker,
        exit code, most bytes of physical memory that it held), ("frozen", 0, 0, segment),
        ("slow", line, milliseconds, bytes) of the main module's import, or
        ("broken", 0, 0, 0) when no worker can be made any more."""

    def close(self) -> None:
        """Ends whatever serves this launcher; its workers have ended before."""


def resolve(method: str) -> Method:
    """The start method that ``method`` means: ``auto`` is the user's own choice by
    ``multiprocessing.set_start_method``, and without one the clean ``forkserver``.

    Raises ValueError for a method that does not exist.
    """
    known = _known(method)
    if known != "auto":
        return known
    # Where nobody has imported it, or another thread does so now, nobody has chosen.
    ask = getattr(sys.modules.get("multiprocessing"), "get_start_method", None)
    chosen = ask(allow_none=True) if ask is not None else None
    return _known(str(chosen)) if chosen else "forkserver"


def _known(method: str) -> Method:
    for known in METHODS:
        if known == method:
            return known
    raise ValueError(f"unknown start method {method!r}; it is one of {', '.join(METHODS)}")
