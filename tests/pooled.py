"""Tasks that the tests of the pool give to its workers."""

from __future__ import annotations

from typing import Any

import numpy as np

# Seconds that a task sleeps that never ends by itself.
FOR_EVER = 600.0

KEPT: list[np.ndarray[Any, Any]] = []


def double(x: int) -> int:
    return 2 * x


def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + b + c


def fail_on_odd(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x


def use(i: int) -> tuple[float, bool]:
    KEPT[0][i] += 1
    return float(KEPT[0][i]), KEPT[0].flags.writeable
