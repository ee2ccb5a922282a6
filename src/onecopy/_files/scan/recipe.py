"""The description of blocks that a worker reads by: names, options, types. All of it is pickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from ..._system.cpus import cpu_count
from ..load.interface import Wanted

# Larger blocks are not faster, and smaller ones cost a file's opening each.
_MOST = 32 << 20
_LEAST = 1 << 20
_PER_CPU = 4


class Cut(NamedTuple):
    """A part of a file.

    Attributes:
        start, stop: row groups of Parquet, record batches of Arrow, bytes of text, rows of arrays;
            0 and -1 for a whole file.
        rows: the number of rows, None if unknown.
        nbytes: roughly.
        part: in words.
    """

    start: int
    stop: int
    rows: int | None
    nbytes: int
    part: str

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


def block_bytes(total: int, asked: int | None) -> int:
    """Return the size of blocks: the caller's, or one that gives each CPU some of ``total`` bytes."""
    return asked or min(_MOST, max(_LEAST, total // (_PER_CPU * cpu_count())))


def joined(parts: list[Cut], most: int, words: str) -> list[Cut]:
    """Join neighbouring parts up to ``most`` bytes.

    Args:
        parts: each of one unit, in order.
        words: the unit's name, in the singular.
    """
    made: list[Cut] = []
    for each in parts:
        last = made[-1] if made else None
        if last is not None and last.stop == each.start and last.nbytes + each.nbytes <= most:
            rows = None if last.rows is None or each.rows is None else last.rows + each.rows
            made[-1] = Cut(last.start, each.stop, rows, last.nbytes + each.nbytes, "")
        else:
            made.append(each)
    return [each._replace(part=_words(each, words)) for each in made]


def _words(cut: Cut, unit: str) -> str:
    if cut.stop - cut.start == 1:
        return f"{unit} {cut.start}"
    return f"{unit}s {cut.start} to {cut.stop - 1}"
