"""Frames in the order of some columns, and the bounds of their groups: for ``share`` with
``order_by=``, and for ``Pool.map_groups``.

If the rows of a group are adjacent, a group is a slice, and a slice of a shared frame is passed by
reference. Nulls are a separate group, whose key is None: no row is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np


class _Library(Protocol):
    """The operations on the frames of one library."""

    def columns(self, frame: Any) -> list[Any]:
        """Return the names of its columns."""
        ...

    def ordered(self, frame: Any, by: list[Any]) -> Any:
        """Return the rows sorted; those of equal keys stay in their order."""
        ...

    def changes(self, frame: Any, by: list[Any]) -> np.ndarray[Any, Any]:
        """Return the rows, from 1 on, whose key differs from that of the row before."""
        ...

    def distinct(self, frame: Any, by: list[Any]) -> int:
        """Return the number of different keys."""
        ...

    def keys(self, frame: Any, by: list[Any], rows: np.ndarray[Any, Any]) -> list[Any]:
        """Return the keys of some rows, each a tuple of Python values."""
        ...


def ordered(frame: Any, by: Any) -> Any:
    """Return ``frame`` with its rows in the order of the columns ``by``; itself if they are.

    Raises:
        TypeError: it is not a frame.
        ValueError: it has no such column.
    """
    library, names = _of(frame, by)
    return library.ordered(frame, names)


def grouped(frame: Any, by: Any) -> tuple[Any, list[int], list[Any]]:
    """Return a frame in which the rows of each group are adjacent, the end of each group, and the
    keys: values of the one column, or tuples if ``by`` names several.

    It is the given frame if that is true of it. Raises as ``ordered`` does.
    """
    library, names = _of(frame, by)
    if not len(frame):
        return frame, [], []
    changes = library.changes(frame, names)
    if len(changes) + 1 != library.distinct(frame, names):
        frame = library.ordered(frame, names)
        changes = library.changes(frame, names)
    starts = np.concatenate([[0], changes]).astype(np.int64)
    keys = library.keys(frame, names, starts)
    single = isinstance(by, str) or not isinstance(by, Iterable)
    return frame, [*changes.tolist(), len(frame)], [key[0] for key in keys] if single else keys


def _of(frame: Any, by: Any) -> tuple[_Library, list[Any]]:
    library = _library(frame)
    names = [by] if isinstance(by, str) or not isinstance(by, Iterable) else list(by)
    if not names:
        raise ValueError("by names at least one column")
    there = library.columns(frame)
    for name in names:
        if name not in there:
            raise ValueError(
                f"there is no column {name!r}; there are {', '.join(map(repr, there))}"
            )
    return library, names


def _library(frame: Any) -> _Library:
    kind = type(frame)
    name = kind.__module__.partition(".")[0]
    if name == "pandas" and hasattr(frame, "sort_values") and hasattr(frame, "columns"):
        return _Pandas()
    if name == "polars" and kind.__name__ == "DataFrame":
        return _Polars()
    if name == "pyarrow" and kind.__name__ in ("Table", "RecordBatch"):
        return _Arrow()
    raise TypeError(
        f"groups are of a frame of pandas or polars or an Arrow table, not of a {kind.__name__}"
    )


class _Pandas:
    def columns(self, frame: Any) -> list[Any]:
        return list(frame.columns)

    def ordered(self, frame: Any, by: list[Any]) -> Any:
        return frame.sort_values(by, kind="stable")

    def changes(self, frame: Any, by: list[Any]) -> np.ndarray[Any, Any]:
        import pandas as pd

        changed = np.zeros(max(len(frame) - 1, 0), bool)
        for name in by:
            codes = pd.factorize(frame[name])[0]  # one code for all nulls: -1
            changed |= codes[1:] != codes[:-1]
        return np.flatnonzero(changed) + 1

    def distinct(self, frame: Any, by: list[Any]) -> int:
        return int(frame.groupby(by, dropna=False, sort=False, observed=True).ngroups)

    def keys(self, frame: Any, by: list[Any], rows: np.ndarray[Any, Any]) -> list[Any]:
        columns = [frame[name].iloc[rows] for name in by]
        nulls = [column.isna().to_numpy(dtype=bool) for column in columns]
        values = [column.tolist() for column in columns]
        return [
            tuple(
                None if null[at] else value[at] for value, null in zip(values, nulls, strict=True)
            )
            for at in range(len(rows))
        ]


class _Polars:
    def columns(self, frame: Any) -> list[Any]:
        return list(frame.columns)

    def ordered(self, frame: Any, by: list[Any]) -> Any:
        return frame.sort(by, maintain_order=True)

    def changes(self, frame: Any, by: list[Any]) -> np.ndarray[Any, Any]:
        runs = frame.select(by).to_struct("by").rle_id().to_numpy()
        found: np.ndarray[Any, Any] = np.flatnonzero(runs[1:] != runs[:-1]) + 1
        return found

    def distinct(self, frame: Any, by: list[Any]) -> int:
        return int(frame.select(by).n_unique())

    def keys(self, frame: Any, by: list[Any], rows: np.ndarray[Any, Any]) -> list[Any]:
        return list(frame.select(by)[rows].rows())


class _Arrow:
    def columns(self, frame: Any) -> list[Any]:
        return list(frame.column_names)

    def ordered(self, frame: Any, by: list[Any]) -> Any:
        import pyarrow.compute as pc

        keys = self._keys(frame, by)  # dictionary-encoded values cannot be sorted by
        return frame.take(
            pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names])
        )

    def changes(self, frame: Any, by: list[Any]) -> np.ndarray[Any, Any]:
        changed = np.zeros(max(len(frame) - 1, 0), bool)
        for name in by:
            changed |= self._changed(self._plain(frame.column(name)))
        return np.flatnonzero(changed) + 1

    @staticmethod
    def _changed(column: Any) -> np.ndarray[Any, Any]:
        import pyarrow as pa
        import pyarrow.compute as pc

        before, after = column.slice(0, len(column) - 1), column.slice(1)
        other = pc.fill_null(pc.not_equal(before, after), False)
        if pa.types.is_floating(column.type):
            both = pc.and_(pc.is_nan(before), pc.is_nan(after))
            other = pc.and_not(other, pc.fill_null(both, False))
        null = pc.xor(pc.is_null(before), pc.is_null(after))
        found: np.ndarray[Any, Any] = pc.or_(other, null).to_numpy(zero_copy_only=False)
        return found

    @staticmethod
    def _plain(column: Any) -> Any:
        """Return a column in one piece, and without a dictionary."""
        import pyarrow as pa

        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if isinstance(whole, pa.ChunkedArray):  # so large that it stays in several pieces
            whole = pa.concat_arrays(whole.chunks)
        return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole

    def _keys(self, frame: Any, by: list[Any]) -> Any:
        import pyarrow as pa

        return pa.table({f"k{at}": self._plain(frame.column(name)) for at, name in enumerate(by)})

    def distinct(self, frame: Any, by: list[Any]) -> int:
        keys = self._keys(frame, by)
        return int(keys.group_by(keys.column_names).aggregate([]).num_rows)

    def keys(self, frame: Any, by: list[Any], rows: np.ndarray[Any, Any]) -> list[Any]:
        import pyarrow as pa

        taken = [frame.column(name).take(pa.array(rows)).to_pylist() for name in by]
        return list(zip(*taken, strict=True))
