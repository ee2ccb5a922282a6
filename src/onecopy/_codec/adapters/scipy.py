"""scipy.sparse matrices made of Python objects: sent as arrays and rebuilt by the receiver.

A ``lil`` is rows of lists and a ``dok`` a dictionary: neither can be in shared memory, and their
pickles go through the pipe, about 50 bytes per element. They are sent as ``csr`` and ``coo``
instead. All other formats consist of arrays and are pickled with protocol 5.
"""

from __future__ import annotations

from typing import Any

import scipy.sparse as sparse

_AS = {
    sparse.lil_array: "csr",
    sparse.lil_matrix: "csr",
    sparse.dok_array: "coo",
    sparse.dok_matrix: "coo",
}


def reducer(kind: type) -> Any:
    """Return the reducer for a class; see ``adapters``."""
    return _reduce if kind in _AS else None


def _reduce(matrix: Any, buffers: Any) -> Any:
    buffers.pickled.append(f"{type(matrix).__name__} of {matrix.nnz} elements")
    return _build, (matrix.asformat(_AS[type(matrix)]), matrix.format)


def _build(matrix: Any, format: str) -> Any:
    return matrix.asformat(format)
