"""A worker must not outlive its owner, however the owner ends.

``prctl(PR_SET_PDEATHSIG)`` has the kernel kill a process when the *thread* that made it
ends (prctl(2)); it needs nothing of the process itself, so it works while C code holds
the GIL for ever. Every worker's maker is therefore a thread that lives as long as the
pool: the zygote's only thread, or the pool's driver thread. Elsewhere than on Linux a
worker notices the end of its socket when it next reads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """This process is killed when the thread of ``parent`` that made it ends.

    Args:
        parent: the pid that the caller expects to be its parent; when it is gone already
            (it died before this call) the process ends here and now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
