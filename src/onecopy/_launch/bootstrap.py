"""Where a fresh interpreter that serves as a worker or as a zygote begins.

Its other side, in the owner, is ``interpreter``. What is imported here is paid for by every
spawned worker: nothing that a task may not need.
"""

from __future__ import annotations

import os
import socket
import sys

from .._protocol.failures import failure
from .._protocol.tracker import use_owners_tracker
from .._system import death
from .._system.native_threads import other_threads
from .._worker.main import Inherited, leave_interrupts, run
from . import interpreter, zygote


def main(role: str, parent: str) -> None:
    """Serves on descriptor 3, and closes all above it; never returns.

    Args:
        role: ``"worker"``, ``"zygote"``, or ``"bare"``: a zygote that has begun anew.
        parent: the owner's pid.
    """
    death.die_with(int(parent))
    del sys.argv[1:]
    # Whatever the program made inheritable is not a worker's business.
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    sock = socket.socket(fileno=3)
    sock.set_inheritable(False)
    if role == "worker":
        run(sock)
    if role == "bare":
        zygote.serve(sock)
    preparation, desk = zygote.receive_preparation(sock)
    zygote.name_zygote(preparation.pool)
    inherited = Inherited()
    leave_interrupts()
    use_owners_tracker(desk)
    try:
        inherited.slow = preparation.enter()
    except BaseException as error:  # whatever the main module raises, SystemExit too
        inherited.failed = failure(error, "the import of the main module")
    if other_threads():
        # Something that was imported has started a thread, and may hold a lock in it just now.
        # Nothing may be forked beside it: each worker imports the main module for itself.
        sock.set_inheritable(True)
        interpreter.replace(["bare", parent])
    inherited.state.remember()
    zygote.serve(sock, inherited)
