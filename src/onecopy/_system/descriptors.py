"""Sends file descriptors with bytes over a Unix socket (unix(7), SCM_RIGHTS).

The kernel passes at most 253 descriptors with one call; the caller splits longer lists. A receiver
without a free descriptor number gets a truncated list, and raises.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Sequence

MOST = 200
_ROOM = socket.CMSG_SPACE((MOST + 53) * array.array("i").itemsize)
# Linux closes descriptors received with this flag on exec; elsewhere it is set on each one.
_CLOEXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_NONE: list[int] = []
_TRUNCATED = int(socket.MSG_CTRUNC)


def rights(fds: Sequence[int]) -> list[tuple[int, int, array.array[int]]]:
    """Return the ancillary data that carries ``fds``, for ``socket.sendmsg``."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []


def receive(sock: socket.socket, buffer: memoryview, flags: int = 0) -> tuple[int, list[int]]:
    """Read into ``buffer``; return the number of bytes read and the descriptors that came with
    them.

    The descriptors are closed on exec. Raises OSError if some were lost because this process has
    reached its limit of open files.
    """
    count, ancillary, message_flags, _ = sock.recvmsg_into([buffer], _ROOM, flags | _CLOEXEC)
    if not ancillary and not message_flags & _TRUNCATED:
        return count, _NONE
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found = array.array("i")
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
            fds.extend(found)
    if fds and not _CLOEXEC:
        for fd in fds:
            os.set_inheritable(fd, False)
    if message_flags & _TRUNCATED:
        for fd in fds:
            os.close(fd)
        raise OSError(
            errno.EMFILE, "descriptors were lost: the limit of open files (ulimit -n) is reached"
        )
    return count, fds
