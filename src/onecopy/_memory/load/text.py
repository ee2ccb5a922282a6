"""What CSV and NDJSON have in common: pyarrow decodes them block by block, first to last.

The types of columns are found in the first block. What does not fit in a later one is an error
that says so, and how to give the type from the start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...errors import BadFile
from .face import library, reading
from .tables import window

BLOCK = 16 << 20
FIRST = f"the first {BLOCK >> 20} MB"


class Text:
    """A ``Tabular`` without its ``schema``; each reading opens the file anew."""

    what: str

    def __init__(self, name: str) -> None:
        self.where = name
        self.rows: int | None = None

    def _reader(self) -> Any:
        """pyarrow's reader of record batches, of the wanted columns."""
        raise NotImplementedError

    def _refusal(self, error: Exception) -> str:
        """What is wrong with a block, and what helps."""
        raise NotImplementedError

    def _checked(self, batch: Any) -> Any:
        """What becomes of a block that has been decoded."""
        return batch

    def _guard(self) -> Any:
        return reading(self.where, self.what)

    def part(self) -> None:
        """It has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``."""
        return window(self._decoded(), start, stop)

    def _decoded(self) -> Iterator[Any]:
        pa = library("pyarrow", "arrow")
        rows = 0
        with self._guard(), self._reader() as reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                except pa.ArrowInvalid as error:
                    where = f"{self.where!r}: somewhere after row {rows}"
                    raise BadFile(f"{where}, {self._refusal(error)}") from error
                rows += batch.num_rows
                yield self._checked(batch)
        self.rows = rows

    def close(self) -> None:
        """Nothing is open between readings."""
