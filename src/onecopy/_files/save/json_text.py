"""Arrow's columns as the text of JSON, a column at a time; needs pyarrow.

``lines`` gives the objects of some rows, one a line. Each column becomes an array of texts, by
the kind of its values: numbers, strings, times, lists and objects by Arrow's own functions, which
run over a column in C. What these do not have (maps, durations, strings with a character that
JSON escapes) goes through Python's encoder, value by value. A number is written so that it is
read as the same one; those that JSON does not have are null.
"""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from typing import Any

from ..load.interface import library
from . import times
from .joining import joined

# The texts of a list are joined with offsets of 32 bits.
_MOST = 1 << 30


def lines(batch: Any) -> Any:
    """The rows of a batch: an array of one text a row, with the line end.

    Raises:
        TypeError: a value is of a kind that JSON has nothing for.
        pyarrow.ArrowInvalid: a string is not text.
        ValueError: a time is of no year from 1 to 9999, or of no hour of a day.
    """
    batch.validate()
    if not batch.num_columns:
        pa = library("pyarrow", "arrow")
        return pa.array(["{}\n"] * batch.num_rows, pa.large_string())
    return _objects(batch.schema.names, [texts(each) for each in batch.columns], "}\n")


def texts(column: Any) -> Any:
    """The values of an array as JSON's texts: large strings, none of them null."""
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
    """Objects of these fields, put together row by row."""
    parts: list[Any] = []
    for name, each in zip(names, values, strict=True):
        opening = "," if parts else "{"
        parts += [f"{opening}{_ENCODER.encode(name)}:", each]
    return joined(*parts, end, "")


def _plain(pa: Any, pc: Any, column: Any) -> Any:
    """Booleans and whole numbers."""
    return column.cast(pa.large_string())


def _floats(pa: Any, pc: Any, column: Any) -> Any:
    """The shortest text that is read as the same double. A whole one keeps its point: it is
    read as a fraction again."""
    values = column.cast(pa.float64())
    values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))
    found = values.cast(pa.large_string())
    whole = pc.match_substring_regex(found, "^-?[0-9]+$")
    return pc.if_else(whole, joined(found, ".0", ""), found)


def _strings(pa: Any, pc: Any, column: Any) -> Any:
    values = column.cast(pa.large_string())
    values.validate(full=True)  # they may not be UTF-8
    found = joined('"', values, '"', "")
    odd = pc.fill_null(pc.match_substring_regex(values, '["\\\\\\x00-\\x1f]'), False)
    if not pc.any(odd, min_count=0).as_py():
        return found
    escaped = [encode_basestring(each) for each in values.filter(odd).to_pylist()]
    return pc.replace_with_mask(found, odd, pa.array(escaped, pa.large_string()))


def _times(pa: Any, pc: Any, column: Any) -> Any:
    """ISO 8601, as Python writes it: a fraction where there is one, a zone where it is known."""
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
    """A whole number, or a string that keeps each digit."""
    found = column.cast(pa.large_string())
    return found if column.type.scale == 0 else joined('"', found, '"', "")


def _structs(pa: Any, pc: Any, column: Any) -> Any:
    kind = column.type
    if not kind.num_fields:
        found: Any = pa.array(["{}"] * len(column), pa.large_string())
    else:
        names = [kind.field(at).name for at in range(kind.num_fields)]
        # A field of a null object is null as well here.
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
    """Any values, one after another."""
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
    # One of a negative scale is written with an exponent.
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
    raise TypeError(f"JSON has nothing for a {type(value).__name__}")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=_said, allow_nan=False
)
