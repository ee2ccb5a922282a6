"""Conversion between tables and arrays, piece by piece: columns as arrays, arrays as columns.

A table's columns become arrays of an archive, or fields of records. In the other direction, fields
of records, arrays of one length in an archive, or the columns of a matrix become a table's columns.
Data without an equivalent (strings of any length, nulls among integers, fields that are arrays) is
refused by name: the caller may leave it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import BadFile
from . import load
from .load import tables
from .load.arrays import rows_a_piece
from .load.interface import Stream, Wanted, library
from .save import writing
from .save.arrays import evenly

Pick = Callable[[Any], Any]


def arrays_of(
    names: Sequence[str], format: str, wanted: Wanted, where: str, *, records: bool
) -> dict[str, Stream]:
    """Return the columns of a table: each as an array, or all as fields of one array of records.

    Args:
        where: the file that errors name; ``names`` may be one that was made of it.

    Raises BadFile for a column that no array can hold.
    """
    with load.opened(names, wanted, format) as sources:
        schema = tables.agreed(sources, wanted)
        rows = tables.total_rows(sources, wanted)
        if rows is None:
            rows = sum(batch.num_rows for batch in tables.joined(sources, wanted))
    types = {field.name: numpy_type(field, where) for field in schema}
    if records:
        dtype = np.dtype(list(types.items()))
        blocks = partial(_blocks, names, format, wanted, where, dtype)
        return {"": Stream(where, (rows,), dtype, blocks)}
    made = {}
    for name, dtype in types.items():
        only = replace(wanted, columns=(name,), dtype=_of_one(wanted.dtype, name))
        blocks = partial(_blocks, names, format, only, where, dtype)
        made[name] = Stream(f"{where}:{name}", (rows,), dtype, blocks)
    return made


def _of_one(dtype: Any, name: str) -> Any:
    return dtype.get(name) if isinstance(dtype, dict) else dtype


def _blocks(
    names: Sequence[str], format: str, wanted: Wanted, where: str, dtype: np.dtype[Any]
) -> Iterator[np.ndarray[Any, Any]]:
    with load.opened(names, wanted, format) as sources:
        schema = tables.agreed(sources, wanted)
        for batch in tables.converted(sources, schema, wanted):
            if dtype.names is None:
                yield _values(batch.column(0), dtype, f"{where}:{schema.names[0]}")
                continue
            block = np.empty(batch.num_rows, dtype)
            for name, column in zip(dtype.names, batch.columns, strict=True):
                block[name] = _values(column, dtype[name], f"{where}:{name}")
            yield block


def numpy_type(field: Any, where: str) -> np.dtype[Any]:
    """Return the dtype of a column's values; raise BadFile if there is none."""
    types = library("pyarrow", "arrow").types
    kind = field.type
    if types.is_date32(kind):
        return np.dtype("M8[D]")
    if types.is_date64(kind):
        return np.dtype("M8[ms]")
    if types.is_duration(kind):
        return np.dtype(f"m8[{kind.unit}]")
    if types.is_timestamp(kind) and kind.tz is None:
        return np.dtype(f"M8[{kind.unit}]")
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        made: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return made
    raise BadFile(
        f"{where!r}: column {field.name!r} of {kind} has no equal among arrays; give it another "
        "type, or name the columns without it"
    )


def _values(column: Any, dtype: np.dtype[Any], where: str) -> np.ndarray[Any, Any]:
    """Return a column's values; nulls become NaN or NaT, if the type has them."""
    if column.null_count and dtype.kind not in "fMm":
        raise BadFile(f"{where!r} has nulls, which {dtype} does not have; a type such as f8 does")
    values: np.ndarray[Any, Any] = column.to_numpy(zero_copy_only=False)
    return values.astype(dtype, copy=False)


def table_of(streams: dict[str, Stream], out: str) -> tuple[Any, Iterator[Any], int]:
    """Return arrays as a table: its schema, its batches, and the number of rows.

    Args:
        out: the target, for errors.

    Raises:
        BadFile: the arrays differ in length, have no rows, or have types that Arrow does not have.
    """
    pa = library("pyarrow", "arrow")
    for stream in streams.values():
        if not stream.shape:
            raise BadFile(f"{stream.where!r} holds a single value: there are no rows")
    picks = {name: _columns(name, stream, len(streams) > 1) for name, stream in streams.items()}
    lengths = {name: stream.shape[0] for name, stream in streams.items()}
    if len(set(lengths.values())) != 1:
        said = ", ".join(f"{name}: {length}" for name, length in lengths.items()) or "none"
        raise BadFile(f"arrays of one length make a table; there are {said}")
    step = min(rows_a_piece(each.shape, each.dtype) for each in streams.values())

    def batch(blocks: tuple[Any, ...]) -> Any:
        made = {}
        for block, columns in zip(blocks, picks.values(), strict=True):
            for name, pick in columns.items():
                made[name] = _arrow(pa, pick(block))
        return pa.RecordBatch.from_pydict(made)

    def batches() -> Iterator[Any]:
        evened = [evenly(stream.blocks(), step) for stream in streams.values()]
        for blocks in zip(*evened, strict=True):
            with writing(out):
                made = batch(blocks)
            yield made

    with writing(out):
        none = tuple(np.empty((0, *each.shape[1:]), each.dtype) for each in streams.values())
        schema = batch(none).schema
    return schema, batches(), next(iter(lengths.values()))


def _columns(name: str, stream: Stream, several: bool) -> dict[str, Pick]:
    """Return the columns of an array, each with a function that takes it from a block."""
    names = stream.dtype.names
    if names is not None and len(stream.shape) == 1 and not several:
        for field in names:
            if stream.dtype[field].shape or stream.dtype[field].names:
                raise BadFile(
                    f"{stream.where!r}: field {field!r} of {stream.dtype[field]} is no column; "
                    "name the fields without it"
                )
        return {field: partial(_field, field) for field in names}
    if names is None and len(stream.shape) == 1:
        return {name or "value": _itself}
    if names is None and len(stream.shape) == 2 and not several:
        return {str(at): partial(_column, at) for at in range(stream.shape[1])}
    raise BadFile(
        f"{stream.where!r}: {stream.shape} of {stream.dtype} does not make columns of a table"
    )


def _field(name: str, block: Any) -> Any:
    return block[name]


def _column(at: int, block: Any) -> Any:
    return block[:, at]


def _itself(block: Any) -> Any:
    return block


def _arrow(pa: Any, values: np.ndarray[Any, Any]) -> Any:
    """Return values for Arrow, which supports neither foreign byte orders nor strides."""
    native = values.dtype.newbyteorder("=")
    return pa.array(np.ascontiguousarray(values.astype(native, copy=False)))
