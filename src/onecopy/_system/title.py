"""The name of a process in ``ps``, ``top`` and ``/proc/PID/cmdline``.

Linux shows the bytes in the memory where the program's arguments were put at its start. A process
may overwrite them (``setproctitle`` and PostgreSQL do; for the place see proc(5),
``/proc/pid/stat`` fields 48 and 49). CPython has copied its arguments by then and never reads them
again. The short name, 15 characters, is set with prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

_PR_SET_NAME = 15
_ARGUMENTS = 47  # index of arg_start among the fields of /proc/pid/stat


def set_title(title: str, short: str) -> None:
    """Name this process. Does nothing if the system does not support it.

    Args:
        title: replaces the command line; cut to that line's length.
        short: at most 15 characters.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_NAME, short.encode()[:15], 0, 0, 0)
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        # The first two fields, pid and name, are before the bracket.
        start, end = (int(fields[at - 2]) for at in (_ARGUMENTS, _ARGUMENTS + 1))
        room = end - start
        if start and room > 1:
            ctypes.memmove(start, title.encode()[: room - 1].ljust(room, b"\0"), room)
