"""pyarrow's arrays: a slice of plain data is sent without the rest of its parent.

pyarrow pickles by protocol 5, buffer by buffer, and an array that is a slice shares the buffers of
its parent: all of them would be sent (apache/arrow#26685). In shared memory that costs nothing, so
a slice stays one. In plain memory it is cut out first, as Ray does
(``ray/_private/arrow_serialization.py``); here by Arrow's own concatenation of one array, as
apache/arrow#50159 proposes it for pyarrow itself.

Tables, batches and chunked arrays consist of arrays, so the same is true of them, and of everything
in pandas and polars that uses Arrow. Nested, dictionary and extension types need no code here.
Tables that were loaded are in ``tables``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from ..._memory.segment import registry
from . import tables

# A slice is cut out if its parent has more than this many times its bytes: cutting costs a copy of
# the slice, into fresh pages.
_WASTE = 1.25
# Below this, sending all of it costs no more.
_SMALL = 4096


def reducer(kind: type) -> Any:
    """Return the reducer for a class; see ``adapters``."""
    if kind is pa.Table:
        return tables.reduce
    return _reduce if issubclass(kind, pa.Array) else None


def _reduce(array: Any, buffers: Any) -> Any:
    if array.get_total_buffer_size() <= _SMALL or in_shared_memory(array):
        return NotImplemented
    cut = _without_rest(array)
    return NotImplemented if cut is array else cut.__reduce__()


def in_shared_memory(array: Any) -> bool:
    """Return True if all buffers of a pyarrow array are in a segment, or have no bytes."""
    dictionary = getattr(array, "dictionary", None)
    return all(
        buffer is None or not buffer.size or registry.find(buffer.address) is not None
        for buffer in array.buffers()
    ) and (dictionary is None or in_shared_memory(dictionary))


def _without_rest(array: Any) -> Any:
    """Return the same elements on buffers with little else in them; the array itself if its buffers
    are such."""
    if array.get_total_buffer_size() <= _WASTE * _bytes_of_elements(array):
        return array
    try:
        if pa.types.is_string_view(array.type):
            return array.cast(pa.large_string()).cast(pa.string_view())
        if pa.types.is_binary_view(array.type):
            return array.cast(pa.large_binary()).cast(pa.binary_view())
        return pa.concat_arrays([array])
    except pa.ArrowNotImplementedError:
        return array  # a type that Arrow cannot concatenate is sent with its parent


def _bytes_of_elements(array: Any) -> int:
    """Return how many of the buffers' bytes belong to the elements of the array."""
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        # ``nbytes`` counts the whole buffers that views point into. A view has 16 bytes, its length
        # first; it holds up to 12 bytes of text itself.
        views = np.frombuffer(array.buffers()[1], np.int32)
        lengths = views[4 * array.offset : 4 * (array.offset + len(array)) : 4]
        return 16 * len(array) + int(lengths[lengths > 12].sum(dtype=np.int64))
    return int(array.nbytes)
