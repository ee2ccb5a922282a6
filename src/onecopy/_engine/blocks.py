"""The size of ``map_blocks``' blocks, and the ways to combine their results.

A block is sized by bytes, so that the function's temporaries stay in the cache: summing a field of
200M records takes 0.54 s in blocks of 250,000 records (6 MB) and 0.78 s in blocks of 25 million.
How many blocks a worker gets at once is then decided by measured time (``_schedule.chunks``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, Literal, Protocol, get_args

from .._protocol import run_items
from ..errors import kind_of
from . import combining
from .combining import plain

BLOCK_BYTES = 6 << 20
# Small data is cut into this many blocks per worker, unless they would be smaller than this.
_PER_WORKER = 4
_LEAST_BYTES = 64 << 10

Reduce = Callable[[Any, Any], Any]
Reduction = Literal["sum", "min", "max", "mean", "count", "first", "last", "concat"]
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)


def lengths(arrays: Sequence[Any], axis: int) -> int:
    """Return the common length along ``axis``.

    Raises:
        TypeError: an argument has no length.
        ValueError: the axis does not exist, or the lengths differ.
    """
    found = []
    for number, data in enumerate(arrays):
        shape = getattr(data, "shape", None)
        sequence = hasattr(data, "__len__") and not isinstance(data, Mapping | Set)
        if shape is None and not sequence:
            raise TypeError(
                f"map_blocks cuts arrays, frames and sequences; "
                f"argument {number} is {kind_of(data)}"
            )
        dimensions = 1 if shape is None else len(shape)
        if axis and dimensions > 1 and not hasattr(data, "ndim"):  # tables of Arrow and polars
            raise ValueError(f"argument {number} is {kind_of(data)}, which is cut by rows: axis 0")
        if not 0 <= axis < dimensions:
            raise ValueError(
                f"argument {number} has {dimensions} dimension(s), so there is no axis {axis}"
            )
        found.append(run_items.length_of(data, axis))
    if len(set(found)) > 1:
        raise ValueError(f"the arguments have unequal lengths along axis {axis}: {found}")
    return found[0]


def bytes_per_row(data: Any, axis: int, length: int) -> float:
    """Return the bytes that pass through the cache when a row is read."""
    strides = getattr(data, "strides", None)
    nbytes = getattr(data, "nbytes", None)
    if nbytes is None and hasattr(data, "memory_usage"):
        usage = data.memory_usage()  # pandas: a frame reports it per column
        nbytes = usage.sum() if hasattr(usage, "sum") else usage
    elif nbytes is None and hasattr(data, "estimated_size"):
        nbytes = data.estimated_size()  # polars
    if nbytes is None:
        return 64.0  # a list: a guess at an object's size
    per_row = nbytes / max(length, 1)
    # A field of records: whole records pass through the cache.
    return float(max(per_row, abs(strides[axis])) if strides and axis == 0 else per_row)


def block_rows(arrays: Sequence[Any], axis: int, length: int, workers: int) -> int:
    """Return the number of rows per block, chosen by bytes."""
    row = max(sum(bytes_per_row(data, axis, length) for data in arrays), 1e-9)
    rows = BLOCK_BYTES / row
    fair = max(length / (_PER_WORKER * workers), _LEAST_BYTES / row)
    return max(1, int(min(rows, fair)))


class Fold(Protocol):
    """Combines the results of blocks, which come in order, into one value."""

    def add(self, result: Any, rows: int) -> None:
        """Add the next result, and the number of rows of its block."""
        ...

    def total(self) -> Any:
        """Return the combined value."""
        ...


def fold(reduce: Any, axis: int) -> Fold | None:
    """Return the way to combine results; None: no combination. Raises ValueError for an unknown
    name."""
    if reduce is None:
        return None
    if callable(reduce):
        return _Two(reduce)
    if reduce in _TWO:
        return _Two(_TWO[reduce], first=combining.addend if reduce == "sum" else plain)
    if reduce == "mean":
        return combining.Mean()
    if reduce == "count":
        return _Two(lambda count, result: count + _length(result), first=_length, empty=0)
    if reduce == "concat":
        return _All(axis)
    raise ValueError(
        f"unknown reduce {reduce!r}; it is a callable of two results, or one of "
        f"{', '.join(repr(each) for each in REDUCTIONS)}"
    )


def of_nothing(result: Any, reduce: Any) -> Any:
    """Return the combined value of no blocks at all, from the function's result for the empty
    data."""
    return _length(result) if reduce == "count" else result


_TWO: dict[str, Reduce] = {
    "sum": combining.added,
    "min": combining.smaller,
    "max": combining.larger,
    "first": lambda a, b: plain(b) if a is None else a,
    "last": lambda a, b: a if plain(b) is None else plain(b),
}


_NOTHING = object()


class _Two:
    """Combines two neighbouring results into one."""

    def __init__(
        self,
        combine: Reduce,
        first: Callable[[Any], Any] | None = None,
        empty: Any = None,
    ) -> None:
        self._combine = combine
        self._first = first
        self._value: Any = _NOTHING
        self._empty = empty

    def add(self, result: Any, rows: int) -> None:
        if self._value is _NOTHING:
            self._value = result if self._first is None else self._first(result)
        else:
            self._value = self._combine(self._value, result)

    def total(self) -> Any:
        return self._empty if self._value is _NOTHING else self._value


class _All:
    """Joins all results in one piece."""

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._parts: list[Any] = []

    def add(self, result: Any, rows: int) -> None:
        self._parts.append(result)

    def total(self) -> Any:
        return _concat(self._parts, self._axis) if self._parts else None


def _length(result: Any) -> int:
    """Return the number of elements of a result: a single value has one, None has none."""
    if result is None:
        return 0
    if isinstance(result, str | bytes) or not hasattr(result, "__len__"):
        return 1
    return 1 if getattr(result, "shape", None) == () else len(result)


def _concat(parts: list[Any], axis: int) -> Any:
    """Return one array, frame, list or string of all parts, in order."""
    first = parts[0]
    library = type(first).__module__.partition(".")[0]
    # The parts are of that library, so it is imported already.
    if hasattr(first, "iloc"):
        import pandas as pd

        return pd.concat(parts, axis=axis)
    if library == "pyarrow":
        return _concat_arrow([plain(part) for part in parts])
    if library == "polars":
        import polars as pl

        return pl.concat(parts)
    if isinstance(first, list | tuple | str | bytes):
        joined: Any = type(first)() if isinstance(first, list | tuple) else first[:0]
        return joined.join(parts) if isinstance(first, str | bytes) else sum(parts, joined)
    import numpy as np

    if all(np.ndim(part) == 0 for part in parts):
        return np.array(parts)
    concatenate = np.ma.concatenate if isinstance(first, np.ma.MaskedArray) else np.concatenate
    return concatenate(parts, axis=axis)


def _concat_arrow(parts: list[Any]) -> Any:
    """Return tables and batches as one table, arrays as a chunked array, scalars as an array."""
    import pyarrow as pa

    first = parts[0]
    if isinstance(first, pa.RecordBatch):
        return pa.Table.from_batches(parts)
    if isinstance(first, pa.Table):
        return pa.concat_tables(parts)
    if isinstance(first, pa.Array):
        return pa.chunked_array(parts)
    if isinstance(first, pa.ChunkedArray):
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], first.type)
    return pa.array(parts)
