"""How far the reading of files has come, in bytes of the files themselves.

Whoever shows it gives ``begin``; whoever reads says where in a file it is. A file whose reader
says nothing counts when it has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

Begin = Callable[[int], Callable[[int], None]]
"""Is told how many bytes there are, and gives what counts them."""


class Meter:
    """Counts what is read of some files. Not thread-safe.

    Args:
        begin: None counts nothing.
        size: tells how many bytes a file has.
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
        """These files are going to be read, from their beginnings; maybe once more."""
        if self._begin is None or self._size is None:
            return
        sizes = {name: self._sizes.get(name) or self._known(name) for name in names}
        self._sizes, self._at = sizes, {}
        self._count = self._begin(sum(sizes.values()))

    @contextmanager
    def looking(self, name: str) -> Iterator[None]:
        """All of a file is looked at once, before its rows are read or between them: that has a
        count of its own, and the one before goes on afterwards, where it was."""
        before = self._sizes, self._at
        self.start([name])
        try:
            yield
        finally:
            self._sizes, self._at = before
            self._count = self._resume

    def _resume(self, count: int) -> None:
        """Counts from where it was; as late as that, for often reading begins anew instead."""
        if self._begin is not None:
            self._count = self._begin(sum(self._sizes.values()))
            self._count(sum(self._at.values()))

    def _known(self, name: str) -> int:
        assert self._size is not None
        try:
            return self._size(name) or 0
        except FileNotFoundError:  # a folder of a web server: who reads it says whether it is there
            return 0

    def at(self, name: str, taken: int) -> None:
        """So many bytes of a file have been read."""
        before = self._at.get(name, 0)
        self._at[name] = taken = max(before, min(taken, self._sizes.get(name, 0)))
        if taken > before:
            self._count(taken - before)

    def share(self, name: str, part: float) -> None:
        """Such a part of a file, from 0 to 1, has been read."""
        self.at(name, int(part * self._sizes.get(name, 0)))

    def whole(self, part: float) -> None:
        """Such a part of all files has been read."""
        for name in self._sizes:
            self.share(name, part)


def _uncounted(count: int) -> None:
    """Nobody wants to see it."""
