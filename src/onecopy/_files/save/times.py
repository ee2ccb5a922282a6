"""Times that can be written as text: Arrow writes others too, but incorrectly.

It writes "<value out of range>" for an unsupported year, and leaves out the seconds of an offset
from UTC, which most zones had before 1920 or so. Needs pyarrow.
"""

from __future__ import annotations

from typing import Any

from ..load.interface import library

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 24 * 60 * 60
# The first second of year 1, and the one after the last of year 9999.
_FIRST, _END = -62135596800, 253402300800


def is_time(kind: Any) -> bool:
    """Return True for dates, times of day and timestamps."""
    types = library("pyarrow", "arrow").types
    return bool(types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind))


def require_known(column: Any) -> None:
    """Raise ValueError if a value has no year from 1 to 9999, or no hour of a day."""
    pa = library("pyarrow", "arrow")
    kind = column.type
    if pa.types.is_date32(kind):
        first, end = _FIRST // _DAY, _END // _DAY
    elif pa.types.is_date64(kind):
        first, end = _FIRST * 1000, _END * 1000
    elif pa.types.is_time(kind):
        first, end = 0, _DAY * _PER_SECOND[kind.unit]
    else:
        first, end = (bound * _PER_SECOND[kind.unit] for bound in (_FIRST, _END))
    _require_within(column, first, end)
    if _zone(kind) is not None:  # there it may have another year
        pc = library("pyarrow.compute", "arrow")
        _require_within(pc.local_timestamp(column), first, end)


def in_minutes(column: Any) -> bool:
    """Return True if the offset of each time from UTC is a number of whole minutes."""
    kind = column.type
    if _zone(kind) is None:
        return True
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    minute = 60 * _PER_SECOND[kind.unit]
    ahead = pc.subtract(pc.local_timestamp(column).cast(pa.int64()), column.cast(pa.int64()))
    whole = pc.equal(pc.multiply(pc.divide(ahead, minute), minute), ahead)
    return bool(pc.all(whole, min_count=0).as_py())


def _zone(kind: Any) -> Any:
    return getattr(kind, "tz", None)


def _require_within(column: Any, first: int, end: int) -> None:
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    kind = column.type
    ends = pc.min_max(column.view(pa.int32() if kind.bit_width == 32 else pa.int64()))
    low, high = ends["min"].as_py(), ends["max"].as_py()
    if low is not None and not first <= low <= high < end:
        odd = low if low < first else high
        raise ValueError(f"{odd} is a {kind} of no year from 1 to 9999, or of no hour")
