"""``fork``: workers see the caller's state as it was when the pool was made.

The zygote is forked in the thread that makes the pool, before the pool has any thread of
its own, and forks all workers from then on.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from .._system.interrupts import Uninterrupted
from .._system.native_threads import limit_threads
from .._worker.main import Inherited, Initial
from . import zygote


def launcher(pool: int, threads: int | None, initial: Initial | None) -> zygote.ZygoteLauncher:
    """Fork the zygote.

    Args:
        pool: counts up over the pools of this process.
        threads: the cap for native thread pools, or None.
        initial: inherited, so it need not be picklable (locks and queues of ``multiprocessing``
            are not).
    """
    ours, theirs = socket.socketpair()
    zygote.flush_streams()
    # What raises in an action that is registered for forks is dropped: Ctrl-C would be lost, and
    # logging's lock might stay taken.
    with Uninterrupted() as signals:
        pid = os.fork()
        if pid == 0:
            _serve(pool, threads, initial, ours, theirs, signals)
    theirs.close()
    return zygote.ZygoteLauncher(ours, pid)


def _serve(
    pool: int,
    threads: int | None,
    initial: Initial | None,
    ours: socket.socket,
    theirs: socket.socket,
    signals: Uninterrupted,
) -> NoReturn:
    """Run the zygote, in the forked child."""
    try:
        signals.leave()
        ours.close()
        zygote.name_zygote(pool)
        if threads is not None:
            limit_threads(1)  # as in a fresh zygote; each worker sets its own number
        inherited = Inherited(of_owner=True, initial=initial)
        sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
        inherited.state.remember()
        zygote.serve(theirs, inherited)
    finally:
        os._exit(1)
