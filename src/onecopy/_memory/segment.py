"""A segment: a piece of memory that several processes can map, and the operations on it.

Covers creating, mapping and sealing one, and its identity. ``store`` (shared objects), ``arena``
(messages) and ``load`` (files) fill segments; ``link`` records which process knows one.

Lifetimes. A *view* (array, memoryview) keeps the exporter alive, the exporter keeps the mapping,
and the mapping keeps the ``Segment`` with its descriptor. A link to another process keeps the
``Segment`` alone. So the memory goes back to the system when no process has a view and no link
holds the descriptor, in any order.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
import weakref
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Any

from .. import errors
from .._system import mapping
from .._system.anonymous import AnonymousFile, anonymous_file
from .._system.interrupts import Uninterrupted
from .registry import Registry


class Kind(IntEnum):
    """The kind of a segment: which processes may write to it."""

    SHARED = 0  # no process
    FILE = 1  # no process through onecopy: the user's own file, mapped
    OPEN = 2  # every process
    MESSAGE = 3  # an arena: the process that holds the block


class Segment:
    """One shareable piece of memory, known by one descriptor and one id.

    Thread-safe. After a fork the child has its own object on the same memory.
    """

    __slots__ = ("__weakref__", "_lock", "_root", "file", "forked", "id", "kind", "path", "size")

    def __init__(
        self, file: AnonymousFile | ReceivedFile, kind: Kind, size: int, path: str = "", id: int = 0
    ) -> None:
        self.file: AnonymousFile | ReceivedFile = file
        self.kind: Kind = kind
        self.size: int = size
        self.path: str = path
        self.forked: bool = False  # made by the process that this one was forked from
        self.id: int = id or registry.new_id()
        self._root: weakref.ref[ctypes.Array[Any]] | None = None
        self._lock = threading.Lock()
        registry.by_id[self.id] = self

    def __repr__(self) -> str:
        return f"<Segment {self.id:x} {self.kind.name.lower()} {self.size} bytes>"

    def own(self) -> AnonymousFile:
        """Return the backing, which this process made."""
        assert not isinstance(self.file, ReceivedFile), "only its maker fills a segment"
        return self.file

    def has_views(self) -> bool:
        return self._root is not None and self._root() is not None

    @property
    def writable(self) -> bool:
        return self.kind >= Kind.OPEN

    def root(self) -> ctypes.Array[Any]:
        """Return the exporter of the whole segment; maps the segment if there is none.

        Keep it (or a view of it) for as long as the address is used.
        """
        with self._lock:
            root = self._root() if self._root is not None else None
        # Uninterrupted: a mapping that no exporter has would hold the memory for ever.
        return root if root is not None else self._map()

    def _map(self) -> ctypes.Array[Any]:
        with Uninterrupted(), self._lock:
            root = self._root() if self._root is not None else None
            if root is None:
                fd = self.file.descriptor(write=self.writable)
                address = mapping.map_shared(fd, self.size, write=self.writable)
                root = mapping.exporter(address, self.size, partial(registry.died, address, self))
                self._root = weakref.ref(root)
                # Message blocks are private to their holder: they are never found by address.
                if self.kind != Kind.MESSAGE:
                    registry.add(address, address + self.size, self)
        return root

    def unmapped(self, address: int) -> None:
        """End the mapping at ``address``; called by the registry after the last view."""
        mapping.unmap(address, self.size)

    def view(self, offset: int, length: int) -> memoryview:
        """Return ``length`` bytes at ``offset``, writable if the segment is."""
        return mapping.bytes_of(self.root(), write=self.writable)[offset : offset + length]

    def shortened_to(self) -> int | None:
        """Return the present size of a mapped file that has been truncated, or None."""
        if self.kind != Kind.FILE:
            return None
        now = os.fstat(self.file.descriptor(write=False)).st_size
        return now if now < self.size else None

    def require_whole(self) -> None:
        """Raise FileTruncated for a mapped file that is shorter than it was."""
        now = self.shortened_to()
        if now is not None:
            raise errors.FileTruncated(0, None, path=self.path, was=self.size, now=now)

    def freeze(self) -> None:
        """Make the segment read-only in this process, even through old views.

        The new mapping replaces the old one at the same address, so every view stays valid. Does
        nothing if the segment is not mapped.
        """
        with self._lock:
            self.kind = Kind.SHARED
            root = self._root() if self._root is not None else None
            if root is not None:
                fd = self.file.descriptor(write=False)
                mapping.remap_readonly(ctypes.addressof(root), fd, self.size)

    def descriptor(self) -> int:
        """Return the descriptor to send to another process."""
        return self.file.descriptor(write=self.writable)

    def after_fork(self) -> None:
        """Reset locks in a forked child: another thread of the parent may have held one."""
        self._lock = threading.Lock()
        self.forked = True

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending():  # see ``mapping.exporter``
            with Uninterrupted(later=True):
                self.file.close()


registry: Registry[Segment] = Registry()
"""The segments of this process."""


class ReceivedFile:
    """The backing of a segment that another process made, or of a user's own file.

    Args:
        fd: the descriptor; this object owns it.
        backing: ``"memfd"`` or ``"file"``.
    """

    __slots__ = ("backing", "fd")

    def __init__(self, fd: int, backing: str) -> None:
        self.fd: int = fd
        self.backing: str = backing

    def descriptor(self, *, write: bool) -> int:
        return self.fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def round_to_page(size: int) -> int:
    return -(-size // mapping.PAGE) * mapping.PAGE


def new_segment(size: int, kind: Kind) -> Segment:
    """Return a new anonymous segment of at least ``size`` bytes, none of them reserved.

    Raises OSError, naming the limit, if no descriptor is left.
    """
    size = max(round_to_page(size), mapping.PAGE)
    with Uninterrupted():  # else a descriptor may be left that nothing closes
        return Segment(backing(size, f"a segment of {size} bytes"), kind, size)


def backing(size: int | None, what: str) -> AnonymousFile:
    """Return the anonymous file behind a segment; see ``anonymous_file``."""
    try:
        return anonymous_file(size)
    except OSError as error:
        if error.errno == errno.EMFILE:
            raise OSError(
                errno.EMFILE,
                f"no file descriptor is left for {what} "
                "(the limit is 'ulimit -n'); share many small objects in one call, or raise it",
            ) from error
        raise
