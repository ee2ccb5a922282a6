"""scipy.sparse matrices that are made of Python objects: sent as arrays, built again there.

A ``lil`` is rows of lists and a ``dok`` a dictionary: neither can stand in shared memory, and
their pickles go through the pipe, some 50 bytes an element. They travel as ``csr`` and
``coo`` instead. All other formats are made of arrays, and pickle by protocol 5.
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
    """See ``kinds``."""
    return _reduce if kind in _AS else None


def _reduce(matrix: Any, buffers: Any) -> Any:
    buffers.pickled.append(f"{type(matrix).__name__} of {matrix.nnz} elements")
    return _build, (matrix.asformat(_AS[type(matrix)]), matrix.format)


def _build(matrix: Any, format: str) -> Any:
    return matrix.asformat(format)
