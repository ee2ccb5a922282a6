"""Anonymous memory on Linux: ``memfd_create(2)`` with file seals.

A memfd has no name, so no kill leaves anything behind, no other user can open it, and the size of
/dev/shm does not matter.

Measured here (100 MB, 2 cores, Linux 6.18): ``pwrite`` into fresh pages 45 ms, ``posix_fallocate``
then ``memmove`` 30 + 51 ms, ``memmove`` straight into holes 520 ms, ``memmove`` into warm pages 11
ms. So fresh pages are filled with ``pwrite`` or reserved first, and never faulted in by a write.
"""

from __future__ import annotations

import errno
import fcntl
import os

from . import memory

_F_ADD_SEALS, _F_GET_SEALS = 1033, 1034
_SEAL_SEAL, _SEAL_SHRINK, _SEAL_GROW, _SEAL_WRITE, _SEAL_FUTURE_WRITE = 1, 2, 4, 8, 16
# One write moves at most 0x7ffff000 bytes (write(2)); a round figure below that.
_MOST = 1 << 30


class Memfd:
    """An ``AnonymousFile`` in memory; see the protocol for what each method promises."""

    backing = "memfd"

    def __init__(self, size: int | None) -> None:
        self.size = size or 0
        self.fd = os.memfd_create("onecopy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        if size is not None:
            try:
                self.set_size(size)
            except BaseException:
                self.close()
                raise

    def set_size(self, size: int) -> None:
        try:
            os.ftruncate(self.fd, size)
            fcntl.fcntl(self.fd, _F_ADD_SEALS, _SEAL_SHRINK | _SEAL_GROW)
        except OSError as error:
            raise memory.shortage(error, size, memory.available) from error
        self.size = size

    def require(self, length: int) -> None:
        memory.require(length)

    def reserve(self, offset: int, length: int) -> None:
        self.require(length)
        try:
            os.posix_fallocate(self.fd, offset, length)
        except OSError as error:
            raise memory.shortage(error, length, memory.available) from error

    def write(self, offset: int, data: memoryview) -> None:
        done, total = 0, data.nbytes
        while done < total:
            try:
                done += os.pwrite(self.fd, data[done : done + _MOST], offset + done)
            except OSError as error:
                raise memory.shortage(error, total, memory.available) from error

    def seal_mappings(self) -> None:
        self._add(_SEAL_FUTURE_WRITE)

    def seal(self) -> bool:
        try:
            self._add(_SEAL_WRITE)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
        self._add(_SEAL_SEAL)
        return True

    def _add(self, seal: int) -> None:
        try:
            fcntl.fcntl(self.fd, _F_ADD_SEALS, seal)
        except PermissionError:
            if not fcntl.fcntl(self.fd, _F_GET_SEALS) & _SEAL_SEAL:
                raise
            # Sealed for good: another thread has frozen it, or an interrupted call.

    def descriptor(self, *, write: bool) -> int:
        return self.fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
