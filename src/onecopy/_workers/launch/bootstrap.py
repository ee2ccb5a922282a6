"""Where a fresh interpreter that serves as a worker or as a zygote begins.

Its other side, in the owner, is ``interpreter``. What is imported here is paid for by every
spawned worker: nothing that a task may not need.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys

from ..._system import death
from ..child import run
from . import zygote


def main(role: str, parent: str, preload: str) -> None:
    """Serves on descriptor 3, and closes all above it; never returns.

    Args:
        role: ``"worker"`` or ``"zygote"``.
        parent: the owner's pid.
        preload: modules that a zygote imports, once instead of in every worker.
    """
    death.die_with(int(parent))
    del sys.argv[1:]
    # Whatever the program made inheritable is not a worker's business.
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    sock = socket.socket(fileno=3)
    sock.set_inheritable(False)
    if role == "worker":
        run(sock)
    for name in filter(None, preload.split(",")):
        with contextlib.suppress(Exception):  # the worker that needs it will say so
            __import__(name)
    zygote.serve(sock)
