"""memoryviews: pickled as their buffer, with format and shape."""

from __future__ import annotations

import pickle
from typing import Any

# The formats that ``memoryview.cast`` accepts.
_NATIVE = frozenset("cbB?hHiIlLqQnNfdP")


def reduce(view: memoryview, buffers: Any) -> Any:
    """Reduce a memoryview."""
    if view.format not in _NATIVE or not view.ndim or (view.ndim > 1 and not view.nbytes):
        # ``cast`` cannot make such a view: one of records, say, or of foreign byte order. NumPy
        # can, and gives all that is promised of an array.
        import numpy as np

        return memoryview, (np.asarray(view),)
    flat = view if view.c_contiguous else memoryview(bytearray(view.tobytes()))
    shape = view.shape if view.nbytes and view.ndim != 1 else None
    return build, (pickle.PickleBuffer(flat), view.format, shape, view.readonly)


def build(buffer: Any, format: str, shape: tuple[int, ...] | None, readonly: bool) -> memoryview:
    """Return the memoryview that ``reduce`` described."""
    view = memoryview(buffer)
    view = view.cast("B") if view.format != "B" or view.ndim != 1 else view
    if format != "B" or shape:
        view = view.cast(format, shape) if shape else view.cast(format)  # type: ignore[call-overload]
    return view.toreadonly() if readonly else view
