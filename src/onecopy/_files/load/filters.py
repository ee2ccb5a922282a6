"""``filter=``: simple comparisons, all of which a row must meet.

A comparison is evaluated as early as possible: on the keys of folders, before a file is opened; on
the statistics of a Parquet file, before a row group is decoded; and in any case on each row. A null
meets none.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ...errors import BadFile
from .interface import in_a_line, library

_KERNELS = {
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
_PYTHON = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXT = re.compile(r"\s*(.+?)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)


class Condition(NamedTuple):
    """A column, an operator (``==``, ``in`` and so on), and the value to compare with."""

    column: str
    how: str
    value: Any


def conditions(given: Any) -> tuple[Condition, ...]:
    """Return the caller's comparisons, checked: one or several, as tuples or as text.

    Raises:
        TypeError, ValueError: it is not a comparison.
    """
    if given is None:
        return ()
    if isinstance(given, str) or (isinstance(given, tuple) and len(given) == 3):
        given = [given]
    return tuple(_condition(each) for each in given)


def _condition(given: Any) -> Condition:
    if isinstance(given, str):
        found = _TEXT.fullmatch(given)
        if found is None:
            raise ValueError(f"filter={given!r}: it is a column, one of == != < <= > >=, a value")
        column, how, value = found.groups()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        return Condition(column, "==" if how == "=" else how, value)
    try:
        column, how, value = given
    except (TypeError, ValueError):
        raise TypeError(
            f"filter={given!r}: it is (column, how, value), or a list of such"
        ) from None
    how = "==" if how == "=" else how
    if how not in (*_KERNELS, "in", "not in"):
        raise ValueError(
            f"filter={given!r}: {how!r} is not one of {', '.join(_KERNELS)}, in, not in"
        )
    if how in ("in", "not in"):
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise TypeError(f"filter={given!r}: {how!r} takes a list of values")
        value = tuple(value)
    return Condition(str(column), how, value)


def mask(batch: Any, wanted: Iterable[Condition], where: str) -> Any:
    """Return a mask of the rows of a batch that meet all comparisons; None if there are none."""
    pc = library("pyarrow.compute", "arrow")
    met = None
    for each in wanted:
        at = batch.schema.get_all_field_indices(each.column)
        if len(at) > 1:
            raise BadFile(f"{where!r}: filter=: there are {len(at)} columns {each.column!r}")
        if at:
            one = _met(batch.column(at[0]), each, where)
        else:  # the column is missing, and counts as null
            one = library("pyarrow", "arrow").repeat(False, batch.num_rows)
        met = one if met is None else pc.and_(met, one)
    return met


def where_met(
    batches: Iterable[Any], typed: Iterable[Any], wanted: Iterable[Condition], where: str
) -> Iterator[Any]:
    """Yield the rows of ``batches`` that meet all comparisons.

    Args:
        typed: the same rows, in batches of any length, with the compared columns in their types.
    """
    pa = library("pyarrow", "arrow")
    wanted = tuple(wanted)
    masks = (mask(batch, wanted, where) for batch in typed)
    ahead = pa.array([], pa.bool_())
    for batch in batches:
        parts = [ahead]
        missing = batch.num_rows - len(ahead)
        while missing > 0:
            part = next(masks, None)
            if part is None:
                raise BadFile(f"{where!r} has been changed while it was read")
            parts.append(part)
            missing -= len(part)
        met = pa.concat_arrays(parts)
        ahead = met[batch.num_rows :]
        yield batch.filter(met[: batch.num_rows])


def _met(values: Any, condition: Condition, where: str) -> Any:
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    column, how, value = condition
    try:
        if how in _KERNELS:
            met = pc.call_function(_KERNELS[how], [values, _scalar(value, values.type)])
        else:
            among = pa.array([_scalar(each, values.type).as_py() for each in value], values.type)
            met = pc.is_in(values, value_set=among)
            met = pc.and_(pc.invert(met) if how == "not in" else met, pc.is_valid(values))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise BadFile(
            f"{where!r}: filter=: {column!r} of {values.type} cannot be compared with {value!r}: "
            f"{in_a_line(error)}"
        ) from error
    return pc.fill_null(met, False)


def _scalar(value: Any, kind: Any) -> Any:
    """Return a value to compare with: text is parsed as the column's type."""
    pa = library("pyarrow", "arrow")
    made = pa.scalar(value)
    text = pa.types.is_string(made.type)
    if text and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        try:
            return made.cast(kind)
        except pa.ArrowInvalid:
            if not (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
                raise
            return made.cast(pa.float64())  # 1.5 in a column of integers
    return made


def may_be(wanted: Iterable[Condition], bounds: Mapping[str, tuple[Any, Any, Any]]) -> bool:
    """Return True if there may be a row that meets them all, judged by the bounds of columns.

    Args:
        bounds: for each column the least and the greatest value, and the type; a missing column may
            hold anything.
    """
    floating = library("pyarrow", "arrow").types.is_floating
    for column, how, value in wanted:
        if column not in bounds:
            continue
        low, high, kind = bounds[column]
        if how == "!=" and floating(kind):
            continue  # NaN is outside of all bounds, and unequal to any value
        try:
            among = value if how == "in" else (value,)
            if how != "not in" and not any(
                _within(how, _scalar(each, kind).as_py(), low, high) for each in among
            ):
                return False
        except Exception:
            continue
    return True


def _within(how: str, value: Any, low: Any, high: Any) -> bool:
    # Bounds that are NaN give no information: no comparison with them is true, so nothing is ruled
    # out.
    if how in ("==", "in"):
        return not (value < low or value > high)
    if how == "!=":
        return not (low == high == value)
    if how in ("<", "<="):
        return not (low > value or (how == "<" and low == value))
    return not (high < value or (how == ">" and high == value))


def same(wanted: Iterable[Condition], value: Any, kind: Any, column: str) -> bool:
    """Return True if rows in which ``column`` has this value may meet the comparisons."""
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    values = pa.array([value], kind)
    return all(
        pc.all(_met(values, each, column)).as_py() for each in wanted if each.column == column
    )
