"""Where a fresh interpreter that serves as a worker or as a zygote begins.

Its other side, in the owner, is ``interpreter``. What is imported here is paid for by every
spawned worker: nothing that a task may not need.
"""

from __future__ import annotations

import contextlib
import socket
import sys

from ..._system import death
from ..child import run
from . import zygote


def main(role: str, fd: str, parent: str, preload: str) -> None:
    """Serves on the descriptor ``fd``; never returns.

    Args:
        role: ``"worker"`` or ``"zygote"``.
        fd: this end of the socket pair.
        parent: the owner's pid.
        preload: modules that a zygote imports, once instead of in every worker.
    """
    death.die_with(int(parent))
    del sys.argv[1:]
    sock = socket.socket(fileno=int(fd))
    sock.set_inheritable(False)
    if role == "worker":
        run(sock)
    for name in filter(None, preload.split(",")):
        with contextlib.suppress(Exception):  # the worker that needs it will say so
            __import__(name)
    zygote.serve(sock)
