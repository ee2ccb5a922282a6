"""polars' series and frames, through Arrow: columns are built on their bytes, without a copy.

polars pickles everything into the stream. Here a series is sent as the Arrow arrays that it
consists of (string views stay views, chunks stay chunks), and a frame as its series. Categoricals
and enums, which polars copies on import, are sent as their codes, with the categories by value.
Sortedness is kept.

Types without an Arrow form (128-bit integers) are sent in polars' own serialisation, out of the
stream, and cannot be shared; nor can a column of Python objects, which polars refuses to serialise.
Lazy frames are in ``lazy``. Without pyarrow, and before polars 2, whose categoricals differ, polars
objects use their own pickling.
"""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from typing import Any

import polars as pl


def reducer(kind: type) -> Any:
    """Return the reducer for a class; see ``adapters``."""
    if find_spec("pyarrow") is None or int(pl.__version__.partition(".")[0]) < 2:
        return None
    if kind is pl.LazyFrame:
        from . import lazy

        return lazy.reduce
    return {pl.Series: _reduce_series, pl.DataFrame: _reduce_frame}.get(kind)


def _reduce_frame(frame: Any, buffers: Any) -> Any:
    return build_frame, (frame.get_columns(), frame.height)


def build_frame(columns: list[Any], height: int) -> Any:
    """Return the frame that ``_reduce_frame`` described. A frame without columns still has a
    height."""
    if columns or not height:
        # By name: an empty name would be replaced otherwise.
        return pl.DataFrame({column.name: column for column in columns})
    return pl.DataFrame({"none": pl.repeat(None, height, dtype=pl.Null, eager=True)}).drop("none")


def _reduce_series(series: Any, buffers: Any) -> Any:
    dtype = series.dtype
    name, order = series.name, _order(series)
    kind = dtype.base_type()
    if kind is pl.Enum:
        return _build_enum, (series.to_physical(), dtype.categories.to_list(), name, order)
    if kind is pl.Categorical:
        words = dtype.categories.to_series().to_list()
        return _build_categorical, (series.to_physical(), dtype, words, name, order)
    inner = _leaves(dtype)
    if pl.Object in inner:
        return NotImplemented  # polars reports the problem
    if inner & {pl.Int128, pl.UInt128}:
        buffers.pickled.append(f"polars Series of dtype {dtype}")
        return _build_serialised, (pickle.PickleBuffer(series.__getstate__()),)
    import pyarrow as pa

    if inner & {pl.Enum, pl.Categorical}:
        # The metadata of a table's field contains the categories.
        table = series.to_frame().to_arrow(compat_level=pl.CompatLevel.newest())
        return _build_nested, (table, name, order)
    return _build_series, (pa.chunked_array(series), name, order)


def _leaves(dtype: Any) -> set[Any]:
    """Return the classes of a dtype and of the dtypes inside it."""
    found = {dtype.base_type()}
    inner = getattr(dtype, "inner", None)
    if inner is not None:
        found |= _leaves(inner)
    for field in getattr(dtype, "fields", ()):
        found |= _leaves(field.dtype)
    return found


def _order(series: Any) -> bool | None:
    """Return the known sort order: ascending (False), descending (True), unknown (None)."""
    flags = series.flags
    if flags["SORTED_ASC"]:
        return False
    return True if flags["SORTED_DESC"] else None


def _named(series: Any, name: str, order: bool | None) -> Any:
    series = series.alias(name)
    return series if order is None else series.set_sorted(descending=order)


def _build_series(pieces: Any, name: str, order: bool | None) -> Any:
    return _named(pl.from_arrow(pieces, rechunk=False), name, order)


def _build_nested(table: Any, name: str, order: bool | None) -> Any:
    frame: Any = pl.from_arrow(table, rechunk=False)
    return _named(frame.to_series(), name, order)


def _build_enum(numbers: Any, words: list[str], name: str, order: bool | None) -> Any:
    return _named(numbers.cat.to(pl.Enum(words)), name, order)


def _build_categorical(
    numbers: Any, dtype: Any, words: list[str | None], name: str, order: bool | None
) -> Any:
    """Build a series of categories. The numbers mean the same words here if these were met in the
    same order, as in a worker that has met no others. Then the numbers stay where they are."""
    # polars forgets words that no series uses: this holds them until the result uses them.
    known = pl.Series(words, dtype=dtype)
    mine = known.to_physical()
    if not (mine == pl.int_range(len(words), eager=True)).all():
        numbers = mine.gather(numbers)
    return _named(numbers.cat.to(dtype), name, order)


def _build_serialised(state: Any) -> Any:
    series = pl.Series.__new__(pl.Series)
    series.__setstate__(bytes(state))
    return series
