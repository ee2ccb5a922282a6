"""Makes the kernel end a process with its parent: a worker must not outlive its owner.

With ``prctl(PR_SET_PDEATHSIG)`` the kernel kills a process when the *thread* that created it ends
(prctl(2)). The process itself need not do anything, so this works even while C code holds the GIL
for ever. Every worker is therefore created by a thread that lives as long as the pool: the zygote's
only thread, or the pool's driver thread. On other systems a worker notices the closed socket at its
next read.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Opened once, and not in each worker that is forked.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with(parent: int) -> None:
    """Make the kernel kill this process when the thread of ``parent`` that created it ends.

    Args:
        parent: the pid that the caller expects to be its parent; if that has died already, the
            process ends at once.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
