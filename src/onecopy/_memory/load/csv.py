"""CSV with a header line (and TSV), decoded block by block; needs pyarrow.

The types of columns are found in the first 16 MB. Where a later value does not fit, the error
says so, and ``dtype=`` sets the type of that column from the start. An empty value is null,
and an empty string in a column of strings. Compressed files (``.csv.gz``) are inflated as they
are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import BadFile
from .face import Wanted, chosen, in_a_line, library, reading
from .tables import arrow_type, readable, window

WHAT = "CSV file"
_BLOCK = 16 << 20


def open(name: str, wanted: Wanted) -> Opened:
    """The table in ``name``."""
    return Opened(name, library("pyarrow.csv", "arrow"), wanted)


class Opened:
    """A ``Tabular`` on a file of comma-separated values."""

    def __init__(self, name: str, csv: Any, wanted: Wanted) -> None:
        self.where = name
        self.rows: int | None = None
        self._csv = csv
        self._columns = wanted.columns
        self._types: dict[str, Any] = {}
        with self._guard(), self._reader() as reader:
            names = reader.schema.names
            self.schema = readable(reader.schema)
        if wanted.columns is not None or wanted.dtype is not None:
            chosen(name, names, wanted.columns, "column")
            dtype = wanted.dtype
            if dtype is not None and not isinstance(dtype, Mapping):
                dtype = dict.fromkeys(names, dtype)
            chosen(name, names, tuple(dtype or ()), "column")
            self._types = {each: arrow_type(kind) for each, kind in (dtype or {}).items()}
            with self._guard(), self._reader(wanted.columns) as reader:
                self.schema = reader.schema

    def _guard(self) -> Any:
        return reading(self.where, WHAT)

    def _reader(self, columns: tuple[str, ...] | None = None) -> Any:
        csv = self._csv
        tabs = ".tsv" in self.where[-8:].lower()
        return csv.open_csv(
            self.where,
            csv.ReadOptions(block_size=_BLOCK),
            csv.ParseOptions(delimiter="\t" if tabs else ",", newlines_in_values=True),
            csv.ConvertOptions(include_columns=columns, column_types=self._types),
        )

    def part(self) -> None:
        """It has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``."""
        return window(self._decoded(), start, stop)

    def _decoded(self) -> Iterator[Any]:
        pa = library("pyarrow", "arrow")
        rows = 0
        with self._guard(), self._reader(self._columns) as reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                except pa.ArrowInvalid as error:
                    raise self._refusal(error, rows) from error
                rows += batch.num_rows
                yield batch
        self.rows = rows

    def _refusal(self, error: Exception, rows: int) -> BadFile:
        """What is wrong with the block behind ``rows``."""
        where = f"{self.where!r}: somewhere after row {rows}"
        if "conversion error" in str(error):
            return BadFile(
                f"{where}, a value is not of the type that its column has in the first "
                f"{_BLOCK >> 20} MB: {in_a_line(error)}; give the column a type by dtype="
            )
        return BadFile(f"{where}, it is not a whole {WHAT}: {in_a_line(error)}")

    def close(self) -> None:
        """Nothing is open between readings."""
