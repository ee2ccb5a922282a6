"""A file that every process appends to, without a lock of ours.

It begins with one page, which is a segment: as such it is sent to workers and found again there.
Appended data follows that page. The descriptor has O_APPEND set, on the open file description that
all processes share: the kernel takes the file's lock, goes to its end and copies, in one system
call (open(2), O_APPEND; inode_lock in ``shmem_file_write_iter``). If a process is killed, the
kernel releases that lock. The data that it was appending may be cut at the end of a page, and
nowhere else, since a page is copied at once (``generic_perform_write`` looks for a fatal signal
between pages).
"""

from __future__ import annotations

import fcntl
import os

from .._memory.segment import Kind, Segment, backing, registry
from .._system import mapping, memory
from ..errors import NotEnoughMemory

START = mapping.PAGE


def new_page() -> memoryview:
    """Create a file and return its first page, which keeps the file alive."""
    file = backing(None, "what is appended to")  # its size is never fixed
    file.reserve(0, START)
    segment = Segment(file, Kind.OPEN, START)
    fd = file.descriptor(write=True)
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return segment.view(0, START)


def segment_of(page: memoryview) -> Segment:
    """Return this process's segment of a page that ``new_page`` has made in any process."""
    found = registry.find(mapping.address_of(page))
    assert found is not None, "the page keeps its mapping"
    return found[0]


def append(segment: Segment, data: bytes) -> None:
    """Append, in one call: no other process's bytes come in between.

    Raises NotEnoughMemory; a part may have been written then.
    """
    memory.require(len(data))
    try:
        done = os.write(segment.file.descriptor(write=True), data)
    except OSError as error:
        raise memory.shortage(error, len(data), memory.available) from error
    if done < len(data):
        raise NotEnoughMemory(len(data), memory.available())


def size_of(segment: Segment) -> int:
    """Return the present size of the whole file in bytes."""
    return os.fstat(segment.file.descriptor(write=True)).st_size


def read(segment: Segment, offset: int, size: int) -> bytes:
    """Return ``size`` bytes at ``offset``, fewer at the end of the file."""
    return os.pread(segment.file.descriptor(write=True), size, offset)
