"""Newline-delimited JSON, one object a line, decoded block by block; needs pyarrow.

Fields and their types are found in the first 16 MB; a field that first comes later, or a value
of another type there, is an error that says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .face import Wanted, chosen, library, reading
from .tables import arrow_type, readable, window

WHAT = "NDJSON file"
_BLOCK = 16 << 20


def open(name: str, wanted: Wanted) -> Opened:
    """The table in ``name``."""
    return Opened(name, library("pyarrow.json", "arrow"), wanted)


class Opened:
    """A ``Tabular`` on a file of one JSON object a line."""

    def __init__(self, name: str, json: Any, wanted: Wanted) -> None:
        pa = library("pyarrow", "arrow")
        self.where = name
        self.rows: int | None = None
        self._json = json
        self._given: Any = None
        with reading(name, WHAT), self._reader() as reader:
            self.schema = readable(reader.schema)
        self._names = chosen(name, self.schema.names, wanted.columns, "column")
        if isinstance(wanted.dtype, Mapping):
            chosen(name, self.schema.names, tuple(wanted.dtype), "column")
            fields = [(each, arrow_type(kind)) for each, kind in wanted.dtype.items()]
            self._given = pa.schema(fields)
            with reading(name, WHAT), self._reader() as reader:
                self.schema = reader.schema
        # Fields whose type is given come first otherwise.
        self.schema = pa.schema([self.schema.field(each) for each in self._names])

    def _reader(self) -> Any:
        json = self._json
        return json.open_json(
            self.where,
            json.ReadOptions(block_size=_BLOCK),
            json.ParseOptions(explicit_schema=self._given),
        )

    def part(self) -> None:
        """It has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``."""
        return window(self._decoded(), start, stop)

    def _decoded(self) -> Iterator[Any]:
        rows = 0
        with reading(self.where, WHAT), self._reader() as reader:
            for batch in reader:
                batch.validate(full=True)  # strings may not be UTF-8
                rows += batch.num_rows
                yield batch.select(self._names)
        self.rows = rows

    def close(self) -> None:
        """Nothing is open between readings."""
