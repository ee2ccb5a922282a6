"""Frames in the order of some columns, and the bounds of their groups: for ``share`` with
``order_by=``, and for ``Pool.map_groups``.

If the rows of a group are adjacent, a group is a slice, and a slice of a shared frame is passed by
reference. Nulls are a separate group, whose key is None: no row is lost. 0.0 and -0.0 are one key,
as in a dict, and all NaN are one key: for pandas' own types that is the null.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from ..errors import kind_of


class _Library(Protocol):
    """The operations on the frames of one library."""

    def columns(self, frame: Any) -> list[Any]:
        """Return the names of its columns."""
        ...

    def ordered(self, frame: Any, by: list[Any]) -> Any:
        """Return the rows sorted; those of equal keys stay in their order."""
        ...

    def runs(self, frame: Any, by: list[Any]) -> tuple[np.ndarray[Any, Any], int]:
        """Return the rows, from 1 on, whose key differs from that of the row before, and the number
        of different keys."""
        ...

    def keys(self, frame: Any, by: list[Any], rows: np.ndarray[Any, Any]) -> list[Any]:
        """Return the keys of some rows, each a tuple of Python values."""
        ...


def ordered(frame: Any, by: Any) -> Any:
    """Return ``frame`` with its rows in the order of the columns ``by``; itself if they are.

    Raises:
        TypeError: it is not a frame, or ``by`` is values and no names.
        ValueError: it has no such column.
    """
    library, names = _of(frame, by, "order_by")
    return _sorted(library, frame, names)


def grouped(frame: Any, by: Any) -> tuple[Any, list[int], list[Any]]:
    """Return a frame in which the rows of each group are adjacent, the end of each group, and the
    keys: values of the one column, or tuples if ``by`` names several.

    It is the given frame if that is true of it. Raises as ``ordered`` does, and ValueError for keys
    that sorting does not bring together, such as sets.
    """
    library, names = _of(frame, by, "by")
    if not len(frame):
        return frame, [], []
    try:
        changes, distinct = library.runs(frame, names)
    except (TypeError, NotImplementedError) as error:  # lists cannot be compared
        raise _no_order(names) from error
    if len(changes) + 1 != distinct:
        frame = _sorted(library, frame, names)
        changes, distinct = library.runs(frame, names)
        if len(changes) + 1 != distinct:  # a group would be in two places, and one of them lost
            raise _no_order(names)
    starts = np.concatenate([[0], changes]).astype(np.int64)
    keys = library.keys(frame, names, starts)
    try:
        set(keys)
    except TypeError as error:
        raise ValueError(
            f"the values of {', '.join(map(repr, names))} cannot be the keys of a dict ({error}): group by "
            "a column of numbers, text or times"
        ) from error
    single = isinstance(by, str) or not isinstance(by, Iterable)
    return frame, [*changes.tolist(), len(frame)], [key[0] for key in keys] if single else keys


def _sorted(library: _Library, frame: Any, names: list[Any]) -> Any:
    try:
        return library.ordered(frame, names)
    except (TypeError, NotImplementedError) as error:
        raise _no_order(names) from error


def _no_order(names: list[Any]) -> ValueError:
    return ValueError(
        f"the values of {', '.join(map(repr, names))} have no order in which equal ones are adjacent "
        "(lists, sets, values of several types): group by a column of numbers, text or times"
    )


def _of(frame: Any, by: Any, argument: str) -> tuple[_Library, list[Any]]:
    """Return the library of a frame, and the names in ``by``, which is the value of ``argument``."""
    library = _library(frame)
    there = library.columns(frame)
    names: list[Any] = []
    single = isinstance(by, str | bytes) or not isinstance(by, Iterable)
    for name in [by] if single else by:
        if not _is_one(name, there):
            raise _refusal(by, name, there, argument)
        if there.count(name) > 1:
            raise ValueError(f"there are {there.count(name)} columns {name!r}: give them two names")
        names.append(name)
    if not names:
        raise ValueError(f"{argument} names at least one column")
    return library, names


def _is_one(name: Any, there: list[Any]) -> bool:
    """Return True for the name of a column; a value that cannot be hashed is none."""
    try:
        return name in set(there)
    except TypeError:
        return False


def _is_values(given: Any) -> bool:
    """Return True for a column, an array, an expression or a function: no name, and no plain list."""
    library = type(given).__module__.partition(".")[0]
    return callable(given) or library in _LIBRARIES or isinstance(given, np.ndarray)


_LIBRARIES = ("pandas", "polars", "pyarrow")


def _refusal(by: Any, name: Any, there: list[Any], argument: str) -> Exception:
    """Return the error for what is no name of a column; for a column itself with the change that
    this call needs."""
    known = ", ".join(map(repr, there))
    if _is_values(by):
        values, named = by, [by]
    elif _is_values(name):
        values, named = name, list(by) if isinstance(by, list | tuple) else [name]
    else:
        return ValueError(f"there is no column {name!r}; there are {known}")
    names = [each if _is_one(each, there) else getattr(each, "name", None) for each in named]
    change = "keys that are no column are first added to the frame as one"
    if all(_is_one(each, there) for each in names):
        # It may be the column itself, or something made of it, which has its name too.
        change = f"write {argument}={(names[0] if values is by else names)!r}; other {change}"
    kind = "a function" if callable(values) else f"an object of type {type(values).__name__}"
    return TypeError(
        f"{argument}= takes the name of a column, or a list of names, and not {kind}: {change}; "
        f"there are {known}"
    )


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
        f"groups are of a frame of pandas or polars or an Arrow table, not of {kind_of(frame)}"
    )


class _Pandas:
    def columns(self, frame: Any) -> list[Any]:
        return list(frame.columns)

    def ordered(self, frame: Any, by: list[Any]) -> Any:
        import pandas as pd

        if not any(isinstance(frame[name].dtype, pd.ArrowDtype) for name in by):
            return frame.sort_values(by, kind="stable")
        keys = pd.DataFrame({at: self._plain(frame[name]).array for at, name in enumerate(by)})
        return frame.iloc[keys.sort_values(list(keys.columns), kind="stable").index]

    def runs(self, frame: Any, by: list[Any]) -> tuple[np.ndarray[Any, Any], int]:
        import pandas as pd

        codes, count = np.zeros(len(frame), np.int64), 1
        for name in by:
            more = pd.factorize(self._plain(frame[name]))[0].astype(np.int64)
            more += 1  # the code of nulls is -1
            if count > 1:  # below the square of the number of rows: no overflow
                more += codes * (int(more.max()) + 1)
            codes, found = pd.factorize(more)
            count = len(found)
        return np.flatnonzero(codes[1:] != codes[:-1]) + 1, count

    @staticmethod
    def _plain(column: Any) -> Any:
        """Return a column in which equal values are the same bits, if its values are Arrow's."""
        import pandas as pd

        if not isinstance(column.dtype, pd.ArrowDtype):
            return column
        import pyarrow as pa

        plain = _Arrow.plain(pa.chunked_array([pa.array(column)]))
        return pd.Series(plain, column.index, dtype=pd.ArrowDtype(plain.type))

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

    def runs(self, frame: Any, by: list[Any]) -> tuple[np.ndarray[Any, Any], int]:
        if any(str(kind) == "Object" for kind in frame.select(by).dtypes):
            raise TypeError("objects have no order")
        runs = frame.select(by).to_struct("by").rle_id().to_numpy()
        found: np.ndarray[Any, Any] = np.flatnonzero(runs[1:] != runs[:-1]) + 1
        return found, int(frame.select(by).n_unique())

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

    def runs(self, frame: Any, by: list[Any]) -> tuple[np.ndarray[Any, Any], int]:
        keys = self._keys(frame, by)
        changed = np.zeros(max(len(frame) - 1, 0), bool)
        for column in keys.columns:
            changed |= self._changed(_in_one_piece(column))
        distinct = keys.group_by(keys.column_names).aggregate([]).num_rows
        return np.flatnonzero(changed) + 1, int(distinct)

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
    def plain(column: Any) -> Any:
        """Return a column in one piece, without a dictionary, in which equal values are the same
        bits: Arrow's own ``group_by`` compares bits."""
        import pyarrow as pa
        import pyarrow.compute as pc

        whole = _in_one_piece(column)
        if pa.types.is_dictionary(whole.type):
            whole = whole.dictionary_decode()
        if pa.types.is_null(whole.type):
            whole = whole.cast(pa.int8())  # nulls cannot be compared without a type
        if pa.types.is_float16(whole.type):
            whole = whole.cast(pa.float32())  # has the same values, and more functions
        if pa.types.is_floating(whole.type):
            zero, nan = (pa.scalar(value, whole.type) for value in (0.0, float("nan")))
            # -0.0 + 0.0 is 0.0. NaN of any bits become one; nulls stay nulls.
            whole = pc.if_else(pc.is_nan(whole), nan, pc.add(whole, zero))
        return whole

    def _keys(self, frame: Any, by: list[Any]) -> Any:
        import pyarrow as pa

        return pa.table({f"k{at}": self.plain(frame.column(name)) for at, name in enumerate(by)})

    def keys(self, frame: Any, by: list[Any], rows: np.ndarray[Any, Any]) -> list[Any]:
        import pyarrow as pa

        taken = [frame.column(name).take(pa.array(rows)).to_pylist() for name in by]
        return list(zip(*taken, strict=True))


def _in_one_piece(column: Any) -> Any:
    import pyarrow as pa

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    # So large a column stays in several pieces.
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
