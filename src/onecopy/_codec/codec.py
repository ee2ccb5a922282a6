"""From an object to a message and back: what crosses without moving bytes, and what moves.

A message's *body* is either a bare pickle stream (the common small task), or::

    head      block's segment, block's offset, length of the manifest, length of the rest
    data      manifest | small runs | pickle stream      (here, or in that arena block)

or, for a call with scalars and views of shared arrays only (``References``)::

    head      1
    data      pickle stream of the arguments and of where each view lies

The manifest says for each buffer of the stream where it stands: in a small run of this
message (copied, one piece of heap per run), in an arena block (built upon, given back
when the last view dies), or in a segment that both sides know (built upon; nothing moves).
"""

from __future__ import annotations

import marshal
import pickle
import struct
import sys
from typing import Any, Protocol

from .._memory.arena import Arena, Block
from .._memory.segment import Kind, Segment
from .buffers import Entry, Plan, Run, plan
from .pickling import (
    NO_REDUCERS,
    NOT_DEFINING,
    NOTHING,
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
# Stands where a rich body has its block's segment; no segment has this id.
_REFERENCES = struct.pack("<Q", 1)
_INLINE, _BLOCK, _SHARED, _PRIVATE = range(4)


class Outward(Protocol):
    """What the sender's side of a link does for the codec."""

    arena: Arena

    def mention(self, segment: Segment, nbytes: int) -> None:
        """The message refers to ``nbytes`` of ``segment``: the peer must know it by then."""

    def lend(self, block: Block) -> None:
        """The peer holds ``block`` from now on."""


class Inward(Protocol):
    """What the receiver's side of a link does for the codec."""

    def shared_view(self, segment_id: int) -> memoryview:
        """The whole of a segment that the peer has made known."""

    def shared_base(self, segment_id: int) -> Any:
        """The same as what ``arrays.resolve`` takes."""

    def private_view(self, segment_id: int) -> memoryview:
        """The same, writable: this process alone sees what it writes there."""

    def block_view(self, segment_id: int, offset: int, size: int) -> memoryview:
        """A block of the peer's arena; it is given back when the last view has died."""


class Draft:
    """A pickled object whose buffers are still where they were.

    Copying is put off until the message is really sent: a thousand waiting tasks with
    large arguments hold references, not a thousand copies.

    Attributes:
        plan: what will be copied and what referred to; None for a bare stream.
        nbytes: bytes that sending it will copy.
        carried: segments that the receiver gets to know with it, besides those of buffers.
    """

    __slots__ = ("_pickled", "_root", "carried", "nbytes", "plan")

    def __init__(self, pickled: Pickled) -> None:
        self._pickled = pickled
        self._root: object = None
        self.carried: list[Segment] = []
        spans = pickled.buffers.spans
        self.plan: Plan | None = plan(spans) if spans else None
        self.nbytes = pickled.size + (self.plan.copied if self.plan else 0)

    @property
    def pickled_arrays(self) -> list[str]:
        """Arrays whose elements had to be pickled."""
        return self._pickled.buffers.pickled

    @property
    def references(self) -> list[Any]:
        """Functions and classes of the user's that the object refers to."""
        return self._pickled.buffers.references

    def plain_arrays(self) -> tuple[list[Any], bool]:
        """The arrays that are copied, and whether they are parts of frames."""
        spans = self._pickled.buffers.spans
        entries = self.plan.entries if self.plan is not None else []
        plain = zip(spans, entries, strict=False)
        arrays = [span.owner for span, entry in plain if entry.segment is None]
        stream = bytes(self._pickled.chunks[0][:4096])
        frames = any(name in stream for name in (b"pandas", b"polars", b"pyarrow"))
        return [each for each in arrays if hasattr(each, "nbytes")], frames

    @property
    def stream_size(self) -> int:
        """Bytes of what is not a buffer."""
        return self._pickled.size

    def is_bare(self) -> bool:
        return self.plan is None and not self.carried and self._pickled.size <= CUTOFF

    def stream(self) -> bytes:
        chunks = self._pickled.chunks
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def chunks(self) -> list[Any]:
        return self._pickled.chunks

    def anchor(self) -> None:
        """Copies the buffers into one sealed segment now, for a draft that goes to many.

        Every receiver builds on a private view of that one copy: its arrays are writable
        and its own, and a page is copied only where it writes. Does nothing for small ones.
        Raises NotEnoughMemory.
        """
        if self.plan is None or self.plan.copied <= CUTOFF:
            return
        size, offsets = layout(self.plan)
        placed = store.put(size, list(zip(offsets, self.plan.runs, strict=True)))
        for entry in self.plan.entries:
            if entry.segment is None:
                entry.segment, entry.private = placed.segment, True
                entry.offset += placed.offset + offsets[entry.run]
        self.plan.runs = []
        self._root = placed.root
        self.nbytes = self._pickled.size

    def all_shared(self) -> bool:
        """Is there a buffer, and does every one stand in shared memory already? One without
        bytes does not stand anywhere."""
        return self.plan is not None and not (self.plan.copied or self.has_small)

    @property
    def has_small(self) -> bool:
        """Are there arrays whose elements stand in the stream?"""
        roots = self._pickled.buffers.roots
        return roots is not None and any(root is not None for root in roots.values())


def encode(
    obj: Any,
    namespace: Namespace = NOTHING,
    what: str = "object",
    *,
    sealing: bool = False,
    reducers: Reducers = NO_REDUCERS,
    defining: Defining = NOT_DEFINING,
    most: int | None = None,
) -> Draft:
    """Pickles ``obj`` without copying a buffer; see ``pickling.dumps``, also for errors."""
    return Draft(
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
_SIMPLE = _TEXT | {int, float, bool, type(None), complex}
# Lists of more than this are not looked through: our pickler is as fast with them.
_FEW = 64


_arrays: Any = None


def _arrays_module() -> Any:
    """``arrays``, which imports NumPy: asked for where there is an array. An import statement
    costs several microseconds each time where the caches are cold."""
    global _arrays
    if _arrays is None:
        from . import arrays

        _arrays = arrays
    return _arrays


class References:
    """Arguments that are scalars and views of shared arrays: the commonest call of all,
    ``f(data[i:j], x)``, which needs neither a pickler of ours nor a plan."""

    __slots__ = ("_arrays", "segments", "stream")

    def __init__(
        self, stream: bytes, segments: list[tuple[Segment, int]], arrays: tuple[Any, ...]
    ) -> None:
        self.stream = stream
        self.segments = segments
        self._arrays = arrays  # keeps the views, and with them the mappings


Encoded = Draft | References | bytes


def encode_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], namespace: Namespace
) -> Encoded:
    """As ``encode`` of ``(args, kwargs)``; shorter for scalars and views of shared arrays."""
    kinds = set(map(type, args))
    if not kwargs and not _has_long(args, kinds):
        others = kinds - _SIMPLE
        if not others:
            stream = pickle.dumps((args, kwargs), 5)
            if len(stream) <= CUTOFF:
                return stream
        # While another thread imports it, there is no array to be seen.
        ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
        if others == {ndarray}:
            references = _references(args, ndarray)
            if references is not None:
                return references
    return encode((args, kwargs), namespace, "call")


def _references(args: tuple[Any, ...], ndarray: Any) -> References | None:
    """None when an array is not shared, is there twice (it has to arrive as one object), or
    the rest is long."""
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
    """Is there, among values of these types, text that does not fit into a bare message? It must
    not be copied to find out."""
    if not kinds & _TEXT:
        return False
    return any(type(value) in _TEXT and len(value) > CUTOFF for value in values)


def _bare(values: Any) -> bytes | None:
    """The stream of a few scalars, or of numbers in a range; None for anything else."""
    if type(values) is list:
        if len(values) > _FEW:
            return None
        kinds = set(map(type, values))
        if not kinds <= _SIMPLE or _has_long(values, kinds):
            return None
    elif type(values) is not range:
        return None
    stream = pickle.dumps(values, 5)
    return stream if len(stream) <= CUTOFF else None


def encode_items(items: Any, namespace: Namespace, what: str) -> Encoded:
    """As ``encode`` of a chunk of items; shorter for a few scalars."""
    return _bare(items) or encode(items, namespace, what)


def encode_result(value: Any, namespace: Namespace) -> Encoded:
    """As ``encode``; the bare stream for a plain scalar, and for a list of a few."""
    kind = type(value)
    if kind in _SIMPLE:
        if not _has_long((value,), {kind}):
            stream = pickle.dumps(value, 5)
            if len(stream) <= CUTOFF:
                return stream
    elif (bare := _bare(value)) is not None:
        return bare
    return encode(value, namespace, "result")


def place(draft: Encoded, link: Outward) -> tuple[bool, bytes]:
    """Copies what has to be copied; returns (is it a rich body, the body).

    Blocks until large buffers are copied (without the GIL). Raises NotEnoughMemory when
    the arena cannot grow; nothing is lost then and nothing is lent.
    """
    if type(draft) is bytes:
        return False, draft
    if type(draft) is References:
        for segment, nbytes in draft.segments:
            if segment.kind == Kind.FILE:
                segment.require_whole()
            link.mention(segment, nbytes)
        return True, draft.stream
    assert isinstance(draft, Draft)
    if draft.is_bare():
        return False, draft.stream()
    lent: list[Block] = []
    try:
        body = _place(draft, link, lent)
    except BaseException:
        for block in lent:
            link.arena.abandon(block.segment.id, block.offset)
        raise
    for block in lent:
        link.lend(block)
    return True, body


def _place(draft: Draft, link: Outward, lent: list[Block]) -> bytes:
    made = draft.plan or Plan()
    for segment in draft.carried:
        link.mention(segment, 0)
    runs: list[tuple[int, ...]] = []
    inline: list[bytes] = []
    offset = 0
    for run in made.runs:
        if run.size <= CUTOFF:
            piece = run.to_bytes()
            inline.append(piece)
            runs.append((_INLINE, offset, run.size))
            offset += run.size
        else:
            block = link.arena.allocate(run.size)
            lent.append(block)
            _fill(block, run)
            runs.append((_BLOCK, block.segment.id, block.offset, run.size))
    seen: dict[tuple[int, ...], int] = {}
    entries = [_entry(entry, runs, seen, link) for entry in made.entries]
    manifest = marshal.dumps((offset, runs, entries))
    data = [manifest, *inline, *draft.chunks()]
    size = sum(map(len, data))
    if size <= 2 * CUTOFF:
        return b"".join([_HEAD.pack(0, 0, len(manifest), size), *data])
    block = link.arena.allocate(size)
    lent.append(block)
    _fill_pieces(block, data)
    return _HEAD.pack(block.segment.id, block.offset, len(manifest), size)


def _entry(
    entry: Entry, runs: list[tuple[int, ...]], seen: dict[tuple[int, ...], int], link: Outward
) -> tuple[Any, ...]:
    """What the manifest says of one buffer; ``seen`` knows each segment's place in ``runs``."""
    run = entry.run
    if entry.segment is not None:
        entry.segment.require_whole()
        link.mention(entry.segment, entry.length)
        shared = (_PRIVATE if entry.private else _SHARED, entry.segment.id)
        run = seen.setdefault(shared, len(runs))
        if run == len(runs):
            runs.append(shared)
    return run, entry.offset, entry.length, entry.strides, entry.writable


def _fill(block: Block, run: Run) -> None:
    if run.array is None:
        block.copy_from(run.low, run.size)
    else:
        run.copy_to(block.view())


def _fill_pieces(block: Block, pieces: list[Any]) -> None:
    """Writes the pieces one after another; small neighbours with one call."""
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
    """The inverse of ``place``: builds the object, on the buffers where they stand."""
    if not rich:
        return pickle.loads(body)
    if body[:8] == _REFERENCES:
        return _resolve(body[8:], link)
    segment_id, offset, manifest_size, size = _HEAD.unpack_from(body)
    if segment_id:
        data = link.block_view(segment_id, offset, size)
    else:
        data = body[_HEAD.size : _HEAD.size + size]
    inline_size, runs, entries = marshal.loads(data[:manifest_size])
    inline = data[manifest_size : manifest_size + inline_size]
    views = [_run_view(run, inline, link) for run in runs]
    stream = data[manifest_size + inline_size :]
    return pickle.loads(stream, buffers=[_source(entry, views) for entry in entries])


def release(rich: bool, body: memoryview, link: Inward) -> None:
    """Instead of ``decode``: gives the blocks back that came with the message."""
    if not rich or body[:8] == _REFERENCES:
        return
    segment_id, offset, manifest_size, size = _HEAD.unpack_from(body)
    data = link.block_view(segment_id, offset, size) if segment_id else body[_HEAD.size :]
    for run in marshal.loads(data[:manifest_size])[1]:
        if run[0] == _BLOCK:
            link.block_view(run[1], run[2], run[3])


def _resolve(stream: memoryview, link: Inward) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inverse of ``_references``."""
    resolve = _arrays_module().resolve
    args, refer = pickle.loads(stream)
    for at, segment_id, *how in refer:
        args[at] = resolve(link.shared_base(segment_id), *how)
    return tuple(args), {}


def _run_view(run: tuple[int, ...], inline: memoryview, link: Inward) -> memoryview:
    if run[0] == _INLINE:
        return memoryview(bytearray(inline[run[1] : run[1] + run[2]]))
    if run[0] == _BLOCK:
        return link.block_view(run[1], run[2], run[3])
    if run[0] == _PRIVATE:
        return link.private_view(run[1])
    return link.shared_view(run[1])


def _source(entry: tuple[Any, ...], views: list[memoryview]) -> Any:
    """What the stream gets for its next buffer: bytes, or what ``arrays.build`` takes."""
    run, offset, length, strides, writable = entry
    view = views[run]
    if not writable:
        view = view.toreadonly()
    return view[offset : offset + length] if strides is None else (view, offset, strides)


def layout(made: Plan) -> tuple[int, list[int]]:
    """Total size and the offset of each run when all stand in one piece, aligned."""
    offsets: list[int] = []
    end = 0
    for run in made.runs:
        start = -(-end // ALIGN) * ALIGN
        offsets.append(start)
        end = start + run.size
    return end, offsets


def rebuild(draft: Draft, views: list[memoryview]) -> Any:
    """Builds the drafted object again in this process, its runs standing in ``views``."""
    assert draft.plan is not None
    buffers = []
    for entry in draft.plan.entries:
        if entry.segment is not None:
            view = entry.segment.view(0, entry.segment.size)
        else:
            view = views[entry.run]
        fields = (0, entry.offset, entry.length, entry.strides, entry.writable)
        buffers.append(_source(fields, [view]))
    return pickle.loads(draft.stream(), buffers=buffers)
