"""Newline-delimited JSON, one object a line, decoded block by block; needs pyarrow.

Fields and their types are found in the first 16 MB; a field that first comes later, or a value
of another type there, is an error that says so. ``dtype=`` names such fields, and sets types,
from the start; a field that is nowhere in the file is then null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import BadFile
from .face import Wanted, chosen, in_a_line, library, reading
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
        names = self.schema.names
        if isinstance(wanted.dtype, Mapping):
            fields = [(each, arrow_type(kind)) for each, kind in wanted.dtype.items()]
            self._given = pa.schema(fields)
            with reading(name, WHAT), self._reader() as reader:
                self.schema = reader.schema
            names += [each for each in wanted.dtype if each not in names]
        # Fields whose type is given come first otherwise.
        self._names = chosen(name, names, wanted.columns, "column")
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
        pa = library("pyarrow", "arrow")
        rows = 0
        with reading(self.where, WHAT), self._reader() as reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                except pa.ArrowInvalid as error:
                    raise BadFile(
                        f"{self.where!r}: somewhere after row {rows}, it is not a whole {WHAT}, "
                        f"or not as the first {_BLOCK >> 20} MB: {in_a_line(error)}; "
                        "dtype={'name': type} tells of a field beforehand"
                    ) from error
                batch.validate(full=True)  # strings may not be UTF-8
                rows += batch.num_rows
                yield batch.select(self._names)
        self.rows = rows

    def close(self) -> None:
        """Nothing is open between readings."""
