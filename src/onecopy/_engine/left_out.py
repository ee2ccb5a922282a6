"""Missing values in blocks whose means are combined: ``reduce="mean"`` weights all rows of a block.

A function that leaves missing values out (``numpy.nanmean``, pandas' ``mean()``) returns the mean of
fewer rows than its block has. Its weight is then too large, which the result does not show; so the
program is told. Called in the owner, for the data that it has: not for the blocks of a scan, which
workers read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

# These never leave a value out: the mean of a block with NaN is NaN.
_KEEP_ALL = (np.mean, np.average, np.median)
_TEXT = (
    "reduce='mean' weights each block by all its rows, and there are missing values in rows {} to {}, "
    "whose mean is a number: if the function leaves them out, as numpy.nanmean and pandas do, this is "
    "not the mean of the whole. Return the sum and the count of each block, with reduce='sum', and "
    "divide in the end"
)


class LeftOut:
    """Warns once per call; see the module.

    Args:
        func: the function that is called on each block.
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self._done = any(func is each for each in _KEEP_ALL)

    def look(self, mean: Any, block: Any, start: int, rows: int) -> None:
        """Look at a block and its result."""
        if self._done or _is_missing(mean) or not _has_missing(block):
            return
        self._done = True
        # From here: map_blocks of many, of block_calls, the program.
        warnings.warn(_TEXT.format(start, start + rows - 1), RuntimeWarning, stacklevel=4)


def _is_missing(mean: Any) -> bool:
    """Return True for a mean that shows that a value is missing."""
    if mean is None:
        return True
    if hasattr(mean, "isna"):
        return bool(np.all(mean.isna().to_numpy()))
    if isinstance(mean, np.ma.MaskedArray):
        return bool(np.ma.getmaskarray(mean).all())
    try:
        return bool(np.isnan(np.asarray(mean, dtype="f8")).all())
    except (TypeError, ValueError):
        return False


def _has_missing(block: Any) -> bool:
    if isinstance(block, tuple):
        return any(_has_missing(each) for each in block)
    if isinstance(block, np.ma.MaskedArray):
        return bool(np.ma.getmaskarray(block).any())
    if isinstance(block, np.ndarray):
        return _has_nan(block)
    if hasattr(block, "iloc"):  # pandas: a series, or the columns of a frame
        columns = (
            [block] if block.ndim == 1 else [block.iloc[:, at] for at in range(block.shape[1])]
        )
        return any(_may_miss(column.dtype) and bool(column.hasnans) for column in columns)
    if hasattr(block, "column_names"):  # a table or batch of Arrow
        return any(column.null_count for column in block.columns)
    count = getattr(block, "null_count", 0)
    if not callable(count):  # an array of Arrow, or 0
        return bool(count)
    found = count()  # polars: of a series, or of each column of a frame
    return any(found.row(0)) if hasattr(found, "row") else bool(found)


def _may_miss(dtype: Any) -> bool:
    """Return True for numbers and times of which some may be missing: pandas' own integers, too."""
    whole = isinstance(dtype, np.dtype) and dtype.kind in "biu"
    return not whole and dtype.kind != "O"


def _has_nan(array: np.ndarray[Any, Any]) -> bool:
    if array.dtype.names:
        return any(_has_nan(array[name]) for name in array.dtype.names)
    if array.dtype.kind not in "fc" or not array.size:
        return False
    # A sum is NaN if one of the values is. It is quicker than a look at each, and makes no array.
    with np.errstate(all="ignore"):
        total = array.sum()
    return bool(np.isnan(total) and np.isnan(array).any())
