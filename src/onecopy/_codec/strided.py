"""The part of a message's plan that needs NumPy: copying without gaps.

Imported only where NumPy already is; see ``arrays``.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def gather(array: Any, view: memoryview, strides: tuple[int, ...]) -> None:
    """Copy a sparse array's elements into ``view``, laid out by ``strides``."""
    np.copyto(np.ndarray(array.shape, array.dtype, view, 0, strides), array.view(np.ndarray))
