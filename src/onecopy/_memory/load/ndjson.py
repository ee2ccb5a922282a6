"""Newline-delimited JSON, one object a line, decoded block by block; needs pyarrow.

Fields and their types are found in the first 16 MB; a field that first comes later, or a value
of another type there, is an error that says so. ``dtype=`` names such fields, and sets types,
from the start; a field that is nowhere in the file is then null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .face import Wanted, chosen, in_a_line, library
from .tables import arrow_type, readable
from .text import BLOCK, FIRST, Text


def open(name: str, wanted: Wanted) -> Opened:
    """The table in ``name``."""
    return Opened(name, library("pyarrow.json", "arrow"), wanted)


class Opened(Text):
    """A ``Tabular`` on a file of one JSON object a line."""

    what = "NDJSON file"

    def __init__(self, name: str, json: Any, wanted: Wanted) -> None:
        pa = library("pyarrow", "arrow")
        super().__init__(name)
        self._json = json
        self._given: Any = None
        with self._guard(), self._reader() as reader:
            self.schema = readable(reader.schema)
        names = self.schema.names
        if isinstance(wanted.dtype, Mapping):
            fields = [(each, arrow_type(kind)) for each, kind in wanted.dtype.items()]
            self._given = pa.schema(fields)
            with self._guard(), self._reader() as reader:
                self.schema = reader.schema
            names += [each for each in wanted.dtype if each not in names]
        # Fields whose type is given come first otherwise.
        self._names = chosen(name, names, wanted.columns, "column")
        self.schema = pa.schema([self.schema.field(each) for each in self._names])

    def _reader(self) -> Any:
        json = self._json
        return json.open_json(
            self.where,
            json.ReadOptions(block_size=BLOCK),
            json.ParseOptions(explicit_schema=self._given),
        )

    def _checked(self, batch: Any) -> Any:
        batch.validate(full=True)  # strings may not be UTF-8
        return batch.select(self._names)

    def _refusal(self, error: Exception) -> str:
        return (
            f"it is not a whole {self.what}, or not as {FIRST}: {in_a_line(error)}; "
            "dtype={'name': type} tells of a field beforehand"
        )
