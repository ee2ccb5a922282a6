"""polars' lazy frames: the plan by value; once shared, the frames in it by reference.

A lazy frame is pickled as its serialised plan, and polars writes every in-memory frame into it.
``share`` takes these out: each becomes a source of polars' plugin interface for reading
(``register_io_source``) that yields the shared frame. The receiver gets the same plan with a Python
scan in place of the frame: columns, filters and limits are still pushed down to it.

polars has no public way to replace a scan, so the plan is edited in its serialised form (that of
polars 2.1): MessagePack, a map of ``root``, ``dataframes`` and ``dsl_plans``, the last two tables
of slots that refer to each other by index and version. A plan of another form, from a later polars,
is left as it is: it then holds its frames.

Serialising is slow (about 40 MB/s of frames) and takes several times their memory: ``share`` does
it twice, and a lazy frame on plain ones does it with each task.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

_local = threading.local()

_Slots = list[tuple[bytes, bytes]]  # value and version of each


class Source:
    """Yields one frame to polars; pickled in a plan, it is only a number."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame

    def __call__(
        self, columns: list[str] | None, predicate: Any, rows: int | None, batch: int | None
    ) -> Iterator[Any]:
        frame = self.frame if rows is None else self.frame.head(rows)
        if predicate is not None:
            frame = frame.filter(predicate)
        yield frame if columns is None else frame.select(columns)

    def __reduce__(self) -> Any:
        frames = getattr(_local, "frames", None)
        if frames is None:  # a pickle that was made elsewhere
            return Source, (self.frame,)
        frames.append(self.frame)
        return _source, (len(frames) - 1,)


def _source(number: int) -> Source:
    return Source(_local.frames[number])


@contextmanager
def _beside(frames: list[Any]) -> Iterator[None]:
    """Collect the frames of sources in this list while plans are written and read here."""
    before = getattr(_local, "frames", None)
    _local.frames = frames
    try:
        yield
    finally:
        _local.frames = before


def reduce(frame: Any, buffers: Any) -> Any:
    """Reduce a lazy frame."""
    frames: list[Any] = []
    with _beside(frames):
        plan = frame.serialize()
        noted = len(frames)
        if buffers.sealing:
            try:
                plan = _taken_out(plan)
            except (IndexError, pl.exceptions.PolarsError):  # of an unknown form
                del frames[noted:]
                buffers.pickled.append("the frames in a LazyFrame of this version of polars")
    return _build, (plan, frames)


def _build(plan: bytes, frames: list[Any]) -> Any:
    with _beside(frames):
        return _read(plan)


def _read(plan: bytes) -> Any:
    return pl.LazyFrame.deserialize(io.BytesIO(plan))


def _taken_out(plan: bytes) -> bytes:
    """Return the plan with sources in place of its frames, which are collected (``_beside``)."""
    head, root, frames, plans = _parts(plan)
    sources: dict[int, bytes] = {}
    pieces, end = [], 0
    for at in _where(_SCAN, plans):
        stop = _skip(plans, at)
        index = _number(plans, at + len(_SCAN))
        if index not in sources:
            sources[index] = _source_of(_frame(head, frames, index, plans[at:stop]))
        pieces += [plans[end:at], sources[index]]
        end = stop
    if not sources:
        return plan
    vacant = _table([_VACANT] * len(frames))
    changed = b"".join([head, root, _FRAMES, vacant, _PLANS, *pieces, plans[end:]])
    _read(changed)  # polars accepts it
    return changed


def _frame(head: bytes, frames: _Slots, index: int, scan: bytes) -> Any:
    """Return one of a plan's frames: polars is given a scan of it alone."""
    alone = _table([slot if i == index else _VACANT for i, slot in enumerate(frames)])
    plans = _table([_VACANT, (scan, b"\x01")])
    root = _ROOT + b"\x01\xa7version\x01"
    return _read(b"".join([head, root, _FRAMES, alone, _PLANS, plans])).collect()


def _source_of(frame: Any) -> bytes:
    """Return a scan of a source for this frame, in a plan's form."""
    scan = register_io_source(Source(frame), schema=frame.schema, is_pure=True)
    plans = _parts(scan.serialize())[3]
    at = _where(b"\x81\xaaPythonScan", plans)[0]
    return plans[at : _skip(plans, at)]


# The serialised form, as far as it is needed to replace a scan.

_ROOT = b"\x83\xa4root\x82\xa3idx"
_FRAMES, _PLANS = b"\xaadataframes", b"\xa9dsl_plans"
_SCAN = b"\x81\xadDataFrameScan\x82\xa2df\x82\xa3idx"
_VALUE, _VERSION = b"\x82\xa5value", b"\xa7version"
_VACANT = (b"\xc0", b"\x00")


def _parts(plan: bytes) -> tuple[bytes, bytes, _Slots, bytes]:
    """Return the head, the root, the slots of the table of frames, and the table of plans. Raises
    IndexError if the plan has another form."""
    start = plan.find(_ROOT)
    frames = plan.find(_FRAMES, start)
    plans = _key(_PLANS, plan, frames)
    if not plan.startswith(b"DSL_VERSION") or min(start, frames, plans) < 0:
        raise IndexError("no tables of frames and plans")
    count, at = _array(plan, frames + len(_FRAMES))
    slots: _Slots = []
    for _ in range(count):
        value = at + len(_VALUE)
        version = _key(_VERSION, plan, value)
        if not plan.startswith(_VALUE, at) or not value < version < plans:
            raise IndexError("no slot of a frame")
        at = _skip(plan, version + len(_VERSION))
        slots.append((plan[value:version], plan[version + len(_VERSION) : at]))
    return plan[:start], plan[start:frames], slots, plan[plans + len(_PLANS) :]


def _key(key: bytes, plan: bytes, at: int) -> int:
    """Return the position of a key after the frames. A frame is an array of its bytes as numbers:
    as they are below 0x80, otherwise after 0xcc, which no key of ours follows."""
    at = plan.find(key, at)
    while at > 0 and plan[at - 1] == 0xCC:
        at = plan.find(key, at + 1)
    return at


def _table(slots: _Slots) -> bytes:
    joined = b"".join(_VALUE + value + _VERSION + version for value, version in slots)
    return b"\xdd" + len(slots).to_bytes(4, "big") + joined


def _where(pattern: bytes, plans: bytes) -> list[int]:
    """Return the positions of the values that begin with this pattern; a match inside a string does
    not count."""
    return [at for at in _values(plans, 0) if plans.startswith(pattern, at)]


def _number(plan: bytes, at: int) -> int:
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4}.get(plan[at])
    return plan[at] if size is None else int.from_bytes(plan[at + 1 : at + 1 + size], "big")


def _array(plan: bytes, at: int) -> tuple[int, int]:
    """Return the number of elements of the array at ``at``, and the position of the first."""
    code = plan[at]
    if code & 0xF0 == 0x90:
        return code & 0x0F, at + 1
    size = 2 if code == 0xDC else 4
    return int.from_bytes(plan[at + 1 : at + 1 + size], "big"), at + 1 + size


# From a code to the number of bytes of its length, and of its value, for codes that have one.
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 0), **dict.fromkeys((0xCC, 0xD0), 1),
    **dict.fromkeys((0xCD, 0xD1), 2), **dict.fromkeys((0xCA, 0xCE, 0xD2), 4),
    **dict.fromkeys((0xCB, 0xCF, 0xD3), 8),
}  # fmt: skip


def _skip(plan: bytes, at: int) -> int:
    """Return the position where the value at ``at`` ends."""
    *_, end = _values(plan, at)
    return end


def _values(plan: bytes, at: int) -> Iterator[int]:
    """Yield the position of the value at ``at`` and of each value in it, then the position where it
    ends (https://github.com/msgpack/msgpack/blob/master/spec.md)."""
    left = 1
    while left:
        yield at
        left -= 1
        code = plan[at]
        if code < 0x80 or code >= 0xE0:  # a small number
            at += 1
        elif 0xA0 <= code < 0xC0:  # a short string
            at += 1 + (code & 0x1F)
        elif code in _FIXED:
            at += 1 + _FIXED[code]
        elif code in _SIZED:
            size = _SIZED[code]
            at += 1 + size + int.from_bytes(plan[at + 1 : at + 1 + size], "big")
        elif code < 0x90 or code in (0xDE, 0xDF):  # a map
            size = {0xDE: 2, 0xDF: 4}.get(code, 0)
            pairs = int.from_bytes(plan[at + 1 : at + 1 + size], "big") if size else code & 0x0F
            left, at = left + 2 * pairs, at + 1 + size
        else:
            count, at = _array(plan, at)
            left += count
    yield at
