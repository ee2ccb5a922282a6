"""How far the reading of files has come, in bytes of the files themselves.

Whoever shows it gives ``begin``; whoever reads says where in a file it is. A file whose reader
says nothing counts when it has been read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
