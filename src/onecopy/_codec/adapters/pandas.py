"""pandas columns in Arrow memory: pickled without a copy, read-only once shared.

pandas pickles such a column (its default for strings, and so for the names of columns) with
``combine_chunks``, which copies it even if it is one piece. A shared frame would send its strings
with every task, and never be completely in shared memory. Here its pieces are sent as they are;
``arrow`` cuts slices out.

Of a block, the columns of one type that stand in one array, protocol 5 has pandas make a copy
without gaps; of a slice of rows that would be all of it, with every task. Here it goes as the
view that it is.

Everything else about frames is protocol 5's own doing, on our arrays: blocks of numbers,
datetimes, timedeltas, periods, intervals, categoricals, masked and sparse columns, indexes.
An object column holds Python objects: those are pickled.
"""

from __future__ import annotations

import copyreg
from typing import Any

from pandas.core.arrays.arrow.array import ArrowExtensionArray
from pandas.core.internals.blocks import Block

_PICKLING = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")


def reducer(kind: type) -> Any:
    """See ``kinds``."""
    if issubclass(kind, Block):
        return _reduce_block if kind.__reduce__ is Block.__reduce__ else None
    if not issubclass(kind, ArrowExtensionArray):
        return None
    plain = all(getattr(kind, way) is getattr(ArrowExtensionArray, way) for way in _PICKLING)
    return _reduce if plain else None  # its own pickling is honoured


def _reduce_block(block: Any, buffers: Any) -> Any:
    return block.__reduce__()


def _reduce(column: Any, buffers: Any) -> Any:
    pieces = column._pa_array
    # The state that its own ``__getstate__`` returns, without the copy.
    state = {**column.__dict__, "_cache": {}}
    state["_pa_array"] = pieces.chunk(0) if pieces.num_chunks == 1 else pieces
    if buffers.sealing:
        # Arrow memory is never written to: assignment would give the column a new array, and the
        # frame would no longer be the shared one. It is refused, as for all other columns.
        state["_readonly"] = True
    return copyreg.__newobj__, (type(column),), state  # type: ignore[attr-defined]
