"""``fork``: workers see the caller's state as it was when the pool was made.

The zygote is forked in the thread that makes the pool, before the pool has any thread of
its own, and forks all workers from then on.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any, NoReturn

from .._system.interrupts import Uninterrupted
from .._system.native_threads import limit_threads
from .._worker.main import Inherited, Initial
from . import zygote

Homes = dict[str, dict[str, Any]]


def launcher(
    pool: int, threads: int | None, initial: Initial | None, homes: Homes
) -> zygote.ZygoteLauncher:
    """Fork the zygote.

    Args:
        pool: counts up over the pools of this process.
        threads: the cap for native thread pools, or None.
        initial: inherited, so it need not be picklable (locks and queues of ``multiprocessing``
            are not).
        homes: the user's modules, as ``user_homes`` returns them.
    """
    ours, theirs = socket.socketpair()
    zygote.flush_streams()
    # What raises in an action that is registered for forks is dropped: Ctrl-C would be lost, and
    # logging's lock might stay taken.
    with Uninterrupted() as signals:
        pid = os.fork()
        if pid == 0:
            _serve(pool, threads, initial, homes, ours, theirs, signals)
    theirs.close()
    return zygote.ZygoteLauncher(ours, pid)


def _serve(
    pool: int,
    threads: int | None,
    initial: Initial | None,
    homes: Homes,
    ours: socket.socket,
    theirs: socket.socket,
    signals: Uninterrupted,
) -> NoReturn:
    """Run the zygote, in the forked child."""
    try:
        signals.leave()
        ours.close()
        zygote.name_zygote(pool)
        inherited = Inherited(of_owner=True, initial=initial)
        sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
        inherited.state.remember(homes)
        if threads is not None:
            # As in a fresh zygote; each worker sets its own number. This is the last step: a fork
            # has ended OpenBLAS's threads, and it starts all of them to be told how many it may
            # use. They spin for 30 ms (``blas_server.c``), until the first worker's fork ends them.
            limit_threads(1)
        zygote.serve(theirs, inherited)
    finally:
        os._exit(1)
