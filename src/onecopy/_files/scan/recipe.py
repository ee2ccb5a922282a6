"""The description of blocks that a worker reads by: names, options, types. All of it is pickled."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from ..._system.cpus import cpu_count
from ..load.interface import Wanted

# Larger blocks are not faster, and smaller ones cost a file's opening each.
_MOST = 32 << 20
_LEAST = 1 << 20
_PER_CPU = 4


class Asked(NamedTuple):
    """The size of blocks that the caller wants: ``block_bytes=`` and ``rows=`` of ``scan``."""

    nbytes: int | None
    rows: int | None


class Cut(NamedTuple):
    """A part of a file.

    Attributes:
        start, stop: row groups of Parquet, record batches of Arrow, bytes of text, rows of arrays;
            0 and -1 for a whole file.
        rows: the number of rows, None if unknown.
        nbytes: roughly.
        part: in words.
        first, last: the rows of the one row group or record batch; 0 and -1 for all of them.
    """

    start: int
    stop: int
    rows: int | None
    nbytes: int
    part: str
    first: int = 0
    last: int = -1

    @property
    def whole(self) -> bool:
        """True for all of the file."""
        return self.stop < 0


@dataclass(frozen=True)
class FileRecipe:
    """The options and types of one file.

    Attributes:
        name: the file.
        stamp: what differs once it has been changed; see ``places.stamp``.
        wanted: the options that are the file's own: the columns that it has.
        keys: the values of its folders' keys, as pyarrow scalars by name.
        found: of text: the types and the dialect.
    """

    name: str
    stamp: tuple[Any, ...]
    wanted: Wanted
    keys: dict[str, Any]
    found: Any = None


@dataclass(frozen=True)
class Recipe:
    """The options and types that all blocks have in common.

    Attributes:
        format: a key of ``load.FORMATS``.
        wanted: the caller's options.
        schema: the pyarrow schema of all blocks; the dtype of arrays.
        row: the shape of a row of arrays; None for tables.
        member: the name of the array in an archive.
    """

    format: str
    wanted: Wanted
    schema: Any
    row: tuple[int, ...] | None = None
    member: str = ""

    @property
    def quoted(self) -> bool:
        """True if a line end may be inside a value."""
        return self.format == "csv" and self.wanted.text.quote is not None

    def nothing(self) -> Any:
        """Return data without rows."""
        if self.row is None:
            return self.schema.empty_table()
        import numpy as np

        return np.empty((0, *self.row), self.schema)


def size_of_blocks(total: int, asked: Asked) -> Most:
    """Return the size of blocks: the caller's, or one that gives each CPU some of ``total`` bytes."""
    if asked.nbytes is not None or asked.rows is not None:
        return Most(asked.nbytes or sys.maxsize, asked.rows)
    return Most(min(_MOST, max(_LEAST, total // (_PER_CPU * cpu_count()))))


@dataclass(frozen=True)
class Most:
    """The size of blocks, which is not exceeded where it can be helped.

    Attributes:
        nbytes: roughly the bytes of a block.
        rows: the most rows of a block; None: any number.
    """

    nbytes: int
    rows: int | None = None

    def allows(self, cut: Cut, more: Cut) -> bool:
        """Return True if a block may hold both."""
        if cut.nbytes + more.nbytes > self.nbytes:
            return False
        return self.rows is None or (cut.rows or 0) + (more.rows or 0) <= self.rows


def joined(parts: list[Cut], most: Most, words: str) -> list[Cut]:
    """Join neighbouring parts, and cut those that have more rows than are allowed.

    Args:
        parts: each of one unit, in order.
        most: the size of blocks.
        words: the unit's name, in the singular.
    """
    made: list[Cut] = []
    for each in parts:
        last = made[-1] if made else None
        if most.rows is not None and each.rows is not None and each.rows > most.rows:
            made += _pieces(each, each.rows, most.rows)
        elif (
            last is not None
            and last.stop == each.start
            and last.last < 0
            and most.allows(last, each)
        ):
            rows = None if last.rows is None or each.rows is None else last.rows + each.rows
            made[-1] = Cut(last.start, each.stop, rows, last.nbytes + each.nbytes, "")
        else:
            made.append(each)
    return [each._replace(part=_words(each, words)) for each in made]


def _pieces(cut: Cut, rows: int, most: int) -> list[Cut]:
    """Cut one unit into pieces of about equal size."""
    count = -(-rows // most)
    bounds = [rows * at // count for at in range(count + 1)]
    return [
        cut._replace(
            rows=last - first, nbytes=cut.nbytes * (last - first) // rows, first=first, last=last
        )
        for first, last in pairwise(bounds)
    ]


def _words(cut: Cut, unit: str) -> str:
    if cut.last >= 0:
        return f"rows {cut.first} to {cut.last - 1} of {unit} {cut.start}"
    if cut.stop - cut.start == 1:
        return f"{unit} {cut.start}"
    return f"{unit}s {cut.start} to {cut.stop - 1}"
