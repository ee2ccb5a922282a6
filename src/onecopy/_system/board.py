"""A short text that a process shows to other processes when they ask for it: Linux only.

The owner of a board has a memfd, which has no name that could be left behind, and the pipe that
wakes one of its threads. A reader finds both in ``/proc/PID/fd``, writes one byte into the pipe, and
reads the text that the thread then writes into the memfd. So nothing is written, and no thread
wakes, unless another process looks; nothing listens; and the kernel lets those processes in which may read
the memory of that process anyway (ptrace(2), ``PTRACE_MODE_READ``). It works between network
namespaces, where a socket would not.

The memfd begins with a head that never changes. The text is behind it, with a number that counts
the answers and a checksum, since a reader may come in the middle of a write.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import time
import zlib
from collections.abc import Iterable

_NAME = "onecopy-board"
# Format, the owner's pid, its end of the pipe and the pipe's inode.
_HEAD = struct.Struct("<8s3Q")
_FORMAT = b"board/1\n"
# The number of the answer, the length and the checksum of the text that follows.
_ANSWER = struct.Struct("<3Q")
_TEXT = _HEAD.size + _ANSWER.size
ASKED = b"?"
"""The byte that a reader writes into the pipe."""

# Of another process's text not more is read.
_MOST = 1 << 22
_PAUSE = 0.001


class Board:
    """A text that other processes can ask for. One thread writes it.

    Args:
        wake: the end of a pipe that is written to.

    Raises:
        OSError: there is no descriptor left.
    """

    def __init__(self, wake: int) -> None:
        self._answers = 0
        self._fd = os.memfd_create(_NAME, os.MFD_CLOEXEC)
        try:
            inode = os.fstat(wake).st_ino
            os.pwrite(self._fd, _HEAD.pack(_FORMAT, os.getpid(), wake, inode), 0)
        except BaseException:
            self.close()
            raise

    def write(self, text: bytes) -> None:
        """Replace the text. Raises OSError if there is no memory for it."""
        self._answers += 1
        answer = _ANSWER.pack(self._answers, len(text), zlib.crc32(text))
        os.pwrite(self._fd, answer + text, _HEAD.size)

    def close(self) -> None:
        """Release it. Also in a forked child, whose copy would show its parent's text."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def new_board(wake: int) -> Board | None:
    """Return a new board, or None where the system has no memfds."""
    return Board(wake) if hasattr(os, "memfd_create") else None


def ask(pids: Iterable[int], patience: float = 0.5) -> dict[int, list[bytes | None]]:
    """Return the texts of all boards of some processes.

    Args:
        pids: processes in this pid namespace; those that may not be read are left out.
        patience: how long to wait for all answers, in seconds.

    Returns:
        Per process a list, with None for a board whose owner does not answer: it is stopped, or its
        thread is kept from running.
    """
    asked = [(pid, reader) for pid in pids for reader in _readers(pid)]
    found: dict[int, list[bytes | None]] = {}
    until = time.monotonic() + patience
    for pid, reader in asked:
        try:
            while (text := reader.answer()) is None and time.monotonic() < until:
                time.sleep(_PAUSE)
            found.setdefault(pid, []).append(text)
        finally:
            reader.close()
    return found


class _Reader:
    """A board of another process, which has been asked.

    Raises:
        OSError: it is gone, or belongs to another user.
    """

    def __init__(self, pid: int, number: str) -> None:
        self._fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            head = os.pread(self._fd, _HEAD.size, 0)
            if len(head) < _HEAD.size:
                raise ProcessLookupError("it is not complete yet")
            form, owner, wake, inode = _HEAD.unpack(head)
            # Forked children have a copy for a moment, and owners in another pid namespace give
            # pids that are not ours.
            if form != _FORMAT or owner != pid:
                raise ProcessLookupError("it is another process's")
            self._before = self._read()[0]
            _wake(pid, wake, inode)
        except BaseException:
            self.close()
            raise

    def answer(self) -> bytes | None:
        """Return the text if it is newer than the request."""
        number, text = self._read()
        return text if number != self._before else None

    def _read(self) -> tuple[int, bytes | None]:
        """Return the number of the last answer, and its text unless it is being written."""
        answer = os.pread(self._fd, _ANSWER.size, _HEAD.size)
        if len(answer) < _ANSWER.size:
            return 0, None
        number, length, checksum = _ANSWER.unpack(answer)
        text = os.pread(self._fd, min(length, _MOST), _TEXT)
        return number, text if zlib.crc32(text) == checksum else None

    def close(self) -> None:
        os.close(self._fd)


def _readers(pid: int) -> list[_Reader]:
    """Ask all boards of a process."""
    found: list[_Reader] = []
    if not _same_pids(pid):
        return found
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found  # it has ended, or may not be read
    seen: set[int] = set()
    for number in numbers:
        path = f"/proc/{pid}/fd/{number}"
        try:
            # Once each, though several descriptors may be the same file.
            if os.readlink(path).startswith(f"/memfd:{_NAME}") and os.stat(path).st_ino not in seen:
                seen.add(os.stat(path).st_ino)
                found.append(_Reader(pid, number))
        except OSError:
            continue  # it was closed meanwhile, or its pool is not complete yet
    return found


def _wake(pid: int, wake: int, inode: int) -> None:
    """Write into the pipe of that inode, and into nothing else: the number may belong to another
    file by now. Raises OSError."""
    path = f"/proc/{pid}/fd/{wake}"
    if os.readlink(path) != f"pipe:[{inode}]":
        raise ProcessLookupError("its pipe is closed")
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if stat.S_ISFIFO(found.st_mode) and found.st_ino == inode:
            with contextlib.suppress(BlockingIOError):  # full: its thread does not run
                os.write(fd, ASKED)
    finally:
        os.close(fd)


def _same_pids(pid: int) -> bool:
    """Return True if that process numbers processes as we do."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False
