"""Items that are never created one by one in the owner: the blocks of arrays, the groups of a
frame.

A chunk of them is sent as one slice, which the worker cuts (``run_items.blocks_of``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .._protocol import run_items


class BlockItems:
    """The blocks of some arrays, as a sequence of items that are never created one by one.

    A slice of them is the payload of a chunk: the rows of all its blocks in one piece.
    """

    def __init__(self, arrays: Sequence[Any], rows: int, axis: int) -> None:
        self._arrays = arrays
        self._rows = rows
        self._axis = axis
        self.length = run_items.length_of(arrays[0], axis)

    def __len__(self) -> int:
        return -(-self.length // self._rows)

    def __getitem__(self, index: slice) -> tuple[Any, ...]:
        start = index.start * self._rows
        stop = min(index.stop * self._rows, self.length)
        cuts = [run_items.cut(array, start, stop, self._axis) for array in self._arrays]
        return (self._rows, self._axis, *cuts)

    def block(self, at: int) -> Any:
        """Return one of the blocks; a tuple if there are several arrays."""
        blocks = self[at : at + 1][2:]
        return blocks[0] if len(blocks) == 1 else blocks

    def rows(self, at: int) -> int:
        """Return the number of rows of a block."""
        return min(self._rows, self.length - at * self._rows)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("blocks are cut by the workers")


class GroupItems(BlockItems):
    """The groups of a frame: blocks of unequal lengths. A chunk is one slice of the frame, with the
    end of each group in it.

    Args:
        frame: a frame in which the rows of each group are adjacent.
        ends: the row after the last one of each group.
    """

    def __init__(self, frame: Any, ends: list[int]) -> None:
        super().__init__((frame,), 1, 0)
        self._frame = frame
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: slice) -> tuple[Any, ...]:
        start = self._ends[index.start - 1] if index.start else 0
        ends = self._ends[index.start : index.stop]
        part = run_items.cut(self._frame, start, ends[-1], 0)
        return (tuple(end - start for end in ends), 0, part)

    def rows(self, at: int) -> int:
        return self._ends[at] - (self._ends[at - 1] if at else 0)
