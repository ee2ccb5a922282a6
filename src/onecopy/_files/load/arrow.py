"""Arrow IPC: files (Feather version 2 among them) and streams; needs pyarrow.

An uncompressed file has the layout of memory: it is mapped, and none of its data is read. A
compressed one is decoded batch by batch, and its values are checked (offsets of strings, UTF-8).
Damage in a mapped file is found only when the data is used (``table.validate(full=True)`` reads all
of it, and finds all damage).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import BadFile
from .interface import Wanted, library, positions, reading
from .npy import file_segment
from .tables import readable, window

WHAT = "Arrow file"
# A stream ends with these bytes (Columnar format, "IPC Streaming Format").
_END = b"\xff\xff\xff\xff\0\0\0\0"


def open(name: str, wanted: Wanted) -> Opened:
    """Open the table in ``name``."""
    library("pyarrow", "arrow")
    segment, size = file_segment(name)
    return Opened(name, segment.view(0, size), wanted.columns)


class Opened:
    """A ``Tabular`` on a file of Arrow's format."""

    def __init__(self, name: str, data: Any, columns: tuple[str, ...] | None) -> None:
        self.where = name
        self._bytes = data
        self._is_file = bytes(self._bytes[:6]) == b"ARROW1"
        if bytes(self._bytes[:4]) == b"FEA1":
            raise BadFile(
                f"{name!r} is of Feather's version 1, which is not an Arrow file; write it again"
            )
        if not self._is_file and bytes(self._bytes[-8:]) != _END:
            raise BadFile(
                f"{name!r} is not a whole {WHAT}: there is no end of the stream at byte "
                f"{len(data)}; it is cut short, or still written to"
            )
        self.rows: int | None = None
        with reading(name, WHAT), self._reader() as reader:
            self.schema = readable(reader.schema)
        self._taken: tuple[int, ...] | None = None
        if columns is not None:
            self._taken = tuple(positions(name, self.schema.names, columns, "column"))
            fields = [self.schema.field(at) for at in self._taken]
            self.schema = library("pyarrow", "arrow").schema(fields, self.schema.metadata)

    def _reader(self, only: list[int] | None = None) -> Any:
        pa = library("pyarrow", "arrow")
        options = pa.ipc.IpcReadOptions(included_fields=only)
        opened = pa.ipc.open_file if self._is_file else pa.ipc.open_stream
        return opened(self._source(), options=options)

    def _source(self) -> Any:
        return library("pyarrow", "arrow").py_buffer(self._bytes)

    def _batches(self, reader: Any, span: tuple[int, int] | None = None) -> Iterator[Any]:
        if not self._is_file:
            yield from reader
            return
        for index in range(*(span or (0, reader.num_record_batches))):
            yield reader.get_batch(index)

    def sizes(self) -> list[tuple[int | None, int]] | None:
        """Return the rows and the bytes of each batch of a file, rows as None if a batch has to be
        decoded to know; None for a stream, whose batches can only be read in their order."""
        if not self._is_file:
            return None
        sizes: list[tuple[int | None, int]] = []
        with reading(self.where, WHAT), self._reader() as reader:
            count = reader.num_record_batches
            for batch in self._batches(reader):
                batch = batch if self._taken is None else batch.select(list(self._taken))
                if not _mapped(batch):
                    return [(None, len(self._bytes) // count)] * count
                sizes.append((batch.num_rows, batch.nbytes))
        return sizes

    def some(self, start: int, stop: int) -> Iterator[Any]:
        """Yield these batches of a file. Those that are mapped are not read here, as ``part`` does
        not read them."""
        with reading(self.where, WHAT), self._reader() as reader:
            for batch in self._batches(reader, (start, stop)):
                if not _mapped(batch):
                    break
                batch.validate()
                start += 1
                yield batch if self._taken is None else batch.select(list(self._taken))
        yield from self._decoded((start, stop))

    def part(self) -> tuple[Any, bool, tuple[int, ...] | None] | None:
        """See ``Tabular``; reads the description of each batch, and stops at the first whose bytes
        must be decoded."""
        rows = 0
        with reading(self.where, WHAT), self._reader() as reader:
            for batch in self._batches(reader):
                if not _mapped(batch):
                    return None
                rows += batch.num_rows
        self.rows = rows
        return self._bytes, self._is_file, self._taken

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """See ``Tabular``."""
        return window(self._decoded(), start, stop)

    def _decoded(self, span: tuple[int, int] | None = None) -> Iterator[Any]:
        with reading(self.where, WHAT):
            only = None if self._taken is None else sorted(set(self._taken))
            order = [only.index(at) for at in self._taken or ()] if only is not None else None
            rows = 0
            with self._reader(only) as reader:
                for batch in self._batches(reader, span):
                    # An offset beyond the data would be followed when batches are combined.
                    batch.validate(full=True)
                    rows += batch.num_rows
                    yield batch if order is None else batch.select(order)
            if span is None:
                self.rows = rows

    def retype(self, types: Mapping[str, Any]) -> bool:
        """Return False: the file has types."""
        return False

    def close(self) -> None:
        """Nothing to do: the mapping ends with its last view."""


def _mapped(batch: Any) -> bool:
    """Return True if the batch is in the file's own bytes."""
    from ..._codec.adapters.arrow import in_shared_memory

    return all(map(in_shared_memory, batch.columns))
