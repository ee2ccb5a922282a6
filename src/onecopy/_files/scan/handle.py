"""``Scan``, a dataset that is not loaded, and ``Block``, a part of a file that can be read alone.

Both are descriptions: names, numbers and types. Nothing is open. Light to import: an engine asks of
any data whether it is a ``Scan``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from ...errors import human_bytes
from .forward import Kept

if TYPE_CHECKING:
    from .recipe import Cut, FileRecipe, Recipe


class Block:
    """A part of one file that can be read alone, such as some row groups of a Parquet file.

    Attributes:
        file: the file's name, str.
        part: the part in words, such as ``"row groups 0 to 3"``; empty for all of it.
        rows: the number of rows in it, before ``filter``; None if it has to be read to know.
        nbytes: its bytes, roughly: of text in the file, of other data decoded.

    Immutable; pickled by what it says, a kB or so.
    """

    __module__ = "onecopy.data"
    __slots__ = ("_cut", "_of", "_recipe")

    def __init__(self, recipe: Recipe, of: FileRecipe, cut: Cut) -> None:
        # Made by ``scan`` alone: not part of the public types.
        self._recipe, self._of, self._cut = recipe, of, cut

    @property
    def file(self) -> str:  # see the class
        return self._of.name

    @property
    def part(self) -> str:  # see the class
        return self._cut.part

    @property
    def rows(self) -> int | None:  # see the class
        return self._cut.rows

    @property
    def nbytes(self) -> int:  # see the class
        return self._cut.nbytes

    def read(self) -> Any:
        """Read it: a pyarrow Table, or an ndarray.

        Raises:
            BadFile: it is damaged, does not go with the other blocks, or its file has been changed
                since it was scanned. Says which file and which part of it.
            OSError: the file cannot be read; names it.
            NotEnoughMemory, MemoryError: it does not fit.

        Warns:
            LoadWarning: rows were left out.

        Blocks. Thread-safe; works in any process that sees the file.
        """
        return self._read(None)

    def _read(self, kept: Kept | None) -> Any:
        from .reading import read

        return read(self._recipe, self._of, self._cut, kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return Block, (self._recipe, self._of, self._cut)

    def __repr__(self) -> str:
        part = f", {self.part}" if self.part else ""
        return f"<Block: {self.file!r}{part}>"


class Scan:
    """A dataset in files that is not loaded; ``pool.map_blocks(f, scan)`` works through it.

    Attributes:
        blocks: the parts that workers read, in order: a tuple of ``Block``.
        schema: the columns and types of a table, a ``pyarrow.Schema``; the dtype of an array.
        rows: the number of rows; None if it is not known without reading: text, compressed Arrow
            files, or with ``filter``.
        nbytes: bytes of all blocks, roughly.
        files: the names of the files, a list.

    Immutable and small: it may be passed to workers, and read there by ``blocks[i].read()``.
    """

    __module__ = "onecopy"

    def __init__(self, recipe: Recipe, blocks: tuple[Block, ...]) -> None:
        # Made by ``scan`` alone: not part of the public types.
        self._recipe = recipe
        self.blocks = blocks

    @property
    def schema(self) -> Any:  # see the class
        return self._recipe.schema

    @property
    def rows(self) -> int | None:  # see the class
        if self._recipe.wanted.filter:
            return None
        rows = 0
        for block in self.blocks:
            if block.rows is None:
                return None
            rows += block.rows
        return rows

    @property
    def nbytes(self) -> int:  # see the class
        return sum(block.nbytes for block in self.blocks)

    @property
    def files(self) -> list[str]:  # see the class
        return list(dict.fromkeys(block.file for block in self.blocks))

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "a scan is not read in this process: pool.map_blocks(f, scan) and pool.imap(f, scan) call "
            "f with each block; scan.blocks lists them, and block.read() reads one"
        )

    def __repr__(self) -> str:
        rows = "" if self.rows is None else f", {self.rows:,} rows"
        files, blocks = len(self.files), len(self.blocks)
        return (
            f"<onecopy.Scan of {files:,} file{'s' * (files != 1)}: "
            f"{blocks:,} block{'s' * (blocks != 1)}{rows}, {human_bytes(self.nbytes)}>"
        )


class NoRows:
    """The result for a block that has turned out to have no rows: the function was not called."""


class OnBlocks:
    """A function that is called with what a block holds.

    Args:
        func: the caller's function.
        counted: return the number of rows too.

    A worker has one for each job, so what is left open for the next block is closed with the job.
    """

    def __init__(self, func: Callable[[Any], Any], counted: bool) -> None:
        self.func = func
        self._counted = counted
        self._kept = Kept()

    def __reduce__(self) -> tuple[Any, ...]:
        return OnBlocks, (self.func, self._counted)

    def __call__(self, block: Block) -> Any:
        data = block._read(self._kept)
        rows = len(data)
        if not rows:
            return NoRows
        try:
            result = self.func(data)
        except Exception as error:
            error.add_note(f"with {block.part or 'all'} of {block.file!r}")
            raise
        return (rows, result) if self._counted else result


def depends(scan: Scan) -> bool:
    """Return True if a block may begin in the middle of a row, which only the block before it
    would show."""
    return scan._recipe.quoted and len(scan.blocks) > len(scan.files)


def nothing(scan: Scan) -> Any:
    """Return data without rows, of the scan's types."""
    return scan._recipe.nothing()
