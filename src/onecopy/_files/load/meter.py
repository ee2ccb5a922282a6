"""The progress of reading files, in bytes of the files themselves.

The caller that displays it passes ``begin``; the readers report their position in a file. If a
reader reports nothing, a file counts when it has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Begin = Callable[[int], Callable[[int], None]]
"""Called with the number of bytes; returns a counter."""


class Meter:
    """Counts the bytes read of some files. Not thread-safe.

    Args:
        begin: None counts nothing.
        size: returns the bytes of a file.
    """

    def __init__(
        self, begin: Begin | None = None, size: Callable[[str], int | None] | None = None
    ) -> None:
        self._begin = begin
        self._size = size
        self._count: Callable[[int], None] = _uncounted
        self._sizes: dict[str, int] = {}
        self._at: dict[str, int] = {}

    def start(self, names: Iterable[str]) -> None:
        """Start reading these files from their beginnings, perhaps for a second time."""
        if self._begin is None or self._size is None:
            return
        sizes = {name: self._sizes.get(name) or self._known(name) for name in names}
        self._sizes, self._at = sizes, {}
        self._count = self._begin(sum(sizes.values()))

    @contextmanager
    def looking(self, name: str) -> Iterator[None]:
        """Count a read of a whole file that only finds types, before its rows are read or while
        they are. The count before it goes on afterwards, from where it was."""
        before = self._sizes, self._at
        self.start([name])
        try:
            yield
        finally:
            self._sizes, self._at = before
            self._count = self._resume

    def _resume(self, count: int) -> None:
        """Go on counting from where it was. Done this late because often the reading starts again
        instead."""
        if self._begin is not None:
            self._count = self._begin(sum(self._sizes.values()))
            self._count(sum(self._at.values()))

    def _known(self, name: str) -> int:
        assert self._size is not None
        try:
            return self._size(name) or 0
        except FileNotFoundError:  # a folder of a web server: the format module finds out
            return 0

    def at(self, name: str, taken: int) -> None:
        """Note that ``taken`` bytes of a file have been read."""
        before = self._at.get(name, 0)
        self._at[name] = taken = max(before, min(taken, self._sizes.get(name, 0)))
        if taken > before:
            self._count(taken - before)

    def share(self, name: str, part: float) -> None:
        """Note that this part of a file, from 0 to 1, has been read."""
        self.at(name, int(part * self._sizes.get(name, 0)))

    def whole(self, part: float) -> None:
        """Note that this part of all files has been read."""
        for name in self._sizes:
            self.share(name, part)


def _uncounted(count: int) -> None:
    """Count nothing: there is no display."""
