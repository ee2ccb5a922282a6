"""The type of a column of text, found by checking every value.

Arrow finds types in the first block of a file, and uses the nearest one: an integer beyond 64 bits
becomes a rounded double, a time in another zone becomes UTC. If that may have happened, or a later
block does not fit, the column is read once more as text. Each candidate is dropped at the first
value that it does not hold exactly. Text always remains.

The conversions also cover what Arrow's own CSV reader cannot: thousands separators, and times in
other formats.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

from .interface import in_a_line, library

TRUE, FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
# From here on a double does not hold every integer.
EXACT = 2.0**53
_WHOLE = r"^[-+]?[0-9]{16,}$"
_CLOCK = r"^[0-9]{2}:[0-9]{2}(:[0-9]{2})?$"
_HEXADECIMAL = r"^\s*[-+]?0[xX]"
_INFINITE = r"(?i)^[-+]?inf"
_OFFSET = r"(Z|[-+]00(:?00)?)$"


class Unfit(Exception):
    """A value does not have that type."""


@dataclass(frozen=True)
class Reading:
    """The notation of values.

    Attributes:
        nulls: the texts that mean null in a column that is not of text.
        decimal, thousands: as in ``TextOptions``.
        dates: True if ISO 8601 times are recognised.
    """

    nulls: tuple[str, ...]
    decimal: str = "."
    thousands: str | None = None
    dates: bool = True


def candidates(reading: Reading) -> list[Any]:
    """Return the types that a column may have, the narrowest first; text comes after them."""
    pa = library("pyarrow", "arrow")
    times = [
        pa.date32(),
        pa.time32("s"),
        pa.timestamp("s"),
        pa.timestamp("ns"),
        pa.timestamp("s", "UTC"),
        pa.timestamp("ns", "UTC"),
    ]
    numbers = [pa.uint64(), pa.decimal128(38, 0), pa.decimal256(76, 0), pa.float64()]
    return [pa.null(), pa.int64(), pa.bool_(), *(times if reading.dates else []), *numbers]


class Column:
    """Finds the type of one column, batch by batch."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._left = candidates(reading)

    def look(self, values: Any) -> None:
        """Check some more values, as strings."""
        left = []
        for kind in self._left:
            try:
                made(values, kind, self._reading)
            except Unfit:
                continue
            left.append(kind)
        self._left = left

    @property
    def settled(self) -> bool:
        """True if only text remains."""
        return not self._left

    @property
    def type(self) -> Any:
        """The narrowest type that holds all values so far."""
        return self._left[0] if self._left else library("pyarrow", "arrow").string()


def made(values: Any, kind: Any, reading: Reading, exact: bool = True) -> Any:
    """Convert strings to values of ``kind``.

    Args:
        exact: refuse a double that has rounded an integer, and 1 for true.

    Raises Unfit, with the first value that does not have this type, or that it does not hold
    exactly.
    """
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind):
        return values.cast(kind)
    nulls = pc.is_in(values, value_set=pa.array(reading.nulls, pa.string()))
    values = pc.utf8_trim_whitespace(pc.if_else(nulls, pa.scalar(None, pa.string()), values))
    if types.is_null(kind):
        if values.null_count < len(values):
            raise Unfit("a value")
        return pa.nulls(len(values))
    if types.is_boolean(kind):
        return _booleans(pa, pc, values, exact)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        if types.is_integer(kind) and exact and has_hexadecimal(values):
            raise Unfit("a hexadecimal number")
        values = plain_numbers(values, reading)
        if types.is_floating(kind) and exact:
            require_exact(values)
        elif types.is_decimal(kind) and kind.scale == 0 and exact:
            # Arrow's cast of text does not check the number of digits.
            digits = f"^[-+]?0*[0-9]{{1,{kind.precision}}}$"
            _require(pc.match_substring_regex(values, digits), values)
    elif types.is_timestamp(kind) and kind.tz is not None:
        _require(pc.match_substring_regex(values, _OFFSET), values)
    elif types.is_time32(kind):
        _require(pc.match_substring_regex(values, _CLOCK), values)
        values = _on_a_day(pa, pc, values).cast("timestamp[s]")
    try:
        return values.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Unfit(in_a_line(error)) from error


def has_hexadecimal(values: Any) -> bool:
    """Return True if one of these strings is like 0xFF, which Arrow reads as an integer."""
    pc = library("pyarrow.compute", "arrow")
    return bool(pc.any(pc.match_substring_regex(values, _HEXADECIMAL)).as_py())


def _on_a_day(pa: Any, pc: Any, values: Any) -> Any:
    """Return times of day as text with a fixed date: Arrow cannot cast text to a time of day."""
    return pc.binary_join_element_wise(pa.scalar("1970-01-01"), values, " ")


def _booleans(pa: Any, pc: Any, values: Any, exact: bool) -> Any:
    numbers = ((), ()) if exact else (("1",), ("0",))
    true = pc.is_in(values, value_set=pa.array((*TRUE, *numbers[0])))
    known = pc.or_(true, pc.is_in(values, value_set=pa.array((*FALSE, *numbers[1]))))
    _require(pc.or_(known, pc.is_null(values)), values)
    return pc.if_else(pc.is_null(values), pa.scalar(None, pa.bool_()), true)


def _require(right: Any, values: Any) -> None:
    pc = library("pyarrow.compute", "arrow")
    wrong = pc.invert(pc.fill_null(right, True))
    if pc.any(wrong).as_py():
        raise Unfit(repr(values.filter(wrong)[0].as_py()))


def require_exact(values: Any) -> None:
    """Raise Unfit for a number, as text, that a double rounds to another integer or to infinity.
    Fractions are rounded as usual."""
    pc = library("pyarrow.compute", "arrow")
    for text in values.filter(pc.match_substring_regex(values, _WHOLE)).unique().to_pylist():
        if len(text) > 400 or int(float(text)) != int(text):
            raise Unfit(repr(text))
    try:
        numbers = values.cast("float64")
    except ValueError:
        return  # the cast reports it
    infinite = values.filter(pc.is_inf(numbers))
    _require(pc.match_substring_regex(infinite, _INFINITE), infinite)


def plain_numbers(values: Any, reading: Reading) -> Any:
    """Return numbers as text in Arrow's form: no thousands separators, a point before the fraction.

    Raises Unfit if groups do not have three digits: then it is something else.
    """
    pc = library("pyarrow.compute", "arrow")
    if reading.thousands is not None:
        mark, point = re.escape(reading.thousands), re.escape(reading.decimal)
        grouped = pc.match_substring(values, reading.thousands)
        right = pc.match_substring_regex(
            values, rf"^[-+]?[0-9]{{1,3}}({mark}[0-9]{{3}})+({point}[0-9]*)?$"
        )
        _require(pc.or_(pc.invert(grouped), right), values)
        values = pc.replace_substring(values, reading.thousands, "")
    if reading.decimal != ".":
        _require(pc.invert(pc.match_substring(values, ".")), values)
        values = pc.replace_substring(values, reading.decimal, ".")
    return values


def moments(values: Any, format: str | None, reading: Reading) -> Any:
    """Convert strings to times: in a format of ``strptime``, or ISO 8601.

    Raises Unfit, with the first value that is not a time.
    """
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    nulls = pc.is_in(values, value_set=pa.array([*reading.nulls], pa.string()))
    values = pc.utf8_trim_whitespace(pc.if_else(nulls, pa.scalar(None, pa.string()), values))
    if format is None:
        zone = _zone(pc, values)
        try:
            return values.cast(pa.timestamp("us", zone))
        except pa.ArrowInvalid:
            pass
        try:
            return values.cast(pa.timestamp("ns", zone)).cast(pa.timestamp("us", zone))
        except pa.ArrowInvalid as error:
            raise Unfit(in_a_line(error)) from error
    return _by_format(pc, values, format)


def _by_format(pc: Any, values: Any, format: str) -> Any:
    """Parse times with a format. Arrow's ``strptime`` is fast, and reads the 31st of February as a
    day in March: values that are not written back identically are left to Python's, which refuses
    them."""
    found = pc.strptime(values, format=format, unit="us", error_is_null=True)
    again = pc.strftime(found, format=format)
    for text in values.filter(pc.invert(pc.fill_null(pc.equal(again, values), False))).unique():
        if text.is_valid:
            try:
                datetime.datetime.strptime(text.as_py(), format)
            except ValueError as error:
                raise Unfit(f"{text.as_py()!r}, not {format!r}") from error
    _require(pc.or_(pc.is_valid(found), pc.is_null(values)), values)
    return found


def _zone(pc: Any, values: Any) -> str | None:
    with_zone = pc.match_substring_regex(values, r"[0-9]:[0-9.:]+(Z|[-+][0-9]{2}(:?[0-9]{2})?)$")
    return "UTC" if pc.any(with_zone).as_py() and len(values.drop_null()) else None
