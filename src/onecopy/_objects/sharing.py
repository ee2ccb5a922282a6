"""``share`` and related functions.

Covers sharing, the writable kinds (``empty``, ``zeros``, ``full``), ``freeze``, ``private`` and
listing segments. Reading files is in ``_files.load``.
"""

from __future__ import annotations

import errno
import warnings
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, TypeVar

import numpy as np

from .._codec.arrays import on_buffer
from .._codec.codec import encode, layout, rebuild
from .._codec.store import store
from .._memory.segment import Kind, ReceivedFile, Segment, new_segment, registry
from .._system import mapping
from ..errors import NotPicklable, NotShared, PickledWarning, kind_of

Array = TypeVar("Array", bound=np.ndarray[Any, Any])
# All that ``structured`` may have another form of.
_STRUCTURED = (str, list, tuple, dict, set, frozenset)
# Bytes of a shared object that may go through the pipe with each task without a warning.
_MUCH = 1 << 20
# The number of parts named that cannot be shared.
_NAMED = 5
# Seconds that the mappings of a process may outlive it.
_DYING = 1.0
_NAMES = {Kind.SHARED: "shared", Kind.FILE: "file", Kind.OPEN: "open", Kind.MESSAGE: "message"}


@dataclass(frozen=True)
class SegmentInfo:
    """One segment in this process's memory.

    Attributes:
        id: the segment's number, the same in every process.
        kind: ``"shared"``, ``"file"``, ``"open"`` or ``"message"``.
        nbytes: its size; for a common segment of small objects, the size that it may grow to.
        backing: ``"memfd"`` or ``"file"``.
        path: the user's file, for kind ``"file"``.
    """

    __module__ = "onecopy"

    id: int
    kind: str
    nbytes: int
    backing: str
    path: str | None


def share(obj: Any) -> Any:
    """See ``onecopy.share``."""
    if isinstance(obj, bytes | bytearray):
        obj = memoryview(obj)
    try:
        if isinstance(obj, _STRUCTURED):
            # Imported only now: a program that shares arrays does not need it.
            from .share_objects import structured

            obj = structured(obj)
    except NotPicklable:
        encode(obj, what="object")  # names the part by its path from here
        raise
    if isinstance(obj, np.ndarray) and _all_shared(obj):
        return obj
    encoded = encode(obj, what="object", sealing=True)
    if encoded.all_shared():
        return obj
    if encoded.pickled_arrays:
        warnings.warn(_pickled(obj, encoded.pickled_arrays), PickledWarning, stacklevel=3)
    elif encoded.stream_size > _MUCH:
        warnings.warn(
            f"share leaves {encoded.stream_size / 1e6:.1f} MB of Python objects inside a "
            f"{type(obj).__name__} as they are, to be sent with each task that it is passed to: "
            "share its lists, dicts and strings by themselves",
            PickledWarning,
            stacklevel=3,
        )
    if encoded.plan is None:
        return _frozen_empty(obj)
    for entry in encoded.plan.entries:
        entry.writable = False
    size, offsets = layout(encoded.plan)
    if not size:
        return rebuild(encoded, [])
    runs = encoded.plan.runs
    placed = store.put(size, list(zip(offsets, runs, strict=True)))
    whole = mapping.bytes_of(placed.root, write=False)
    views = [
        whole[placed.offset + offset : placed.offset + offset + run.size]
        for offset, run in zip(offsets, runs, strict=True)
    ]
    return rebuild(encoded, views)


def _frozen_empty(obj: Any) -> Any:
    """Return an array without elements read-only, like the rest: there is nothing to share."""
    if isinstance(obj, np.ndarray) and obj.size == 0:
        obj = obj.copy() if obj.flags.owndata else obj[...]
        obj.flags.writeable = False
    return obj


def is_shared(obj: Any) -> bool:
    """See ``onecopy.is_shared``."""
    if not isinstance(obj, np.ndarray):
        if isinstance(obj, str | int | float | complex | bytes | bytearray | None):
            return False
        encoded = encode(obj)
        return encoded.all_shared() and not encoded.pickled_arrays and encoded.stream_size <= _MUCH
    return _all_shared(obj)


def _all_shared(obj: Any) -> bool:
    """Return True if all buffers of an object, and at least one, are in shared memory."""
    if isinstance(obj, np.ndarray):
        if obj.size == 0:
            return not obj.flags.writeable and not obj.dtype.hasobject
        if type(obj) is np.ndarray and not obj.dtype.hasobject:
            low, high = np.lib.array_utils.byte_bounds(obj)
            return _inside(low, high)
    if isinstance(obj, str | int | float | complex | bytes | bytearray | None):
        return False
    return encode(obj).all_shared()


def _pickled(obj: Any, arrays: list[str]) -> str:
    """Return a message: the parts that cannot be shared, and the remedy."""
    from .explain import unshared

    try:
        parts = unshared(obj)
    except NotPicklable:  # the whole can be pickled, and a part of it cannot by itself
        parts = []
    what = ", ".join(dict.fromkeys(arrays))
    text = (
        f"{what} cannot be shared: it consists of Python objects, or only works on memory of its "
        "own. It is pickled with each task that the object is passed to"
    )
    named = [f"{each.path} ({each.cure})" for each in parts[:_NAMED]]
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return f"{text}: {', '.join(named)}{more}" if named else text


def _inside(low: int, high: int) -> bool:
    found = registry.find(low)
    return found is not None and found[1] + high - low <= found[0].size


def empty(shape: Any, dtype: Any = float) -> np.ndarray[Any, Any]:
    """See ``onecopy.empty``."""
    dtype = np.dtype(dtype)
    if dtype.hasobject or dtype.kind == "T":
        raise TypeError(f"dtype {dtype} holds Python objects, which cannot be in shared memory")
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    count = 1
    for length in shape:
        if length < 0:
            raise ValueError(f"negative dimensions are not allowed: {shape}")
        count *= int(length)
    size = count * dtype.itemsize
    if size == 0:
        return np.empty(shape, dtype)
    segment = new_segment(size, Kind.OPEN)
    segment.own().reserve(0, size)
    return np.ndarray(shape, dtype, segment.view(0, size))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> np.ndarray[Any, Any]:
    """See ``onecopy.full``."""
    array = empty(shape, np.asarray(fill_value).dtype if dtype is None else dtype)
    array[...] = fill_value
    return array


# Segments whose freezing has begun. One that was interrupted, or failed, is done again from its
# first step: until the last, a worker may be able to write.
_half_frozen: set[int] = set()


def _without_elements(obj: Any) -> bool:
    """Return True for an array without elements, which is in no segment, whatever made it."""
    return isinstance(obj, np.ndarray) and not obj.size


def freeze(array: Array) -> Array:
    """See ``onecopy.freeze``."""
    if _without_elements(array):
        array.flags.writeable = False
        return array
    segment = _segment_of(array, "freeze")[0]
    if segment.kind in (Kind.SHARED, Kind.FILE) and segment.id not in _half_frozen:
        return array
    if segment.forked or isinstance(segment.file, ReceivedFile):
        where = "a child of it" if segment.forked else "a worker"
        raise NotShared(f"freeze works in the process that made the array, not in {where}")
    # From here on no process gets a new writable mapping. Then every process replaces its mapping
    # by a read-only one, in place, and at last the bytes are sealed. This step comes first: a pool
    # that forks later inherits nothing writable, and a pool that has forked before is among the
    # listeners.
    _half_frozen.add(segment.id)
    segment.own().seal_mappings()
    segment.freeze()
    for listener in list(registry.listeners):
        listener.segment_frozen(segment.id)
    sealed = _sealed(segment)
    view: Any = array
    while isinstance(view, np.ndarray):
        view.flags.writeable = False
        view = view.base
    if not sealed:
        raise OSError(
            errno.EBUSY,
            "the array is read-only here and in every worker, but a process that was forked "
            "from this one, and is no pool's, still maps it writable: make such processes "
            "after freeze, or end them before it",
        )
    _half_frozen.discard(segment.id)
    root = segment.view(0, segment.size)
    offset = _offset(array, root)
    frozen: Any = on_buffer(root, array.shape, array.dtype, offset, array.strides)
    same: Array = frozen if type(array) is np.ndarray else frozen.view(type(array))
    return same


def _sealed(segment: Segment) -> bool:
    """Seal the segment; return False if a process still has a writable mapping.

    A worker that was killed has closed its socket, but its mappings exist while another process
    (our own sampler, for one) reads its ``/proc/PID/smaps``: that holds the memory of an ended
    process (``get_task_mm``). Only the seal itself shows when it is gone, so it is retried for a
    second.
    """
    give_up = monotonic() + _DYING
    while not segment.own().seal():
        if monotonic() > give_up:
            return False
        sleep(0.002)
    return True


def _offset(array: np.ndarray[Any, Any], root: memoryview) -> int:
    return int(array.__array_interface__["data"][0]) - mapping.address_of(root)


def private(array: Array) -> Array:
    """See ``onecopy.private``."""
    if _without_elements(array):
        return array.copy()
    segment, offset = _segment_of(array, "private")
    low, high = np.lib.array_utils.byte_bounds(array)
    start = offset // mapping.PAGE * mapping.PAGE
    size = offset + high - low - start
    root = mapping.private(segment.descriptor(), start, size)
    first = int(array.__array_interface__["data"][0]) - low
    view: Any = np.ndarray(array.shape, array.dtype, root, offset - start + first, array.strides)
    same: Array = view if type(array) is np.ndarray else view.view(type(array))
    return same


def _segment_of(array: Any, verb: str) -> tuple[Segment, int]:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{verb} takes an array, not {kind_of(array)}")
    low = np.lib.array_utils.byte_bounds(array)[0] if array.size else 0
    found = registry.find(low)
    if found is None:
        cure = "empty, zeros or full" if verb == "freeze" else "share or load"
        raise NotShared(f"{verb} takes an array in shared memory; make it by onecopy's {cure}")
    return found


def segments() -> list[SegmentInfo]:
    """See ``onecopy.segments``."""
    seen = {segment.id: segment for segment in registry.mapped()}
    for segment in list(registry.by_id.values()):
        if segment.kind == Kind.MESSAGE or segment.has_views():
            seen[segment.id] = segment
    return [
        SegmentInfo(s.id, _NAMES[s.kind], s.size, s.file.backing, s.path or None)
        for s in seen.values()
    ]
