"""Parquet: decoded some rows at a time, whatever its row groups are; needs pyarrow.

A batch is read across the borders of row groups, so a file of one huge group does not cost a
second copy of it, and one of many tiny groups does not end up as many tiny chunks. Pages are
read through a buffer of 1 MiB a column: reading ahead, pyarrow's default, would keep all of a
group's compressed bytes. The checksums of pages are verified where the writer made them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .face import PIECE, Wanted, chosen, library, reading
from .tables import readable, window

WHAT = "Parquet file"
_BUFFER = 1 << 20
# What a value of no fixed width is taken for when nothing better is known, in bytes.
_GUESS = 32


def open(name: str, wanted: Wanted) -> Opened:
    """The table in ``name``."""
    return Opened(name, library("pyarrow.parquet", "arrow"), wanted.columns)


class Opened:
    """A ``Tabular`` on a Parquet file."""

    def __init__(self, name: str, parquet: Any, columns: tuple[str, ...] | None) -> None:
        self.where = name
        with reading(name, WHAT):
            self._file = parquet.ParquetFile(
                name, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True
            )
        try:
            with reading(name, WHAT):
                self.schema = readable(self._file.schema_arrow)
                self._columns = None if columns is None else list(columns)
                chosen(name, self.schema.names, columns, "column")
                self.rows: int | None = self._file.metadata.num_rows
        except BaseException:
            self.close()
            raise
        if columns is not None:
            pa = library("pyarrow", "arrow")
            fields = [self.schema.field(each) for each in columns]
            self.schema = pa.schema(fields, self.schema.metadata)

    def part(self) -> None:
        """It has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``; groups without a wanted row are not read."""
        groups, first, seen = [], None, 0
        with reading(self.where, WHAT):
            metadata = self._file.metadata
            for index in range(metadata.num_row_groups):
                rows = metadata.row_group(index).num_rows
                if seen + rows > start and (stop is None or seen < stop):
                    first = seen if first is None else first
                    groups.append(index)
                seen += rows
        if first is None:
            return iter(())
        end = None if stop is None else stop - first
        return window(self._decoded(groups), start - first, end)

    def _decoded(self, groups: list[int]) -> Iterator[Any]:
        with reading(self.where, WHAT):
            for batch in self._file.iter_batches(
                batch_size=self._rows_a_batch(), row_groups=groups, columns=self._columns
            ):
                # Not every writer makes checksums; strings are not looked at by decoding them.
                # It takes 6 % of the time.
                batch.validate(full=True)
                # Columns come in the file's order.
                yield batch if self._columns is None else batch.select(self._columns)

    def _rows_a_batch(self) -> int:
        """Rows of about ``PIECE`` bytes, once decoded."""
        width = 0.0
        for field in self.schema:
            try:
                width += field.type.bit_width / 8
            except ValueError:
                width += _GUESS
        metadata = self._file.metadata
        encoded = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        width = max(width, encoded / max(metadata.num_rows, 1), 1.0)
        return max(16, int(PIECE / width))

    def retype(self, types: Mapping[str, Any]) -> bool:
        """The file has types."""
        return False

    def close(self) -> None:
        """See ``Tabular``."""
        self._file.close(force=True)
