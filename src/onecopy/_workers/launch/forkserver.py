"""``forkserver``: workers forked from a fresh interpreter that holds nothing of the caller.

The interpreter has imported what the workers need, so each starts in a millisecond, and it
has one thread, so no lock is inherited. It knows none of the caller's data, secrets or
open files.
"""

from __future__ import annotations

import socket

from . import interpreter
from .zygote import ZygoteLauncher


def launcher(threads: int | None, preload: list[str]) -> ZygoteLauncher:
    """Starts the zygote; called in the driver thread. Does not wait for it."""
    ours, theirs = socket.socketpair()
    with theirs:
        pid = interpreter.start("zygote", theirs.fileno(), threads, preload)
    return ZygoteLauncher(ours, pid)
