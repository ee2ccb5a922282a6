"""Messages between hosts: the codec's sibling for a receiver that shares no memory with the sender.

A *parcel* has what a message has: a pickle stream, the buffers that were copied, and references to
segments. The buffers are sent with it instead of in an arena. A reference stays a reference, because
a segment has the same id on each host; ``needs`` names the bytes of it that the receiver must have
first. So a parcel that the driver has made is passed on to a worker of any host, and nothing in
between unpickles it.

====================  ===========================================================================
``pack``              in the driver: from an encoded object to a parcel
``payload_of``        on a host: from a parcel to what a channel sends to a worker
``taken``             on a host: from a worker's result, still pickled, to a parcel
``unpack``            in the driver: from that parcel to the object
====================  ===========================================================================
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

from .._memory.segment import Segment
from .._system import mapping
from ..errors import NotShared
from . import codec
from .buffers import BufferRef, CopyPlan, CopyRange
from .codec import Encoded, Inward, Payload, References

BARE, VIEWS, RICH = range(3)

Need = tuple[int, int, int]
"""A segment's id, and the first byte and the one after the last that the receiver must have."""
Wanted = tuple[Segment, int, int]
"""The same with the segment itself, at the sender."""


class Parcel(NamedTuple):
    """See the module. Pickled with protocol 5 its buffers stay out of band.

    Attributes:
        kind: BARE (the stream is all of it), VIEWS (``codec.References``) or RICH.
        stream: the pickle stream.
        inline: the bytes of the small runs.
        buffers: the large runs, as ``PickleBuffer``; writable bytes at the receiver.
        runs, entries: as in a message's manifest; a large run is its index in ``buffers``.
        needs: the bytes of segments that the receiver must have.
    """

    kind: int
    stream: Any
    inline: bytes = b""
    buffers: tuple[Any, ...] = ()
    runs: tuple[tuple[int, ...], ...] = ()
    entries: tuple[tuple[Any, ...], ...] = ()
    needs: tuple[Need, ...] = ()

    @property
    def moved(self) -> int:
        """The bytes that it carries."""
        return memoryview(self.stream).nbytes + len(self.inline) + self.copied

    @property
    def copied(self) -> int:
        """The bytes of its large buffers."""
        return sum(memoryview(buffer).nbytes for buffer in self.buffers) if self.buffers else 0

    @property
    def shared(self) -> int:
        """The bytes that it refers to."""
        return sum(stop - start for _, start, stop in self.needs) if self.needs else 0


# The sender of arguments.


def pack(payload: Payload) -> tuple[Parcel, list[Wanted]]:
    """Return the parcel of an encoded object, and the bytes of segments that it refers to.

    The large buffers are not copied: keep ``payload`` until the parcel has been sent.

    Raises:
        NotShared: it refers to memory that can be written: that is on one machine.
    """
    if type(payload) is bytes:
        return Parcel(BARE, payload), []
    if type(payload) is References:
        wanted = payload.extents()
        _refuse_open(segment for segment, _, _ in wanted)
        return Parcel(VIEWS, payload.stream, needs=_needs(wanted)), wanted
    assert isinstance(payload, Encoded)
    if payload.is_bare():
        return Parcel(BARE, payload.stream()), []
    made = payload.plan or CopyPlan()
    held = [entry for entry in made.entries if entry.segment is not None]
    _refuse_open([*payload.carried, *(entry.segment for entry in held)])
    runs, inline, buffers = _copied(made)
    seen: dict[tuple[int, ...], int] = {}
    entries = []
    wanted = []
    for entry in made.entries:
        run = entry.run
        if entry.segment is not None:
            wanted.append((entry.segment, entry.low, entry.low + entry.length))
            shared = (codec.PRIVATE if entry.private else codec.SHARED, entry.segment.id)
            run = seen.setdefault(shared, len(runs))
            if run == len(runs):
                runs.append(shared)
        entries.append((run, entry.offset, entry.length, entry.strides, entry.writable))
    stream = _buffer(payload.stream())
    parcel = Parcel(RICH, stream, inline, buffers, tuple(runs), tuple(entries), _needs(wanted))
    return parcel, wanted


def _copied(made: CopyPlan) -> tuple[list[tuple[int, ...]], bytes, tuple[Any, ...]]:
    """Return the runs of a plan: those in ``inline``, and those in ``buffers``."""
    runs: list[tuple[int, ...]] = []
    small: list[bytes] = []
    large: list[Any] = []
    at = 0
    for run in made.runs:
        if run.size <= codec.CUTOFF:
            small.append(run.to_bytes())
            runs.append((codec.INLINE, at, run.size))
            at += run.size
        else:
            view = (
                mapping.borrowed(run.low, run.size, write=False)
                if run.array is None
                else memoryview(run.to_bytes())
            )
            runs.append((codec.BLOCK, len(large), run.size))
            large.append(pickle.PickleBuffer(view))
    return runs, b"".join(small), tuple(large)


def _needs(wanted: list[Wanted]) -> tuple[Need, ...]:
    return tuple((segment.id, start, stop) for segment, start, stop in wanted)


def _refuse_open(segments: Any) -> None:
    for segment in segments:
        if segment.writable:
            raise NotShared(
                "this memory is on the driver's machine and can be written (zeros, empty, "
                "full, Counter, append_log, locks): no other host can have it; freeze an array, "
                "or return what the tasks would write"
            )


def _buffer(stream: bytes) -> Any:
    return pickle.PickleBuffer(stream) if len(stream) > codec.CUTOFF else stream


# The host, on the way to a worker.


def payload_of(parcel: Parcel, segment_of: Callable[[int], Segment]) -> Payload:
    """Return what a channel sends to a worker of this host.

    Args:
        parcel: as it was received.
        segment_of: returns this host's segment with an id.
    """
    if parcel.kind == BARE:
        return bytes(parcel.stream)
    if parcel.kind == VIEWS:
        held = [(segment_of(id), stop - start) for id, start, stop in parcel.needs]
        return References(bytes(parcel.stream), held, ())
    return encoded_of(parcel, segment_of)


def encoded_of(parcel: Parcel, segment_of: Callable[[int], Segment]) -> Encoded:
    """Return the same for an object that workers keep: a function, a variable's value."""
    made = CopyPlan()
    places: list[tuple[Segment | None, int, bool]] = []
    roots: list[Any] = [bytearray(parcel.inline)]
    for kind, *where in parcel.runs:
        if kind in (codec.SHARED, codec.PRIVATE):
            places.append((segment_of(where[0]), -1, kind == codec.PRIVATE))
            continue
        root = roots[0] if kind == codec.INLINE else parcel.buffers[where[0]]
        offset = where[0] if kind == codec.INLINE else 0
        view = memoryview(root).cast("B")
        roots.append(view)
        places.append((None, len(made.runs), False))
        made.runs.append(CopyRange(where[1], mapping.address_of(view) + offset))
    for run, offset, length, strides, writable in parcel.entries:
        segment, at, private = places[run]
        entry = BufferRef(segment, at, offset, length, strides, writable)
        entry.private = private
        made.entries.append(entry)
    plan = made if parcel.kind == RICH else None
    return Encoded.received(bytes(parcel.stream), plan, roots)


# The host, on the way back.


def taken(rich: bool, body: memoryview, link: Inward, knows: Callable[[int], bool]) -> Parcel:
    """Return the parcel of a worker's result. Blocks stay the worker's until the parcel has died.

    Args:
        rich, body: as ``codec.write_message`` has returned them.
        link: of this end of the worker's channel.
        knows: returns True for a segment that the driver has.

    Raises:
        NotShared: it refers to memory of this host that can be written.
    """
    if not rich:
        return Parcel(BARE, bytes(body))
    inline, runs, entries, stream = codec.opened(body, link)
    buffers: list[Any] = []
    places: list[tuple[int, ...]] = []
    renumbered: list[int] = []
    strays: dict[int, list[tuple[int, int, int]]] = {}
    can_be_written = False
    for at, run in enumerate(runs):
        renumbered.append(len(places))
        if run[0] == codec.BLOCK:
            places.append((codec.BLOCK, len(buffers), run[3]))
            buffers.append(pickle.PickleBuffer(link.block_view(run[1], run[2], run[3])))
        elif run[0] == codec.INLINE or knows(run[1]):
            places.append(run)
        else:
            # Of this host alone: its bytes are sent, overlapping ones once.
            view = link.shared_view(run[1])
            can_be_written |= not view.readonly
            strays[at] = []
            for start, stop in _stretches(entries, at, view.nbytes):
                strays[at].append((start, stop, len(places)))
                places.append((codec.BLOCK, len(buffers), stop - start))
                buffers.append(pickle.PickleBuffer(view[start:stop]))
    if can_be_written:  # now that all blocks are on their way back
        raise NotShared(
            "the task has returned memory that can be written (zeros, empty, full, Counter, "
            "append_log), which is on its host alone: return a copy"
        )
    changed = []
    for at, offset, *rest in entries:
        place, low = renumbered[at], 0
        for start, stop, here in strays.get(at, ()):
            if start <= offset <= stop:
                place, low = here, start
        changed.append((place, offset - low, *rest))
    data = _buffer(bytes(stream))
    return Parcel(RICH, data, bytes(inline), tuple(buffers), tuple(places), tuple(changed))


def _stretches(entries: Any, at: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of a segment that the entries of a run use, overlapping ones as one."""
    found: list[tuple[int, int]] = []
    for run, offset, length, strides, _ in entries:
        if run == at:
            # With negative strides the first element is not the first byte.
            back = length if strides is not None and min(strides, default=0) < 0 else 0
            found.append((max(0, offset - back), min(size, offset + length)))
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


# The receiver of results.


def unpack(parcel: Parcel, link: Inward) -> Any:
    """Rebuild the object of a parcel, on the buffers that came with it.

    Args:
        parcel: as it was received.
        link: has the segments that it refers to.
    """
    if parcel.kind == BARE:
        return pickle.loads(parcel.stream)
    inline = memoryview(parcel.inline)
    views: list[memoryview] = []
    for kind, *where in parcel.runs:
        if kind == codec.INLINE:
            views.append(memoryview(bytearray(inline[where[0] : where[0] + where[1]])))
        elif kind == codec.BLOCK:
            views.append(memoryview(parcel.buffers[where[0]]).cast("B"))
        elif kind == codec.PRIVATE:
            views.append(link.private_view(where[0]))
        else:
            views.append(link.shared_view(where[0]))
    sources = [codec.source(entry, views) for entry in parcel.entries]
    return pickle.loads(parcel.stream, buffers=sources)
