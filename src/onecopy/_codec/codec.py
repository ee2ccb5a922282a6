"""Converts an object to a message and back; decides which buffers are copied and which shared.

A message's *body* is either a bare pickle stream (the common small task), or::

    head      block's segment, block's offset, length of the manifest, length of the rest
    data      manifest | small runs | pickle stream      (here, or in that arena block)

or, for a call with scalars and views of shared arrays only (``References``)::

    head      1
    data      pickle stream of the arguments and of each view's place

The manifest gives the place of each buffer of the stream: in a small run of this message (copied,
one piece of heap per run), in an arena block (used in place, returned when the last view dies), or
in a segment that both sides know (used in place; nothing is copied).
"""

from __future__ import annotations

import marshal
import pickle
import struct
import sys
from collections.abc import Iterable
from typing import Any, Protocol

from .._memory.arena import Arena, Block
from .._memory.segment import Kind, Segment, registry
from .buffers import BufferRef, CopyPlan, CopyRange, plan
from .pickling import (
    NO_REDUCERS,
    NOT_DEFINING,
    NOTHING,
    Buffers,
    Defining,
    Namespace,
    Pickled,
    Reducers,
    dumps,
)
from .store import ALIGN, store

# Measured by bench/cutoff.py: below this the socket is as fast as a block and its return.
CUTOFF = 64 << 10

_HEAD = struct.Struct("<QQQQ")
# In place of the segment of a rich body's block; no segment has this id.
_REFERENCES = struct.pack("<Q", 1)
INLINE, BLOCK, SHARED, PRIVATE = range(4)


class Outward(Protocol):
    """The methods of the sender's link that the codec calls."""

    arena: Arena

    def reference(self, segment: Segment, nbytes: int) -> None:
        """Note that the message refers to ``nbytes`` of ``segment``, which the peer must know."""

    def lend(self, block: Block) -> None:
        """Note that the peer holds ``block`` from now on."""


class Inward(Protocol):
    """The methods of the receiver's link that the codec calls."""

    def shared_view(self, segment_id: int) -> memoryview:
        """Return the whole of a segment that the peer has announced."""

    def shared_base(self, segment_id: int) -> Any:
        """Return the same in the form that ``arrays.resolve`` takes."""

    def private_view(self, segment_id: int) -> memoryview:
        """Return the same, writable: only this process sees what it writes there."""

    def block_view(self, segment_id: int, offset: int, size: int) -> memoryview:
        """Return a block of the peer's arena; it is returned when the last view has died."""


class Encoded:
    """A pickled object whose buffers have not been copied yet.

    Copying is delayed until the message is sent: a thousand waiting tasks with large arguments hold
    references, not a thousand copies.

    Attributes:
        plan: the buffers to copy and those to refer to; None for a bare stream.
        nbytes: bytes that sending it will copy.
        carried: segments that are announced with it, in addition to those of buffers.
    """

    __slots__ = ("_pickled", "_root", "carried", "nbytes", "plan")

    def __init__(self, pickled: Pickled) -> None:
        self._pickled = pickled
        self._root: object = None
        self.carried: list[Segment] = []
        spans = pickled.buffers.spans
        self.plan: CopyPlan | None = plan(spans, sealed=pickled.buffers.sealing) if spans else None
        self.nbytes: int = pickled.size + (self.plan.copied if self.plan else 0)

    @classmethod
    def received(cls, stream: bytes, made: CopyPlan | None, root: object) -> Encoded:
        """Return an object that another process has pickled; ``root`` keeps its runs alive."""
        encoded = cls(Pickled([stream], Buffers()))
        encoded.plan = made
        encoded.nbytes += made.copied if made is not None else 0
        encoded._root = root
        return encoded

    @property
    def pickled_arrays(self) -> list[str]:
        """The dtypes of arrays whose elements had to be pickled."""
        return self._pickled.buffers.pickled

    @property
    def references(self) -> list[Any]:
        """The user's functions and classes that the object refers to."""
        return self._pickled.buffers.references

    def plain_arrays(self) -> tuple[list[Any], bool]:
        """Return the arrays that are copied, and True if they are parts of frames."""
        spans = self._pickled.buffers.spans
        entries = self.plan.entries if self.plan is not None else []
        plain = zip(spans, entries, strict=False)
        arrays = [span.owner for span, entry in plain if entry.segment is None]
        stream = bytes(self._pickled.chunks[0][:4096])
        frames = any(name in stream for name in (b"pandas", b"polars", b"pyarrow"))
        return [each for each in arrays if hasattr(each, "nbytes")], frames

    @property
    def stream_size(self) -> int:
        """The bytes outside of buffers."""
        return self._pickled.size

    def is_bare(self) -> bool:
        return self.plan is None and not self.carried and self._pickled.size <= CUTOFF

    def stream(self) -> bytes:
        chunks = self._pickled.chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def chunks(self) -> list[Any]:
        return self._pickled.chunks

    def anchor(self) -> None:
        """Copy the buffers into one sealed segment now, for a message to several receivers.

        Every receiver uses a private view of that one copy: its arrays are writable and its own,
        and a page is copied only when it is written. Does nothing for small buffers. Raises
        NotEnoughMemory.
        """
        if self.plan is None or self.plan.copied <= CUTOFF:
            return
        size, offsets = layout(self.plan)
        placed = store.put(size, list(zip(offsets, self.plan.runs, strict=True)))
        for entry in self.plan.entries:
            if entry.segment is None:
                entry.segment, entry.private = placed.segment, True
                start = placed.offset + offsets[entry.run]
                entry.offset += start
                entry.low += start
        self.plan.runs = []
        self._root = placed.root
        self.nbytes = self._pickled.size

    def all_shared(self) -> bool:
        """Return True if there is a buffer and every one is in shared memory already. A buffer
        without bytes is nowhere."""
        return self.plan is not None and not (self.plan.copied or self.has_small)

    @property
    def has_small(self) -> bool:
        """Return True if there are arrays whose elements are in the stream."""
        return self._pickled.buffers.has_small


def encode(
    obj: Any,
    namespace: Namespace = NOTHING,
    what: str = "object",
    *,
    sealing: bool = False,
    reducers: Reducers = NO_REDUCERS,
    defining: Defining = NOT_DEFINING,
    most: int | None = None,
) -> Encoded:
    """Pickle ``obj`` without copying a buffer; see ``pickling.dumps``, also for errors."""
    return Encoded(
        dumps(
            obj,
            namespace,
            what,
            sealing=sealing,
            reducers=reducers,
            defining=defining,
            most=most,
        )
    )


_TEXT = frozenset({str, bytes})
_NUMBERS = frozenset({int, float, bool, type(None), complex})
_SIMPLE = _TEXT | _NUMBERS
# Longer lists are not scanned: our pickler is as fast with them.
_FEW = 64
# Bytes of an array that is pickled like a scalar.
_SMALL = 512


_arrays: Any = None


def _arrays_module() -> Any:
    """Return the module ``arrays``, which imports NumPy; called where there is an array. An import
    statement costs several microseconds each time if the caches are cold."""
    global _arrays
    if _arrays is None:
        from . import arrays

        _arrays = arrays
    return _arrays


class References:
    """Arguments that are scalars and views of shared arrays: the most common call, ``f(data[i:j],
    x)``, which needs neither our pickler nor a plan."""

    __slots__ = ("_arrays", "segments", "stream")

    def __init__(
        self, stream: bytes, segments: list[tuple[Segment, int]], arrays: tuple[Any, ...]
    ) -> None:
        self.stream: bytes = stream
        self.segments: list[tuple[Segment, int]] = segments
        self._arrays = arrays  # keeps the views, and with them the mappings, alive

    def extents(self) -> list[tuple[Segment, int, int]]:
        """Return each view's segment, and its first byte and the one after its last there."""
        found: list[tuple[Segment, int, int]] = []
        for value in self._arrays:
            if hasattr(value, "__array_interface__") and value.nbytes:
                span = _arrays_module().buffer_view_of(value)
                known = registry.find(span.low)
                assert known is not None, "the view keeps its mapping"
                found.append((known[0], known[1], known[1] + span.high - span.low))
        return found


Payload = Encoded | References | bytes


def encode_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], namespace: Namespace
) -> Payload:
    """Encode ``(args, kwargs)``, with a shorter message for scalars and views of shared arrays."""
    kinds = set(map(type, args))
    if not kwargs and not _has_long(args, kinds):
        others = kinds - _SIMPLE
        if not others or _are_small(args, kinds):
            stream = pickle.dumps((args, kwargs), 5)
            if len(stream) <= CUTOFF:
                return stream
        ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
        if others == {ndarray}:
            references = _references(args, ndarray)
            if references is not None:
                return references
    return encode((args, kwargs), namespace, "call")


def _references(args: tuple[Any, ...], ndarray: Any) -> References | None:
    """Return the short form; None if an array is not shared, occurs twice (it has to arrive as one
    object), or the rest is long."""
    reference = _arrays_module().reference
    plain = list(args)
    refer: list[tuple[Any, ...]] = []
    segments: list[tuple[Segment, int]] = []
    for at, value in enumerate(args):
        if type(value) is ndarray:
            found = reference(value)
            if found is None or (at and any(value is other for other in args[:at])):
                return None
            segments.append((found[0], value.nbytes))
            refer.append((at, *found[1]))
            plain[at] = None
    stream = _REFERENCES + pickle.dumps((plain, refer), 5)
    return References(stream, segments, args) if len(stream) <= CUTOFF else None


def _has_long(values: Any, kinds: set[type]) -> bool:
    """Return True if any str or bytes is too long to go in-band. Looks at lengths only."""
    if not kinds & _TEXT:
        return False
    return any(type(value) in _TEXT and len(value) > CUTOFF for value in values)


def encode_few(values: Any) -> bytes | None:
    """Return the stream of a few scalars and small arrays, or of numbers in a range; None for
    anything else."""
    if type(values) is list:
        if len(values) > _FEW:
            return None
        kinds = set(map(type, values))
        if (not kinds <= _SIMPLE and not _are_small(values, kinds)) or _has_long(values, kinds):
            return None
    elif type(values) is not range:
        return None
    stream = pickle.dumps(values, 5)
    return stream if len(stream) <= CUTOFF else None


def _are_small(values: Iterable[Any], kinds: set[type]) -> bool:
    """Return True if all but scalars are arrays that are pickled as quickly as they are looked at:
    small ones with memory of their own, which is not shared then, and without objects in it."""
    # While another thread imports it, there can be no array.
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if kinds - _SIMPLE != {ndarray}:
        return False
    for value in values:
        if type(value) is ndarray:
            kind = value.dtype
            if value.base is not None or value.nbytes > _SMALL or kind.hasobject:
                return False
            if not value.flags.writeable:  # by protocol 5 it would arrive read-only
                return False
            if not kind.isnative:  # NumPy's own pickles of dates forget it
                return False
    return True


def encode_result(value: Any, namespace: Namespace) -> Payload:
    """Encode a result: the bare stream for a plain scalar, a small array, or a list of a few."""
    kind = type(value)
    if kind in _SIMPLE or _are_small((value,), {kind}):
        if kind in _NUMBERS or not _has_long((value,), {kind}):
            stream = pickle.dumps(value, 5)
            if len(stream) <= CUTOFF:
                return stream
    elif (bare := encode_few(value)) is not None:
        return bare
    return encode(value, namespace, "result")


def write_message(encoded: Payload, link: Outward) -> tuple[bool, bytes]:
    """Copy what has to be copied; return True for a rich body, and the body.

    Blocks until large buffers are copied (without the GIL). Raises NotEnoughMemory if the arena
    cannot grow; then nothing is lost and nothing is lent.
    """
    if type(encoded) is bytes:
        return False, encoded
    if type(encoded) is References:
        for segment, nbytes in encoded.segments:
            if segment.kind == Kind.FILE:
                segment.require_whole()
            link.reference(segment, nbytes)
        return True, encoded.stream
    assert isinstance(encoded, Encoded)
    if encoded.is_bare():
        return False, encoded.stream()
    lent: list[Block] = []
    try:
        body = _place(encoded, link, lent)
    except BaseException:
        for block in lent:
            link.arena.abandon(block.segment.id, block.offset)
        raise
    for block in lent:
        link.lend(block)
    return True, body


def _place(encoded: Encoded, link: Outward, lent: list[Block]) -> bytes:
    made = encoded.plan or CopyPlan()
    for segment in encoded.carried:
        link.reference(segment, 0)
    runs: list[tuple[int, ...]] = []
    inline: list[bytes] = []
    offset = 0
    for run in made.runs:
        if run.size <= CUTOFF:
            piece = run.to_bytes()
            inline.append(piece)
            runs.append((INLINE, offset, run.size))
            offset += run.size
        else:
            block = link.arena.allocate(run.size)
            lent.append(block)
            _fill(block, run)
            runs.append((BLOCK, block.segment.id, block.offset, run.size))
    seen: dict[tuple[int, ...], int] = {}
    entries = [_entry(entry, runs, seen, link) for entry in made.entries]
    manifest = marshal.dumps((offset, runs, entries))
    data = [manifest, *inline, *encoded.chunks()]
    size = sum(map(len, data))
    if size <= 2 * CUTOFF:
        return b"".join([_HEAD.pack(0, 0, len(manifest), size), *data])
    block = link.arena.allocate(size)
    lent.append(block)
    _fill_pieces(block, data)
    return _HEAD.pack(block.segment.id, block.offset, len(manifest), size)


def _entry(
    entry: BufferRef, runs: list[tuple[int, ...]], seen: dict[tuple[int, ...], int], link: Outward
) -> tuple[Any, ...]:
    """Return the manifest's entry for one buffer; ``seen`` maps each segment to its place in
    ``runs``."""
    run = entry.run
    if entry.segment is not None:
        entry.segment.require_whole()
        link.reference(entry.segment, entry.length)
        shared = (PRIVATE if entry.private else SHARED, entry.segment.id)
        run = seen.setdefault(shared, len(runs))
        if run == len(runs):
            runs.append(shared)
    return run, entry.offset, entry.length, entry.strides, entry.writable


def _fill(block: Block, run: CopyRange) -> None:
    if run.array is None:
        block.copy_from(run.low, run.size)
    else:
        run.copy_to(block.view())


def _fill_pieces(block: Block, pieces: list[Any]) -> None:
    """Write the pieces one after another; small neighbours with one call."""
    at = 0
    small: list[Any] = []
    for piece in [*pieces, None]:
        if piece is not None and len(piece) < CUTOFF:
            small.append(piece)
            continue
        for data in (b"".join(small), piece) if piece is not None else (b"".join(small),):
            block.write(memoryview(data), at)
            at += len(data)
        small = []


def decode(rich: bool, body: memoryview, link: Inward) -> Any:
    """Rebuild the object that ``write_message`` wrote, on the buffers where they are."""
    if not rich:
        return pickle.loads(body)
    if body[:8] == _REFERENCES:
        return _resolve(body[8:], link)
    inline, runs, entries, stream = opened(body, link)
    views = [_run_view(run, inline, link) for run in runs]
    return pickle.loads(stream, buffers=[source(entry, views) for entry in entries])


def opened(
    body: memoryview, link: Inward
) -> tuple[memoryview, list[tuple[int, ...]], list[tuple[Any, ...]], memoryview]:
    """Return the parts of a rich body: the small runs, the manifest's runs and entries, and the
    pickle stream."""
    segment_id, offset, manifest_size, size = _HEAD.unpack_from(body)
    data = (
        link.block_view(segment_id, offset, size)
        if segment_id
        else body[_HEAD.size : _HEAD.size + size]
    )
    inline_size, runs, entries = marshal.loads(data[:manifest_size])
    end = manifest_size + inline_size
    return data[manifest_size:end], runs, entries, data[end:]


def release(rich: bool, body: memoryview, link: Inward) -> None:
    """Return the blocks that came with the message, instead of decoding it."""
    if not rich or body[:8] == _REFERENCES:
        return
    segment_id, offset, manifest_size, size = _HEAD.unpack_from(body)
    data = link.block_view(segment_id, offset, size) if segment_id else body[_HEAD.size :]
    for run in marshal.loads(data[:manifest_size])[1]:
        if run[0] == BLOCK:
            link.block_view(run[1], run[2], run[3])


def _resolve(stream: memoryview, link: Inward) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that ``_references`` encoded."""
    resolve = _arrays_module().resolve
    args, refer = pickle.loads(stream)
    for at, segment_id, *how in refer:
        args[at] = resolve(link.shared_base(segment_id), *how)
    return tuple(args), {}


def _run_view(run: tuple[int, ...], inline: memoryview, link: Inward) -> memoryview:
    if run[0] == INLINE:
        return memoryview(bytearray(inline[run[1] : run[1] + run[2]]))
    if run[0] == BLOCK:
        return link.block_view(run[1], run[2], run[3])
    if run[0] == PRIVATE:
        return link.private_view(run[1])
    return link.shared_view(run[1])


def source(entry: tuple[Any, ...], views: list[memoryview]) -> Any:
    """Return the next buffer of a stream: bytes, or the argument of ``arrays.build``."""
    run, offset, length, strides, writable = entry
    view = views[run]
    if not writable:
        view = view.toreadonly()
    return view[offset : offset + length] if strides is None else (view, offset, strides)


def layout(made: CopyPlan) -> tuple[int, list[int]]:
    """Return the total size and the offset of each run, all in one piece, aligned."""
    offsets: list[int] = []
    end = 0
    for run in made.runs:
        start = -(-end // ALIGN) * ALIGN
        offsets.append(start)
        end = start + run.size
    return end, offsets


def rebuild(encoded: Encoded, views: list[memoryview]) -> Any:
    """Rebuild the encoded object in this process, with its runs in ``views``."""
    assert encoded.plan is not None
    buffers = []
    for entry in encoded.plan.entries:
        view = (
            entry.segment.view(0, entry.segment.size)
            if entry.segment is not None
            else views[entry.run]
        )
        fields = (0, entry.offset, entry.length, entry.strides, entry.writable)
        buffers.append(source(fields, [view]))
    return pickle.loads(encoded.stream(), buffers=buffers)
