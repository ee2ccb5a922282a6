"""Arrow tables that were loaded: sent as the bytes that they were opened from.

A table is pickled array by array, chunk by chunk: the bytes per task then grow with the number of
chunks, and so with the data. A table that ``load`` made is in a few segments in Arrow's own format
(a file or a stream, "IPC"), which describes it. So it is sent as references to those bytes, and
opened again by the receiver without a copy: the same few bytes per task at any size. A slice of it,
or a selection of its columns, is another table, and is sent chunk by chunk; a block has few chunks.
"""

from __future__ import annotations

import pickle
import weakref
from typing import Any

import pyarrow as pa

# The bytes; True for Arrow's file format, False for a stream; the columns, None for all.
Part = tuple[Any, bool, tuple[int, ...] | None]

# Tables by their id, with the bytes that they were opened from, while they exist.
_known: dict[int, tuple[weakref.ref[Any], tuple[Part, ...], tuple[int, int] | None]] = {}


def open_table(parts: tuple[Part, ...], rows: tuple[int, int] | None = None) -> Any:
    """Open a table on its bytes.

    Args:
        parts: its parts in order, with the same columns each.
        rows: a start and a stop, None for all.
    """
    tables = [_opened(*part) for part in parts]
    table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
    if rows is not None:
        table = table.slice(rows[0], rows[1] - rows[0])
    key = id(table)
    _known[key] = (weakref.ref(table, lambda _: _known.pop(key, None)), parts, rows)
    return table


def _opened(bytes_: Any, is_file: bool, columns: tuple[int, ...] | None) -> Any:
    buffer = pa.py_buffer(bytes_)
    with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(buffer) as reader:
        table = reader.read_all()
    return table if columns is None else table.select(list(columns))


def reduce(table: Any, buffers: Any) -> Any:
    """Reduce a table."""
    known = _known.get(id(table))
    if known is None or known[0]() is not table:
        return NotImplemented
    _, parts, rows = known
    return open_table, (tuple((pickle.PickleBuffer(view), *how) for view, *how in parts), rows)
