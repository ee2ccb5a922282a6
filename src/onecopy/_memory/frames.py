"""pandas columns that stand on Arrow memory: how a shared one is pickled without a copy.

pandas pickles such a column (its default for strings, and so for the names of columns)
by way of ``combine_chunks``, which copies the column even when it is one piece: a shared
frame would move its strings with every task, and never be all in shared memory. Here the
one piece goes as it is. Everything else about frames is protocol 5's own doing.

Nothing of pandas or pyarrow is imported: there is such a column, so they are there.
"""

from __future__ import annotations

import copyreg
import sys
from typing import Any

from .registry import registry


def reduce_shared(obj: Any) -> Any:
    """A reducer for ``reducer_override``: for a column in shared memory, in one piece.

    One in plain memory is left to pandas, which also cuts a slice out of its parent.
    """
    module = sys.modules.get("pandas.core.arrays.arrow.array")
    if module is None or not isinstance(obj, module.ArrowExtensionArray):
        return NotImplemented
    column = obj._pa_array
    if column.num_chunks != 1:
        return NotImplemented
    (piece,) = column.chunks
    if not all(b is None or not b.size or registry.find(b.address) for b in piece.buffers()):
        return NotImplemented
    # What its own ``__getstate__`` returns, but for the copy.
    state = {**obj.__dict__, "_pa_array": piece, "_cache": {}}
    return copyreg.__newobj__, (type(obj),), state  # type: ignore[attr-defined]
