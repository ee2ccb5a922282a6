"""Writers of tables, batch by batch: Arrow, Parquet, CSV, NDJSON; all need pyarrow.

Each is created with a path and a schema and has ``write(batch)`` and ``close()``. Files are written
so that they load well: Arrow uncompressed, so that it can be mapped.
"""

from __future__ import annotations

import datetime
import decimal
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..load.interface import library

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
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()
        super().close()


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
        text = _joined(_joined(*fields, self._sep), "\n", "")
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
        return pc.if_else(odd, _joined('"', doubled, '"', ""), values)


def _joined(*parts: Any) -> Any:
    """Join strings row by row, with the last one as separator."""
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    large = [
        pa.scalar(each, pa.large_string()) if isinstance(each, str) else each for each in parts
    ]
    return pc.binary_join_element_wise(*large)


class Ndjson(_Text):
    """One object per line; times as ISO 8601, numbers that JSON does not have as null."""

    def __init__(self, path: str, schema: Any) -> None:
        super().__init__(path)
        self._encoder = json.JSONEncoder(
            ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False
        )

    def write(self, batch: Any) -> None:
        # Some thousand rows at a time: as Python objects they take many times their bytes.
        for start in range(0, batch.num_rows, _LINES):
            rows = batch.slice(start, _LINES).to_pylist()
            text = "".join(f"{self._encoder.encode(_finite(row))}\n" for row in rows)
            self._sink.write(text.encode())


_LINES = 4096


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    raise TypeError(f"JSON has nothing for a {type(value).__name__}")


WRITERS: dict[str, Callable[[str, Any], Writer]] = {
    "arrow": Arrow,
    "parquet": Parquet,
    "csv": Csv,
    "ndjson": Ndjson,
}
