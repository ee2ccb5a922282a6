"""An image and filters, and what is done with them: for ``image_filters`` and its cold form."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.signal


def filters(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(42)
    return [random.normal(size=(4, 4)) for _ in range(count)]


def convolved(image: np.ndarray, kernel: np.ndarray) -> Any:
    """The task: every fifth row and column of the convolution."""
    return scipy.signal.convolve2d(image, kernel)[::5, ::5]
