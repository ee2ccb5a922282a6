"""CSV with a header line (and TSV), decoded block by block; needs pyarrow.

The types of columns are found in the first 16 MB. Where a later value does not fit, the error
says so, and ``dtype=`` sets the type of that column from the start. An empty value is null,
and an empty string in a column of strings. Compressed files (``.csv.gz``) are inflated as they
are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .face import Wanted, chosen, in_a_line, library
from .tables import arrow_type, readable
from .text import BLOCK, FIRST, Text


def open(name: str, wanted: Wanted) -> Opened:
    """The table in ``name``."""
    return Opened(name, library("pyarrow.csv", "arrow"), wanted)


class Opened(Text):
    """A ``Tabular`` on a file of comma-separated values."""

    what = "CSV file"

    def __init__(self, name: str, csv: Any, wanted: Wanted) -> None:
        super().__init__(name)
        self._csv = csv
        self._columns: tuple[str, ...] | None = None
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
            self._columns = wanted.columns
            self._types = {each: arrow_type(kind) for each, kind in (dtype or {}).items()}
            with self._guard(), self._reader() as reader:
                self.schema = reader.schema

    def _reader(self) -> Any:
        csv = self._csv
        tabs = ".tsv" in self.where[-8:].lower()
        return csv.open_csv(
            self.where,
            csv.ReadOptions(block_size=BLOCK),
            csv.ParseOptions(delimiter="\t" if tabs else ",", newlines_in_values=True),
            csv.ConvertOptions(include_columns=self._columns, column_types=self._types),
        )

    def _refusal(self, error: Exception) -> str:
        if "conversion error" in str(error):
            return (
                f"a value is not of the type that its column has in {FIRST}: "
                f"{in_a_line(error)}; give the column a type by dtype="
            )
        return f"it is not a whole {self.what}: {in_a_line(error)}"
