"""A segment whose size is known only when all of it has been written.

Decoded data arrives piece by piece, and its total size is unknown until the file has been read. So
the pieces are written one after another to one anonymous file, by system call. At the end its size
is fixed, it is sealed, and it becomes a segment: one descriptor for a dataset, in however many
pieces it came. The class is a file opened for writing, which is what format libraries (pyarrow
among them) expect.

Until then nothing is mapped and no other process knows of it: if reading fails half way, closing
releases all of it.
"""

from __future__ import annotations

from typing import Any

from .segment import Kind, Segment, backing, round_to_page

_ASK = 1 << 20


class Growing:
    """A writer of bytes in order; a context manager that drops them unless ``finish`` was called.

    Not thread-safe: one thread writes.

    Args:
        path: the user's file that the bytes come from, for errors.
    """

    def __init__(self, path: str) -> None:
        self._file: Any = backing(None, "what is loaded")
        self._path = path
        self._at = self._unasked = 0
        self.closed = False

    def __enter__(self) -> Growing:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def require(self, nbytes: int) -> None:
        """Raise NotEnoughMemory if that much cannot be allocated."""
        self._file.require(nbytes)

    def write(self, data: Any) -> int:
        """Append a buffer; raise NotEnoughMemory before a page of it is touched."""
        view = memoryview(data).cast("B")
        # A small request is granted unseen (``memory.require``), so small ones are added up.
        self._unasked += view.nbytes
        if self._unasked >= _ASK:
            self._file.require(self._unasked)
            self._unasked = 0
        self._file.write(self._at, view)
        self._at += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Keep the bytes; pyarrow calls this when it has written all."""
        self.closed = True

    def finish(self) -> Segment:
        """Return the segment, sealed. At least one byte has to have been written."""
        size = round_to_page(self._at)
        self._file.set_size(size)
        self._file.seal_mappings()
        self._file.seal()
        segment = Segment(self._file, Kind.SHARED, size, self._path)
        self._file = None
        return segment
