"""A segment whose size is known only when all of it has been written.

What is decoded from a file comes piece by piece, and how much it will be, no file says
before it has been read. So the pieces go one after another into one anonymous file, by
system call; at the end its size is settled, it is sealed, and it becomes a segment: one
descriptor for a dataset, however many pieces it came in. It looks like a file that is
written to, which is what the writers of the formats want (pyarrow among them).

Until then nothing is mapped and nobody knows of it: when reading fails half way, closing
gives all of it back.
"""

from __future__ import annotations

from typing import Any

from .segment import Kind, Segment, backing, round_to_page

_ASK = 1 << 20


class Growing:
    """Takes bytes in order; a context manager that drops them unless ``finish`` was called.

    Not thread-safe: one thread writes.

    Args:
        path: the user's file that the bytes come from, for messages.
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
        """Raises NotEnoughMemory when so much cannot be had."""
        self._file.require(nbytes)

    def write(self, data: Any) -> int:
        """Appends a buffer; raises NotEnoughMemory before a page of it is touched."""
        view = memoryview(data).cast("B")
        # A small wish is granted unseen (``memory.require``): many of them are one large one.
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
        """Nothing is kept back."""

    def close(self) -> None:
        """What pyarrow calls when it has written all; the bytes stay."""
        self.closed = True

    def finish(self) -> Segment:
        """The segment, sealed. At least one byte has to have been written."""
        size = round_to_page(self._at)
        self._file.set_size(size)
        self._file.seal_mappings()
        self._file.seal()
        segment = Segment(self._file, Kind.SHARED, size, self._path)
        self._file = None
        return segment
