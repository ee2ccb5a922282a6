"""Converts Arrow's columns to JSON text, a column at a time; needs pyarrow.

``lines`` returns the objects of some rows, one per line. Each column becomes an array of texts, by
the type of its values: numbers, strings, times, lists and objects with Arrow's own functions, which
process a column in C. Types that these do not support (maps, durations, strings with a character
that JSON escapes) go through Python's encoder, value by value. A number is written so that it is
read back unchanged; numbers that JSON does not have are null.
"""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from typing import Any

from ...errors import kind_of
from ..load.interface import library
from . import times
from .joining import joined

# The texts of a list are joined with 32-bit offsets.
_MOST = 1 << 30


def lines(batch: Any) -> Any:
    """Return the rows of a batch: an array of one text per row, with the line end.

    Raises:
        TypeError: a value has a type that JSON cannot represent.
        pyarrow.ArrowInvalid: a string is not valid text.
        ValueError: a time has no year from 1 to 9999, or no hour of a day.
    """
    batch.validate()
    if not batch.num_columns:
        pa = library("pyarrow", "arrow")
        return pa.array(["{}\n"] * batch.num_rows, pa.large_string())
    return _objects(batch.schema.names, [texts(each) for each in batch.columns], "}\n")


def texts(column: Any) -> Any:
    """Return the values of an array as JSON texts: large strings, none of them null."""
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    types, kind = pa.types, column.type
    if types.is_null(kind):
        return pa.array(["null"] * len(column), pa.large_string())
    if types.is_dictionary(kind):
        found = texts(column.dictionary).take(column.indices)
    else:
        convert = next((each for fits, each in _CONVERSIONS if fits(types, kind)), _by_value)
        found = convert(pa, pc, column)
    return pc.fill_null(found, "null")


def _objects(names: Sequence[str], values: Sequence[Any], end: str = "}") -> Any:
    """Return objects with these fields, joined row by row."""
    parts: list[Any] = []
    for name, each in zip(names, values, strict=True):
        opening = "," if parts else "{"
        parts += [f"{opening}{_ENCODER.encode(name)}:", each]
    return joined(*parts, end, "")


def _plain(pa: Any, pc: Any, column: Any) -> Any:
    """Return booleans and integers."""
    return column.cast(pa.large_string())


def _floats(pa: Any, pc: Any, column: Any) -> Any:
    """Return the shortest text that is read back as the same double. A whole number keeps its
    point, so that it is read back as a fraction."""
    values = column.cast(pa.float64())
    values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    found = values.cast(pa.large_string())
    whole = pc.match_substring_regex(found, "^-?[0-9]+$")
    return pc.if_else(whole, joined(found, ".0", ""), found)


def _strings(pa: Any, pc: Any, column: Any) -> Any:
    values = column.cast(pa.large_string())
    values.validate(full=True)  # they may not be valid UTF-8
    found = joined('"', values, '"', "")
    odd = pc.fill_null(pc.match_substring_regex(values, '["\\\\\\x00-\\x1f]'), False)
    if not pc.any(odd, min_count=0).as_py():
        return found
    escaped = [encode_basestring(each) for each in values.filter(odd).to_pylist()]
    return pc.replace_with_mask(found, odd, pa.array(escaped, pa.large_string()))


def _times(pa: Any, pc: Any, column: Any) -> Any:
    """Return ISO 8601, as Python writes it: with a fraction if it is not 0, with a zone if it is
    known."""
    times.require_known(column)
    if not times.in_minutes(column):
        return _by_value(pa, pc, column)
    found = column.cast(pa.large_string())
    found = pc.replace_substring(found, " ", "T", max_replacements=1)
    found = pc.replace_substring_regex(found, r"\.0+($|[Z+-])", r"\1", max_replacements=1)
    if getattr(column.type, "tz", None) is not None:
        found = pc.replace_substring_regex(found, "Z$", "+0000")
        found = pc.replace_substring_regex(found, "([0-9]{2})$", r":\1")
    return joined('"', found, '"', "")


def _decimals(pa: Any, pc: Any, column: Any) -> Any:
    """Return a whole number, or a string that keeps each digit."""
    found = column.cast(pa.large_string())
    return found if column.type.scale == 0 else joined('"', found, '"', "")


def _structs(pa: Any, pc: Any, column: Any) -> Any:
    kind = column.type
    if not kind.num_fields:
        found: Any = pa.array(["{}"] * len(column), pa.large_string())
    else:
        names = [kind.field(at).name for at in range(kind.num_fields)]
        # A field of a null object is null here as well.
        found = _objects(names, [texts(each) for each in column.flatten()])
    return pc.if_else(column.is_valid(), found, pa.scalar(None, pa.large_string()))


def _lists(pa: Any, pc: Any, column: Any) -> Any:
    inner = texts(column.flatten())  # of those that are not null
    if inner.nbytes > _MOST:
        return _by_value(pa, pc, column)
    lengths = pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
    arrays = pa.ListArray.from_arrays(offsets.cast(pa.int32()), inner.cast(pa.string()))
    found = joined("[", pc.binary_join(arrays, ",").cast(pa.large_string()), "]", "")
    return pc.if_else(column.is_valid(), found, pa.scalar(None, pa.large_string()))


def _by_value(pa: Any, pc: Any, column: Any) -> Any:
    """Return any values, one after another."""
    values = (_finite(each) for each in column.to_pylist())
    return pa.array([_ENCODER.encode(each) for each in values], pa.large_string())


_CONVERSIONS: list[tuple[Callable[[Any, Any], bool], Callable[[Any, Any, Any], Any]]] = [
    (lambda types, kind: types.is_boolean(kind) or types.is_integer(kind), _plain),
    (lambda types, kind: types.is_floating(kind), _floats),
    (
        lambda types, kind: (
            types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        ),
        _strings,
    ),
    (lambda types, kind: times.is_time(kind), _times),
    # A decimal of negative scale is written with an exponent.
    (lambda types, kind: types.is_decimal(kind) and kind.scale >= 0, _decimals),
    (lambda types, kind: types.is_struct(kind), _structs),
    (
        lambda types, kind: (
            types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        ),
        _lists,
    ),
]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


def _said(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    raise TypeError(f"JSON has nothing for {kind_of(value)}")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=_said, allow_nan=False
)
