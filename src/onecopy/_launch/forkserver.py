"""``forkserver``: workers forked from a fresh interpreter without any of the caller's state.

The interpreter has imported what the workers need, the main module among it, so each starts in a
millisecond, and it has one thread, so no lock is inherited. It has none of the caller's data,
secrets or open files.
"""

from __future__ import annotations

import socket

from .._protocol.preparation import Preparation
from . import interpreter
from .zygote import ZygoteLauncher, send_preparation


def launcher(threads: int | None, preparation: Preparation, desk: int) -> ZygoteLauncher:
    """Start the zygote, without waiting for it; called in the driver thread."""
    ours, theirs = socket.socketpair()
    with theirs:
        pid = interpreter.start("zygote", theirs.fileno(), threads, preparation.environment)
    send_preparation(ours, preparation, desk)
    return ZygoteLauncher(ours, pid)
