"""Access to the owner's ``multiprocessing`` resource tracker, which workers use as in the standard
library.

The tracker unlinks what a program leaves in shared memory. A worker with its own tracker would
unlink, at its end, what the owner still uses. Most programs need no tracker, so none is started
until a worker asks: over a datagram socket that all workers of a pool share, with a descriptor for
the answer. No lock is involved: killing a worker that waits affects no other process.
"""

from __future__ import annotations

import contextlib
import os
import socket
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any

from .._system.imports import on_import


class TrackerDesk:
    """The owner's side; ``serve`` is called in the driver thread.

    Attributes:
        theirs: the workers' end of the socket.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def fileno(self) -> int:
        return self._ours.fileno()

    def serve(self, importing: AbstractContextManager[Any]) -> None:
        """Send one worker the tracker's descriptor, starting the tracker if necessary.

        Args:
            importing: held while a module is imported.
        """
        try:
            _, fds, _, _ = socket.recv_fds(self._ours, 1, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        for fd in fds:
            with socket.socket(fileno=fd) as answer, contextlib.suppress(OSError, RuntimeError):
                # The worker may have gone meanwhile. Or no process can be started: then the worker
                # starts its own tracker, as it would without us.
                with importing:
                    from multiprocessing import resource_tracker
                tracker = resource_tracker.getfd()
                if tracker is not None:
                    socket.send_fds(answer, [b"t"], [tracker])

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()


def use_owners_tracker(desk: int) -> None:
    """Make a worker, or a process that forks workers, ask at ``desk`` when it needs a tracker."""
    on_import("multiprocessing.resource_tracker", lambda module: _furnish(module, desk))


def _furnish(module: ModuleType, desk: int) -> None:
    tracker = module._resource_tracker
    kind: Any = type(tracker)

    class OwnersTracker(kind):  # type: ignore[misc]
        """The standard library's tracker, which gets its descriptor from the owner.

        Python 3.11 and 3.12 call ``ensure_running``, later versions the other method.
        """

        def ensure_running(self) -> None:
            self._ask()
            super().ensure_running()

        def _ensure_running_and_write(self, msg: bytes | None = None) -> None:
            self._ask()
            super()._ensure_running_and_write(msg)

        def _ask(self) -> None:
            if self._fd is None:
                self._fd: int | None = _ask(desk)

    if not getattr(kind, "_ask", None):
        tracker.__class__ = OwnersTracker


def _ask(desk: int) -> int | None:
    """Return the descriptor of the owner's tracker; None if the owner has none."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs, socket.socket(fileno=os.dup(desk)) as to_owner:
            socket.send_fds(to_owner, [b"?"], [theirs.fileno()])
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
    return fds[0] if fds else None
