"""The buffers of one message, and the plan of where each is put.

While an object is pickled, every buffer in it is noted as a *span*: its place in this process, and
the array's view of it. Nothing is copied yet. ``plan`` then sorts the spans: those in shared memory
become references, the others *runs* of bytes to copy. What the receiver may write to has a run of
its own, as after pickling: a write to one view of an array must not be seen in another, which may
be the argument of another task. So has a view that is read-only here. What no receiver writes to,
for it is shared, has one run with what it overlaps, and so have buffers of other kinds that are
read-only. ``codec``, which knows the destination, does the copying.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._memory.segment import registry
from .._system import mapping

if TYPE_CHECKING:
    from .._memory.segment import Segment

# A view that skips more than half of what it spans is sent without the gaps.
_SPARSE = 2
# Overlapping views are sent as one run unless that copies more than this many times their own
# bytes.
_WASTE = 4


class BufferView:
    """One buffer of a message.

    Attributes:
        low, high: the first byte and the one after the last, as addresses.
        first: bytes from ``low`` to the first element (not 0 with negative strides).
        strides: bytes per step and dimension; None for a flat buffer.
        writable: True if the receiver may write to it.
        nbytes: bytes of its elements, fewer than ``high - low`` if there are gaps.
        owner: the object that keeps the memory alive: the array, or a memoryview.
        known: the segment that contains ``low`` and the offset in it, if known without a lookup of
            the address.
    """

    __slots__ = ("first", "high", "known", "low", "nbytes", "owner", "strides", "writable")

    def __init__(  # noqa: PLR0913 - each is a property of the buffer
        self,
        low: int,
        high: int,
        first: int,
        strides: tuple[int, ...] | None,
        writable: bool,
        nbytes: int,
        owner: Any,
        known: tuple[Segment, int] | None = None,
    ) -> None:
        self.low = low
        self.high = high
        self.first = first
        self.strides = strides
        self.writable = writable
        self.nbytes = nbytes
        self.owner = owner
        self.known = known


class CopyRange:
    """A range of bytes that is copied in one piece.

    Attributes:
        size: in bytes.
        low: the address to copy from, or 0 if ``array`` has to be gathered.
        array: a sparse array whose elements are gathered without their gaps.
        strides: the strides that the gathered array will have.
    """

    __slots__ = ("array", "low", "size", "strides")

    def __init__(
        self, size: int, low: int, array: Any = None, strides: tuple[int, ...] = ()
    ) -> None:
        self.size = size
        self.low = low
        self.array = array
        self.strides = strides

    def copy_to(self, view: memoryview) -> None:
        """Fill ``size`` writable bytes."""
        if self.array is None:
            mapping.copy_in(mapping.address_of(view), self.low, self.size)
        else:
            from .strided import gather  # numpy is imported already: there is an array

            gather(self.array, view, self.strides)

    def to_bytes(self) -> bytes:
        """Return the bytes themselves; for small runs."""
        if self.array is None:
            return ctypes.string_at(self.low, self.size)
        view = memoryview(bytearray(self.size))
        self.copy_to(view)
        return bytes(view)


class BufferRef:
    """The place of one span: in a run (``segment`` None) or in a segment, of which the receiver may
    get a private writable view. Its bytes are the ``length`` ones from ``low`` on; ``offset`` is
    that of the first element, which differs with negative strides."""

    __slots__ = ("length", "low", "offset", "private", "run", "segment", "strides", "writable")

    def __init__(
        self,
        segment: Segment | None,
        run: int,
        offset: int,
        length: int,
        strides: tuple[int, ...] | None,
        writable: bool,
        low: int = 0,
    ) -> None:
        self.segment = segment
        self.run = run
        self.offset = offset
        self.length = length
        self.strides = strides
        self.writable = writable
        self.private = False
        self.low = low


class CopyPlan:
    """The runs to copy, and the place of each span."""

    __slots__ = ("entries", "runs")

    def __init__(self) -> None:
        self.runs: list[CopyRange] = []
        self.entries: list[BufferRef] = []

    @property
    def copied(self) -> int:
        return sum(run.size for run in self.runs)


def _shared(span: BufferView) -> BufferRef | None:
    found = span.known or registry.find(span.low)
    if found is None:
        return None
    segment, offset = found
    if offset + span.high - span.low > segment.size:
        return None
    length = span.high - span.low
    first = offset + span.first
    return BufferRef(segment, -1, first, length, span.strides, span.writable, low=offset)


def _groups(spans: list[BufferView], plain: list[int]) -> list[list[int]]:
    """Return the indices of plain spans, overlapping ones grouped, in order of address."""
    groups: list[list[int]] = []
    end = -1
    for index in sorted(plain, key=lambda i: spans[i].low):
        if spans[index].low < end:
            groups[-1].append(index)
        else:
            groups.append([index])
        end = max(end, spans[index].high)
    return groups


def plan(spans: list[BufferView], *, sealed: bool = False) -> CopyPlan:
    """Decide for every span whether it is referred to or copied, and with which others.

    Args:
        spans: of one message.
        sealed: no receiver can write to any of them.
    """
    made = CopyPlan()
    entries: dict[int, BufferRef] = {}
    read_only: list[int] = []
    groups: list[list[int]] = []
    for index, span in enumerate(spans):
        entry = _shared(span)
        if entry is not None:
            entries[index] = entry
        elif sealed or not (span.writable or _copies(span)):
            read_only.append(index)
        else:
            span.writable = True  # the copy is the receiver's own
            if span.strides is None or span.owner.flags.forc:
                groups.append([index])
            else:
                # In C order, as pickle has it.
                array = span.owner
                dense = _dense_strides(array, reversed(range(array.ndim)))
                _gather(made, entries, spans, [index], dense)
    for group in groups + _groups(spans, read_only):
        low = min(spans[i].low for i in group)
        high = max(spans[i].high for i in group)
        bytes_in = sum(spans[i].nbytes for i in group)
        most = _SPARSE if len(group) == 1 else _WASTE
        if high - low <= most * max(bytes_in, 1):
            _together(made, entries, spans, group)
            continue
        alike: dict[Any, list[int]] = {}
        for i in group:
            alike.setdefault(_look(spans[i]), []).append(i)
        for same in alike.values():
            first = spans[same[0]]
            strides = None
            if first.strides is not None:
                strides = _dense_strides(first.owner, _by_speed(first.owner))
            _gather(made, entries, spans, same, strides)
    made.entries = [entries[i] for i in range(len(spans))]
    return made


def _copies(span: BufferView) -> bool:
    """Return True for a read-only array whose copy is to be writable, as pickle makes it.

    Not a broadcast one, in which elements have bytes in common: written out, they may be more than
    there is memory for.
    """
    return span.strides is not None and not _repeats(span)


def _repeats(span: BufferView) -> bool:
    """Return True if some elements of an array may have bytes in common, as in a broadcast one."""
    array = span.owner
    assert span.strides is not None
    reach = array.itemsize
    for step, length in sorted(zip(map(abs, span.strides), array.shape, strict=True)):
        if length > 1:
            if step < reach:
                return True
            reach += step * (length - 1)
    return False


def _together(
    made: CopyPlan, entries: dict[int, BufferRef], spans: list[BufferView], group: list[int]
) -> None:
    """Plan one run for all of a group, from its first byte to its last."""
    low = min(spans[i].low for i in group)
    for i in group:
        s = spans[i]
        at, length = s.low - low, s.high - s.low
        run, first = len(made.runs), at + s.first
        entries[i] = BufferRef(None, run, first, length, s.strides, s.writable, low=at)
    made.runs.append(CopyRange(max(spans[i].high for i in group) - low, low))


def _look(span: BufferView) -> Any:
    """Return a key that is equal for views that cannot be distinguished."""
    shape = span.strides and (span.owner.shape, span.owner.itemsize)
    return span.low, span.high, span.first, span.strides, shape


def _gather(
    made: CopyPlan,
    entries: dict[int, BufferRef],
    spans: list[BufferView],
    same: list[int],
    strides: tuple[int, ...] | None,
) -> None:
    """Plan one run, without gaps, for views with the same key; ``strides``: of the copy."""
    s = spans[same[0]]
    for i in same:
        entries[i] = BufferRef(None, len(made.runs), 0, s.nbytes, strides, spans[i].writable)
    if strides is None:
        made.runs.append(CopyRange(s.nbytes, s.low))
    else:
        made.runs.append(CopyRange(s.nbytes, 0, s.owner, strides))


def _dense_strides(array: Any, axes: Iterable[int]) -> tuple[int, ...]:
    """Return the strides of a copy without gaps.

    Args:
        array: the array to be copied.
        axes: of the copy, from the fastest to the slowest.
    """
    step = array.dtype.itemsize
    strides = [0] * array.ndim
    for axis in axes:
        strides[axis] = step
        step *= array.shape[axis]
    return tuple(strides)


def _by_speed(array: Any) -> list[int]:
    """Return the axes of an array, from the fastest to the slowest."""
    return sorted(range(array.ndim), key=lambda a: (abs(array.strides[a]), -a))
