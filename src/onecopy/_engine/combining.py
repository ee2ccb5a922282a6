"""Two neighbouring results of ``map_blocks`` as one: for the reductions ``"sum"``, ``"min"``,
``"max"`` and ``"mean"``.

Small integers and booleans are added as 64-bit integers, as by ``numpy.sum``, and means in float64.

Results of pandas are combined by their labels, and a label that one of the two lacks keeps the value
of the other: a group may be in some blocks only. What is masked in one of two results is taken from
the other, as ``numpy.ma`` leaves out what is masked. Other arrays are combined by position, and
must have one shape: arrays that NumPy would stretch (a ``bincount`` of 1 and one of 3 numbers) are
two different counts.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

from ..errors import kind_of

Combine = Callable[[Any, Any], Any]


def added(a: Any, b: Any, reduce: str = "sum") -> Any:
    """Return the sum of two results."""
    return _combined(a, addend(b), operator.add, reduce)


def addend(value: Any) -> Any:
    """Return a result so that it can be added to others: wide enough, and no pyarrow scalar."""
    if _library(value) == "polars" and hasattr(value, "columns"):
        import polars as pl
        import polars.selectors as cs

        # Counts of polars have 32 bits.
        unsigned = cs.unsigned_integer()
        return value.with_columns(unsigned.cast(pl.UInt64), cs.signed_integer().cast(pl.Int64))
    dtype = getattr(value, "dtype", None)
    if dtype is None and _has_labels(value):
        small = {
            name: _wide(kind) for name, kind in value.dtypes.items() if _is_small_integer(kind)
        }
        return value.astype(small) if small and value.columns.is_unique else value
    return value.astype(_wide(dtype)) if _is_small_integer(dtype) else plain(value)


def _is_small_integer(dtype: Any) -> bool:
    # pandas' nullable types are no types of NumPy.
    return hasattr(dtype, "str") and dtype.kind in _INTEGERS and dtype.itemsize < 8


def _wide(dtype: Any) -> str:
    return "u8" if dtype.kind == "u" else "i8"


_INTEGERS = ("b", "i", "u")


def smaller(a: Any, b: Any) -> Any:
    """Return the smaller of two results, element by element."""
    return _combined(a, plain(b), _choice(a, "min"), "min")


def larger(a: Any, b: Any) -> Any:
    """Return the larger of two results, element by element."""
    return _combined(a, plain(b), _choice(a, "max"), "max")


def _choice(result: Any, reduce: str) -> Combine:
    """Return the function that picks elements of two results of this type."""
    if isinstance(result, str | bytes):
        return min if reduce == "min" else max
    if _library(result) == "polars" and hasattr(result, "columns"):
        import polars as pl

        return lambda a, b: pl.concat([a, b]).select(getattr(pl.all(), reduce)())
    import numpy as np

    return np.minimum if reduce == "min" else np.maximum


def _library(result: Any) -> str:
    return type(result).__module__.partition(".")[0]


class Mean:
    """Weights each block's mean by the block's rows."""

    def __init__(self) -> None:
        self._sum: Any = None
        self._rows: Any = 0
        self._type: Any = None  # of the first mean

    def add(self, result: Any, rows: int) -> None:
        """Add the mean of the next block."""
        result = plain(result)
        _check(result, result, "mean")
        if self._type is None:
            self._type = getattr(result, "dtype", None)
        weighted = _weighted(result, rows)
        if self._sum is None:
            self._sum = weighted
            self._rows = _weights(result, rows)
            return
        both = _has_labels(self._sum) and _has_labels(result)
        if both and self._sum.ndim == result.ndim and not _same_labels(self._sum, result):
            raise ValueError(
                "reduce='mean' cannot combine results whose labels differ: it weights a block by all "
                "its rows, and a group has only some of them. Return the sums and the counts of each "
                "block, with reduce='sum', and divide in the end"
            )
        self._sum = added(self._sum, weighted, "mean")
        self._rows = self._rows + _weights(result, rows)

    def total(self) -> Any:
        """Return the mean of all blocks, in the type of blocks' means if that is a floating one."""
        if self._sum is None:
            return None
        mean = self._sum / self._rows
        return mean.astype(self._type) if _is_short_float(self._type) else mean


def _weighted(mean: Any, rows: int) -> Any:
    """Return the sum that the mean of a block with that many rows stands for."""
    try:
        if not isinstance(mean, str | bytes | list | tuple):  # these are repeated by *
            return _exact(mean) * rows
    except TypeError:
        pass
    raise TypeError(
        f"reduce='mean' weights numbers and arrays, not {kind_of(mean)}: return the sum and the "
        "count of each block, and divide in the end"
    )


def _exact(mean: Any) -> Any:
    """Return a block's mean in a type in which a sum does not overflow."""
    dtype: Any = getattr(mean, "dtype", None)
    if not hasattr(dtype, "str"):  # a Python number, or a type of pandas' own
        return mean
    whole = dtype.kind in _INTEGERS
    return mean.astype("f8") if whole or _is_short_float(dtype) else mean


def _is_short_float(dtype: Any) -> bool:
    return hasattr(dtype, "str") and dtype.kind == "f" and dtype.itemsize < 8


def plain(value: Any) -> Any:
    """Return a pyarrow scalar's Python value: the scalars themselves cannot be added."""
    return value.as_py() if hasattr(value, "as_py") else value


def _weights(mean: Any, rows: int) -> Any:
    """Return the rows that a block's mean stands for: none where it is masked."""
    masked = _masked_array()
    if masked is None or not isinstance(mean, masked):
        return rows
    import numpy as np

    return np.where(np.ma.getmaskarray(mean), 0, rows)


def _combined(a: Any, b: Any, combine: Combine, reduce: str) -> Any:
    if _has_labels(a) and _has_labels(b) and a.ndim == b.ndim:
        return _by_label(a, b, combine, reduce)
    masked = _masked_array()
    if masked is not None and (isinstance(a, masked) or isinstance(b, masked)):
        return _unmasked(a, b, combine, reduce)
    _check(a, b, reduce)
    try:
        return combine(a, b)
    except TypeError as error:
        raise TypeError(
            f"reduce={reduce!r} cannot combine {kind_of(a)} and {kind_of(b)}: return numbers or "
            f"arrays, or give reduce= a function of two results ({error})"
        ) from error


def _check(a: Any, b: Any, reduce: str) -> None:
    """Raise for results that are combined by position, and do not match."""
    for each in (a, b):
        library = _library(each)
        if type(each).__name__ in ("DataFrame", "Table", "RecordBatch") and (
            library == "pyarrow"
            or (
                library == "polars"
                and (len(each) > 1 or not all(kind.is_numeric() for kind in each.dtypes))
            )
        ):
            raise TypeError(
                f"reduce={reduce!r} combines numbers, and {kind_of(each)} of {library} has no "
                "labels to tell its groups: join the results with reduce='concat', and group them once "
                "more, or return a frame of pandas"
            )
    columns, others = getattr(a, "columns", None), getattr(b, "columns", None)
    if isinstance(columns, list) and columns != others:  # polars adds them by position
        raise ValueError(f"reduce={reduce!r}: results have different columns: {columns}, {others}")
    shape, other = (tuple(getattr(each, "shape", ())) for each in (a, b))
    if shape and other and shape != other:
        raise ValueError(
            f"reduce={reduce!r} combines results of one shape, and blocks gave {shape} and {other}: "
            "return results of one length (np.bincount has minlength=), or use reduce='concat'"
        )


# --- masked arrays -----------------------------------------------------------


def _masked_array() -> Any:
    """Return the class of masked arrays, or None if the program has not imported NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy.ma.MaskedArray if numpy is not None else None


def _unmasked(a: Any, b: Any, combine: Combine, reduce: str) -> Any:
    """Combine two results of which one may be masked; masked is what is masked in both."""
    import numpy as np

    for each, other in ((a, b), (b, a)):
        if each is np.ma.masked:  # has a dtype of its own, which says nothing
            return other
    _check(a, b, reduce)
    both = combine(np.ma.asarray(a), np.ma.asarray(b))
    where: Any = np.ma.where
    one = where(np.ma.getmaskarray(b), a, both)
    return where(np.ma.getmaskarray(a), b, one).astype(both.dtype)


# --- labels ------------------------------------------------------------------


def _has_labels(result: Any) -> bool:
    return hasattr(result, "iloc") and hasattr(result, "index")


def _same_labels(a: Any, b: Any) -> bool:
    return all(one.equals(other) for one, other in zip(a.axes, b.axes, strict=True))


def _by_label(a: Any, b: Any, combine: Combine, reduce: str) -> Any:
    """Combine two series, or two frames, by their labels."""
    if _same_labels(a, b):
        return combine(a, b)
    for axis in (a.axes, b.axes):
        if not all(labels.is_unique for labels in axis):
            raise ValueError(
                f"reduce={reduce!r} combines results by their labels, and some label comes twice in "
                "the result of one block: group by it, or use reduce='concat'"
            )
    if a.ndim == 2 and not a.columns.equals(b.columns):
        a, b = _with_all_columns(a, b, reduce)
    return _by_row(a, b, combine)


def _with_all_columns(a: Any, b: Any, reduce: str) -> tuple[Any, Any]:
    columns = a.columns.union(b.columns)
    if len(columns) == len(a.columns) == len(b.columns):
        return a, b[a.columns]
    if reduce != "sum":
        raise ValueError(
            f"reduce={reduce!r}: blocks have different columns, and a value that is in no block has "
            f"no {reduce}: return result.stack(), which has one label for each value"
        )
    # A sum of nothing is 0, and stays right whatever is added later.
    one, other = (each.reindex(columns=columns, fill_value=0) for each in (a, b))
    return one, other


def _by_row(a: Any, b: Any, combine: Combine) -> Any:
    """Combine the rows that both have, and keep those that one has; dtypes stay."""
    import numpy as np
    import pandas as pd

    labels = a.index.union(b.index)
    in_a, in_b = a.index.get_indexer(labels), b.index.get_indexer(labels)
    both, only_a, only_b = (
        np.flatnonzero(chosen) for chosen in ((in_a >= 0) & (in_b >= 0), in_b < 0, in_a < 0)
    )
    common = labels[both]
    parts = [
        combine(a.take(in_a[both]).set_axis(common), b.take(in_b[both]).set_axis(common)),
        a.take(in_a[only_a]),
        b.take(in_b[only_b]),
    ]
    joined = pd.concat([part for part in parts if len(part)])
    order = np.argsort(np.concatenate([both, only_a, only_b]))
    return joined.take(order).set_axis(labels)
