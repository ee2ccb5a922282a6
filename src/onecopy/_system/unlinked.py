"""Anonymous memory for systems without memfd: a temporary file without a name.

The file is created with mode 0600 in the directory for temporary files and unlinked before it is
used. There are no seals. The same protection comes from a second descriptor, opened for reading
only before the name is removed: a shared mapping made from it can never be made writable, and once
the file is sealed only that descriptor is sent to others.
"""

from __future__ import annotations

import os
import tempfile

from ..errors import NotEnoughMemory
from . import memory

_MOST = 1 << 30


def _left(directory: str) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


class UnlinkedFile:
    """An ``AnonymousFile`` on disk; see the protocol for what each method promises."""

    backing = "file"

    def __init__(self, size: int | None) -> None:
        self.size = size or 0
        self.directory = tempfile.gettempdir()
        self.fd, path = tempfile.mkstemp(prefix="onecopy-", dir=self.directory)
        self._reader = -1
        try:
            try:
                self._reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            finally:
                os.unlink(path)
            if size is not None:
                self.set_size(size)
        except BaseException:
            self.close()
            raise

    def set_size(self, size: int) -> None:
        try:
            os.ftruncate(self.fd, size)
        except OSError as error:
            raise self._short(size, error) from error
        self.size = size

    def _short(self, wanted: int, error: OSError) -> OSError | NotEnoughMemory:
        return memory.shortage(error, wanted, lambda: _left(self.directory), self.directory)

    def require(self, length: int) -> None:
        left = _left(self.directory)
        if length > left:
            raise NotEnoughMemory(length, left, self.directory)

    def reserve(self, offset: int, length: int) -> None:
        self.require(length)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.fd, offset, length)
            else:
                zeros = memoryview(bytes(min(length, 1 << 20)))
                for start in range(0, length, len(zeros)):
                    self.write(offset + start, zeros[: length - start])
        except OSError as error:
            raise self._short(length, error) from error

    def write(self, offset: int, data: memoryview) -> None:
        done, total = 0, data.nbytes
        while done < total:
            try:
                done += os.pwrite(self.fd, data[done : done + _MOST], offset + done)
            except OSError as error:
                raise self._short(total, error) from error

    def seal_mappings(self) -> None:
        """Nothing to do: a process that gets the reader's descriptor cannot write."""

    def seal(self) -> bool:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
        return True

    def descriptor(self, *, write: bool) -> int:
        return self.fd if write else self._reader

    def close(self) -> None:
        for fd in (self.fd, self._reader):
            if fd >= 0:
                os.close(fd)
        self.fd = self._reader = -1
