"""``fork``: workers see the caller's state as it was when the pool was made.

The zygote is forked in the thread that makes the pool, before the pool has any thread of
its own, and forks all workers from then on.
"""

from __future__ import annotations

import os
import socket
import sys

from ..._memory.globals import WorkerNamespace
from ..child import Initial, limit_threads
from . import zygote


def launcher(
    threads: int | None, initial: Initial | None
) -> tuple[zygote.ZygoteLauncher, WorkerNamespace]:
    """Forks the zygote; also returns the names in ``__main__`` that it inherited.

    ``initial`` is inherited as well: it need not be such as can be pickled (locks and queues
    of ``multiprocessing`` cannot).
    """
    main = WorkerNamespace(vars(sys.modules["__main__"]))
    ours, theirs = socket.socketpair()
    zygote.flush_streams()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            if threads is not None:
                limit_threads(1)  # as in a fresh zygote; each worker sets its own
            zygote.serve(theirs, main, initial)
        finally:
            os._exit(1)
    theirs.close()
    return zygote.ZygoteLauncher(ours, pid), main
