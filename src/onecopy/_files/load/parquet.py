"""Parquet: decoded some rows at a time, independently of its row groups; needs pyarrow.

A thread decodes the next batches while one is written; Arrow decodes the columns of a batch side by
side. A batch is read across the borders of row groups. So a file of one huge group does not cost a second
copy, and one of many tiny groups does not become many tiny chunks. Pages are read through a buffer
of 1 MiB per column: pyarrow's default of reading ahead would keep all of a group's compressed
bytes. From a URL, though, these are fetched together, a group at a time: reads of 1 MiB here and there
would be many requests, with what fsspec reads ahead of each. Checksums of pages are verified if the file has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import filters, places
from .ahead import ahead
from .interface import PIECE, Wanted, library, positions, reading
from .tables import readable, valid, window

WHAT = "Parquet file"
_BUFFER = 1 << 20
# The assumed size of a value of variable width, in bytes, if nothing better is known.
_GUESS = 32


def open(name: str, wanted: Wanted) -> Opened:
    """Open the table in ``name``."""
    return Opened(name, library("pyarrow.parquet", "arrow"), wanted)


def open_again(name: str, wanted: Wanted, footer: Any, *, in_pieces: bool) -> Opened:
    """Open a table whose description may be known.

    Args:
        name, wanted: as for ``open``.
        footer: of the file as it is now; None if it is to be read.
        in_pieces: of a row group no more than some rows are to be in memory.
    """
    return Opened(name, library("pyarrow.parquet", "arrow"), wanted, footer, in_pieces)


class Opened:
    """A ``Tabular`` on a Parquet file."""

    def __init__(
        self, name: str, parquet: Any, wanted: Wanted, footer: Any = None, in_pieces: bool = False
    ) -> None:
        self.where = name
        self._filter, self._meter = wanted.filter, wanted.meter
        with reading(name, WHAT):
            self._far = places.is_remote(name)
            at_once = self._far and not in_pieces
            self._file = parquet.ParquetFile(
                places.seekable(name, exact=True) if self._far else name,
                buffer_size=0 if at_once else _BUFFER,
                pre_buffer=at_once,
                metadata=footer,
                page_checksum_verification=True,
            )
        try:
            with reading(name, WHAT):
                schema = readable(self._file.schema_arrow)
                self._take(schema, wanted.columns)
                self.rows: int | None = self._file.metadata.num_rows
        except BaseException:
            self.close()
            raise

    def _take(self, schema: Any, columns: tuple[str, ...] | None) -> None:
        """Choose the columns to read, and note their positions in a batch."""
        self.schema = schema
        self._columns: list[str] | None = None
        if columns is None:
            return
        taken = positions(self.where, schema.names, columns, "column")
        self._columns = list(dict.fromkeys(columns))
        fields = [schema.field(at) for at in taken]
        self.schema = library("pyarrow", "arrow").schema(fields, schema.metadata)

    def part(self) -> None:
        """Return None: it has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``; groups without a wanted row are not read."""
        groups, first, seen = [], None, 0
        with reading(self.where, WHAT):
            metadata = self._file.metadata
            for index in range(metadata.num_row_groups):
                rows = metadata.row_group(index).num_rows
                within = seen + rows > start and (stop is None or seen < stop)
                if within and filters.may_be(self._filter, self._bounds(metadata, index)):
                    first = seen if first is None else first
                    groups.append(index)
                seen += rows
        if first is None:
            return iter(())
        end = None if stop is None else stop - first
        return window(self._decoded(groups), start - first, end)

    @property
    def footer(self) -> Any:
        """The description of the file."""
        return self._file.metadata

    def groups(self) -> list[tuple[int, int, int]]:
        """Return the row groups that may have a wanted row: number, rows, and decoded bytes of the
        columns that are read, as far as the file says."""
        groups = []
        width = self._width()
        with reading(self.where, WHAT):
            metadata = self._file.metadata
            for index in range(metadata.num_row_groups):
                group = metadata.row_group(index)
                if group.num_rows and filters.may_be(self._filter, self._bounds(metadata, index)):
                    columns = (group.column(at) for at in range(group.num_columns))
                    size = sum(
                        each.total_uncompressed_size for each in columns if self._reads(each)
                    )
                    size = max(size, int(width * group.num_rows))
                    groups.append((index, group.num_rows, size))
        return groups

    def _reads(self, column: Any) -> bool:
        path = column.path_in_schema
        wanted = self._columns
        return wanted is None or path in wanted or path.partition(".")[0] in wanted

    def some(self, start: int, stop: int) -> Iterator[Any]:
        """Yield the rows of these row groups."""
        return self._decoded(list(range(start, stop)))

    def forward(self, group: int) -> Iterator[Any]:
        """Yield the rows of a row group; nothing is decoded before it is asked for."""
        with reading(self.where, WHAT):
            size = self._rows_a_batch()
            decoded = self._file.iter_batches(size, row_groups=[group], columns=self._columns)
            for batch in decoded:
                valid(batch)
                yield batch if self._columns is None else batch.select(self._order(batch))

    def rows_of(self, group: int) -> int:
        """Return the number of rows of a row group."""
        return int(self._file.metadata.row_group(group).num_rows)

    def _order(self, batch: Any) -> list[int]:
        """Return the positions of the wanted columns in a batch: all columns of one name, in any
        order."""
        names = batch.schema.names
        wanted = dict.fromkeys(self.schema.names)
        return [at for name in wanted for at, each in enumerate(names) if each == name]

    def _bounds(self, metadata: Any, group: int) -> dict[str, tuple[Any, Any, Any]]:
        """Return the least and the greatest values of the compared columns, as far as known."""
        compared = {each.column for each in self._filter}
        bounds: dict[str, tuple[Any, Any, Any]] = {}
        if not compared:
            return bounds
        types = dict(zip(self.schema.names, self.schema.types, strict=True))
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            name = column.path_in_schema
            if name in compared and name in types and column.is_stats_set:
                found = column.statistics
                if found.has_min_max:
                    bounds[name] = (found.min, found.max, types[name])
        return bounds

    def _decoded(self, groups: list[int]) -> Iterator[Any]:
        rows = 0
        size = self._rows_a_batch()
        # What one call reads is fetched before its first batch.
        runs = [[group] for group in groups] if self._far else [groups]
        with reading(self.where, WHAT):
            for run in runs:
                decoded = self._file.iter_batches(size, row_groups=run, columns=self._columns)
                for batch in ahead(decoded):
                    rows += batch.num_rows
                    self._meter.share(self.where, rows / (self.rows or 1))
                    # Not every writer makes checksums, and decoding does not check strings.
                    valid(batch)
                    yield batch if self._columns is None else batch.select(self._order(batch))

    def _rows_a_batch(self) -> int:
        """Return the number of rows that take about ``PIECE`` bytes once decoded."""
        metadata = self._file.metadata
        encoded = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        width = max(self._width(), encoded / max(metadata.num_rows, 1), 1.0)
        return max(16, int(PIECE / width))

    def _width(self) -> float:
        """Return the bytes that a decoded row takes, as far as the types say."""
        width = 0.0
        for field in self.schema:
            try:
                width += field.type.bit_width / 8
            except ValueError:
                width += _GUESS
        return width

    def retype(self, types: Mapping[str, Any]) -> bool:
        """Return False: the file has types."""
        return False

    def close(self) -> None:
        """See ``Tabular``."""
        self._file.close(force=True)
