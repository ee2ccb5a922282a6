"""The parts of a message's plan that need NumPy: copying without gaps, and common elements.

Imported only where NumPy already is; see ``arrays``.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def gather(array: Any, view: memoryview, strides: tuple[int, ...]) -> None:
    """Copy a sparse array's elements into ``view``, laid out by ``strides``."""
    np.copyto(np.ndarray(array.shape, array.dtype, view, 0, strides), array.view(np.ndarray))


def have_common_elements(a: Any, b: Any) -> bool:
    """Return True if a byte of one is also a byte of the other, or if that is too hard to tell."""
    try:
        most: Any = 1000  # NumPy's type hints only allow 0 and -1
        return bool(np.shares_memory(a, b, max_work=most))
    except np.exceptions.TooHardError:
        return True
