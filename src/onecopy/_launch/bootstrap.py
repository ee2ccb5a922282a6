"""The entry point of a fresh interpreter that serves as a worker or a zygote.

Its other side, in the owner, is ``interpreter``. Every spawned worker pays for the imports here, so
there are none that a task may not need.
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
    """Serve on descriptor 3, and close all above it; never returns.

    Args:
        role: ``"worker"``, ``"zygote"``, or ``"bare"``: a zygote that has restarted.
        parent: the owner's pid.
    """
    death.die_with(int(parent))
    del sys.argv[1:]
    # Descriptors that the program made inheritable are of no use to a worker.
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
    except BaseException as error:  # anything that the main module raises, SystemExit too
        inherited.failed = failure(error, "the import of the main module")
    if other_threads():
        # An import has started a thread, which may hold a lock now. Nothing may be forked beside
        # it: each worker imports the main module itself.
        sock.set_inheritable(True)
        interpreter.replace(["bare", parent])
    inherited.state.remember()
    zygote.serve(sock, inherited)
