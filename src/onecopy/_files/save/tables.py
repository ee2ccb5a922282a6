"""Writers of tables, batch by batch: Arrow, Parquet, CSV, NDJSON; all need pyarrow.

Each is created with a path and a schema and has ``write(batch)`` and ``close()``. Files are written
so that they load well: Arrow uncompressed, so that it can be mapped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..load.interface import library
from . import times
from .joining import joined
from .json_text import lines

# Compressions that Arrow supports while writing, by the file's last suffix.
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}


class Writer(Protocol):
    """A table that is being written to a file."""

    def write(self, batch: Any) -> None:
        """Write some more rows."""

    def close(self) -> None:
        """End the file."""


class Arrow:
    """A file in Arrow's format; a stream if it is called ``.arrows``."""

    def __init__(self, path: str, schema: Any) -> None:
        ipc = library("pyarrow", "arrow").ipc
        make = ipc.new_stream if path.lower().endswith(".arrows") else ipc.new_file
        self._writer = make(path, schema)

    def write(self, batch: Any) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class Parquet:
    """A row group for each batch."""

    def __init__(self, path: str, schema: Any) -> None:
        parquet = library("pyarrow.parquet", "arrow")
        self._writer = parquet.ParquetWriter(path, schema, write_page_checksum=True)

    def write(self, batch: Any) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class _Text:
    """A file in a text format, compressed if its suffix says so."""

    def __init__(self, path: str) -> None:
        pa = library("pyarrow", "arrow")
        codec = next((c for suffix, c in _CODECS.items() if path.lower().endswith(suffix)), None)
        self._sink = pa.output_stream(path, compression=codec)

    def close(self) -> None:
        self._sink.close()


class Csv(_Text):
    """A header, then a line for each row; strings in quotes."""

    def __init__(self, path: str, schema: Any) -> None:
        csv = library("pyarrow.csv", "arrow")
        super().__init__(path)
        tabs = ".tsv" in path[-8:].lower()
        options = csv.WriteOptions(delimiter="\t" if tabs else ",")
        self._writer = csv.CSVWriter(self._sink, schema, write_options=options)

    def write(self, batch: Any) -> None:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not times.is_time(column.type):
                continue
            times.require_known(column)
            if not times.in_minutes(column):
                raise ValueError(
                    f"column {name!r}: CSV has no seconds in an offset from UTC, and times of "
                    f"{column.type.tz} before 1920 or so have some"
                )
        if batch.num_columns == 1 and batch.column(0).null_count:
            self._sink.write(_one_column(batch.column(0)))
        else:
            self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()
        super().close()


def _one_column(column: Any) -> bytes:
    """Return a column that is a whole table as lines. Its nulls are empty values in quotes: an
    empty line would not be read as a row."""
    pa, csv = library("pyarrow", "arrow"), library("pyarrow.csv", "arrow")
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind, types = column.type, pa.types
    plain = types.is_primitive(kind) or types.is_decimal(kind) or types.is_null(kind)
    if not plain:
        column = column.cast("binary").fill_null(b"")
    sink = pa.BufferOutputStream()
    options = csv.WriteOptions(include_header=False)
    csv.write_csv(pa.table({"": column}), sink, write_options=options)
    made: bytes = sink.getvalue().to_pybytes()
    # Text and bytes may have empty lines within a value.
    return made if not plain else re.sub(rb"^\n", b'""\n', made, flags=re.MULTILINE)


class PlainCsv(_Text):
    """Columns of strings unchanged: quotes only around a value that could not be read back without
    them."""

    def __init__(self, path: str, schema: Any) -> None:
        super().__init__(path)
        self._sep = "\t" if ".tsv" in path[-8:].lower() else ","
        pa = library("pyarrow", "arrow")
        self._lines([pa.array([name], pa.string()) for name in schema.names])

    def write(self, batch: Any) -> None:
        self._lines(batch.columns)

    def _lines(self, columns: Sequence[Any]) -> None:
        pc = library("pyarrow.compute", "arrow")
        fields = [self._quoted(pc, column, len(columns) == 1) for column in columns]
        # One array that holds all lines: its bytes are the text.
        text = joined(joined(*fields, self._sep), "\n", "")
        if len(text):
            self._sink.write(text.buffers()[2])

    def _quoted(self, pc: Any, column: Any, alone: bool) -> Any:
        values = pc.fill_null(column.cast("large_string"), "")
        # An empty line would not be read as a row.
        special = f'[{re.escape(self._sep)}"\r\n]' + ("|^$" if alone else "")
        odd = pc.match_substring_regex(values, special)
        if not pc.any(odd).as_py():
            return values
        doubled = pc.replace_substring(values, '"', '""')
        return pc.if_else(odd, joined('"', doubled, '"', ""), values)


class Ndjson(_Text):
    """One object per line; times as ISO 8601, numbers that JSON does not have as null."""

    def __init__(self, path: str, schema: Any) -> None:
        for name in schema.names:
            if schema.names.count(name) > 1:
                raise ValueError(f"JSON has no two fields of the name {name!r}")
        super().__init__(path)

    def write(self, batch: Any) -> None:
        # Texts take several times the bytes of numbers: some rows at a time.
        step = max(1, batch.num_rows * _PIECE // max(batch.nbytes, 1))
        for start in range(0, batch.num_rows, step):
            self._sink.write(lines(batch.slice(start, step)).buffers()[2])


_PIECE = 1 << 20


WRITERS: dict[str, Callable[[str, Any], Writer]] = {
    "arrow": Arrow,
    "parquet": Parquet,
    "csv": Csv,
    "ndjson": Ndjson,
}
