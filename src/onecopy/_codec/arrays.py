"""NumPy arrays without their bytes: the description of an array, and an array from a buffer.

NumPy's own protocol 5 sends strided, structured, masked and memory-mapped arrays in-band, so every
byte is copied through the pipe. Here every array whose elements are plain bytes becomes (dtype,
shape, class, state) and a span.

Not covered: dtype object and ``StringDType``, whose elements are pointers; and subclasses with
their own pickling, which is honoured.

Imported only where NumPy already is: importing that costs more than starting a forked worker.
"""

from __future__ import annotations

import os
import pickle
import sys
import weakref
from typing import Any, Literal

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .._memory.segment import Kind, ReceivedFile, Segment, registry
from .._system import mapping
from .buffers import BufferView
from .homes import find

_ndarray = np.ndarray
_SLOT = pickle.PickleBuffer(bytearray(1))
_OWN_PICKLING = ("__reduce__", "__reduce_ex__", "__setstate__")
# Up to this many bytes, the elements of a plain array are put into the stream, as pickle does it:
# 2.5 to 3 microseconds on both sides together, where a span takes 9.
SMALL = 1024


def _is_flat(dtype: np.dtype[Any]) -> bool:
    """Return True if the elements consist of their bytes alone."""
    return not dtype.hasobject and dtype.kind != "T"


def _is_masked(cls: type) -> bool:
    """Return True for masked arrays. Without an import of ``numpy.ma``, which takes 5 ms: where
    there is a masked array, it is there."""
    return issubclass(cls, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ()))


def _plain_pickling(cls: type) -> bool:
    """Return True if ``cls`` leaves pickling to ndarray, or is a class known here."""
    base = np.ma.MaskedArray if _is_masked(cls) else _ndarray
    return all(getattr(cls, name) is getattr(base, name) for name in _OWN_PICKLING)


def _dtype_code(dtype: np.dtype[Any]) -> Any:
    """Return a value that is quick to pickle and that ``np.dtype`` turns into an equal dtype."""
    if dtype.names is None and dtype.subdtype is None and dtype.metadata is None:
        return dtype.str
    return dtype


def buffer_view_of(array: np.ndarray[Any, Any]) -> BufferView:
    """Return the memory range of an array's elements; for arrays with at least one element."""
    if array.flags.c_contiguous:
        low = array.__array_interface__["data"][0]
        high, first = low + array.nbytes, 0
    else:
        low, high = byte_bounds(array)
        first = array.__array_interface__["data"][0] - low
    flags = array.flags.writeable
    return BufferView(low, high, first, array.strides, flags, array.nbytes, array)


def reference(array: np.ndarray[Any, Any]) -> tuple[Segment, tuple[Any, ...]] | None:
    """Return the segment of a plain array in shared memory, and the arguments of ``resolve`` after
    the segment's view (its id first). None if the array is not in shared memory."""
    dtype = array.dtype
    if dtype.hasobject or dtype.kind == "T" or not array.nbytes:
        return None
    first = array.__array_interface__["data"][0]
    flags = array.flags
    low, high = (first, first + array.nbytes) if flags.c_contiguous else byte_bounds(array)
    found = registry.find(low)
    if found is None or found[1] + high - low > found[0].size:
        return None
    segment, offset = found
    writable = flags.writeable and segment.writable
    where = (segment.id, offset + first - low, _dtype_code(dtype), array.shape, array.strides)
    return segment, (*where, writable)


def resolve(
    base: Any,
    offset: int,
    code: Any,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    writable: bool,
) -> np.ndarray[Any, Any]:
    """Return the array that ``reference`` described.

    Args:
        base: the bytes of the segment: an array of ``base_of``, or a writable view.
    """
    if type(base) is memoryview and not writable:
        base = base_of(base.toreadonly())
    return _ndarray(shape, code, base, offset, strides)


def reducer(kind: type) -> Any:
    """Return the reducer for a class; see ``adapters``."""
    if issubclass(kind, np.ufunc):
        return _reduce_ufunc
    return _reduce if issubclass(kind, _ndarray) else None


def _reduce_ufunc(function: Any, buffers: Any) -> Any:
    """Reduce a ufunc that a main module has made, by ``np.frompyfunc`` say. It has no name of its
    own: it is found by the global that holds it, where workers import that module."""
    if getattr(np, function.__name__, None) is function:
        return NotImplemented
    from .main_module import main_module  # others must not wait for its parser

    if main_module() is None:
        return NotImplemented
    for name, value in list(vars(sys.modules["__main__"]).items()):
        if value is function:
            return find, ("", name)
    return NotImplemented


def _reduce(array: np.ndarray[Any, Any], buffers: Any) -> Any:
    if type(array) is _ndarray and array.nbytes <= SMALL and buffers.inline:
        reduced = _reduce_small(array)
        if reduced is not None:
            buffers.has_small = True
            return reduced
    reduced = reduce_array(array, buffers.spans)
    if reduced is NotImplemented:
        buffers.pickled.append(f"{type(array).__name__} of dtype {array.dtype}")
    return reduced


def _reduce_small(array: np.ndarray[Any, Any]) -> Any:
    """Reduce an array with its elements in the stream. Returns None for an array that may be
    shared, whose elements are not plain bytes, or that is not contiguous.

    Args:
        array: not of a user's class.
    """
    root: Any = array
    while (base := root.base) is not None:
        root = base
        if type(base) is not _ndarray:
            # Memory that NumPy or a bytearray has allocated is not shared. Asking for the address
            # takes longer than all the rest.
            if type(base) is bytearray or type(base) is bytes:
                break
            return None
    dtype, flags, shape = array.dtype, array.flags, array.shape
    if dtype.hasobject or dtype.kind == "T" or not array.nbytes or not flags.forc:
        return None
    elements = bytearray(array.tobytes("A"))  # writable, whatever the array is, as pickle has it
    # The dtype object itself: all others of the message with the same dtype refer to it.
    if len(shape) == 1:
        return _ndarray, (shape, dtype, elements)
    return _ndarray, (shape, dtype, elements, 0, array.strides)


def reduce_array(array: np.ndarray[Any, Any], spans: list[BufferView]) -> Any:
    """Reduce an array for ``reducer_override``; append its span to ``spans``.

    The slot that is pickled first among the arguments stands for the span: the unpickler replaces
    it by the next buffer, and spans are noted in that same order.
    """
    cls = type(array)
    dtype = array.dtype
    if not _is_flat(dtype) or (cls is not _ndarray and not _plain_pickling(cls)):
        return NotImplemented
    code = _dtype_code(dtype)
    how: tuple[Any, ...] = () if cls is _ndarray else (cls, _state(array))
    if array.size == 0 or dtype.itemsize == 0:
        return build_empty, (code, array.shape, array.flags.writeable, *how)
    span = buffer_view_of(array)
    if cls is np.memmap:
        span.known = _in_file(array, span.low)
    spans.append(span)
    return build, (_SLOT, code, array.shape, *how)


def _state(array: Any) -> dict[str, Any] | None:
    """Return a subclass's state beside the elements."""
    state = dict(getattr(array, "__dict__", ()))
    if isinstance(array, np.memmap):
        state["_mmap"] = None  # the receiver's mapping is not the file's own
    if _is_masked(type(array)) and state.get("_mask") is np.ma.nomask:
        state["_mask"] = None  # nomask is recognised by identity
    return state or None


def build(
    source: tuple[memoryview, int, tuple[int, ...]],
    code: Any,
    shape: tuple[int, ...],
    cls: type | None = None,
    state: dict[str, Any] | None = None,
) -> Any:
    """Return the array that ``reduce_array`` described, on the buffer from the message."""
    view, offset, strides = source
    array = on_buffer(view, shape, np.dtype(code), offset, strides)
    return array if cls is None else _as(array, cls, state)


def on_buffer(
    view: memoryview,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    offset: int = 0,
    strides: tuple[int, ...] | None = None,
    order: Literal["C", "F"] = "C",
) -> np.ndarray[Any, Any]:
    """Return an array on a buffer; on a read-only buffer it can never be made writable."""
    buffer: Any = base_of(view) if view.readonly else view
    return _ndarray(shape, dtype, buffer, offset, strides, order)


def base_of(view: memoryview) -> np.ndarray[Any, Any]:
    """Return the base for arrays on a read-only view.

    NumPy looks through a memoryview at the object behind it. If that is writable, NumPy would allow
    ``flags.writeable`` to be set on memory that the kernel protects. An array of bytes in between
    keeps the memory read-only.
    """
    return np.frombuffer(view, np.uint8)


def build_empty(
    code: Any,
    shape: tuple[int, ...],
    writable: bool,
    cls: type | None = None,
    state: dict[str, Any] | None = None,
) -> Any:
    """Return an array without elements, which needs no buffer."""
    array = _ndarray(shape, np.dtype(code))
    array.flags.writeable = writable
    return array if cls is None else _as(array, cls, state)


def _as(array: Any, cls: type, state: dict[str, Any] | None) -> Any:
    result = array.view(cls)
    if state:
        if _is_masked(cls) and state.get("_mask", 0) is None:
            state["_mask"] = np.ma.nomask
        result.__dict__.update(state)
    return result


# Mapped files that have been recognised: the mapping's address, its segment, and the offset in the
# file of the mapping's first byte. Keyed by the mapping object itself.
_adopted: weakref.WeakKeyDictionary[Any, tuple[int, Segment, int]] = weakref.WeakKeyDictionary()


def _in_file(array: Any, low: int) -> tuple[Segment, int] | None:
    """Return the file and the offset of the address ``low`` in it, for a read-only ``np.memmap``.

    The file is opened again by its name, and must be the one that is mapped here: device and inode
    are compared with what the kernel reports for the array's address. If the file has been
    replaced, or is open for writing, its bytes are copied instead.
    """
    path, mapped = getattr(array, "filename", None), getattr(array, "_mmap", None)
    if path is None or mapped is None or array.mode != "r":
        return None
    found = _adopted.get(mapped)
    if found is None:
        start = mapping.address_of(memoryview(mapped))
        place = mapping.file_at(start)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None  # deleted, or no longer allowed: the bytes are copied instead
        status = os.fstat(fd)
        if place is None or (status.st_dev, status.st_ino) != place[:2]:
            os.close(fd)
            return None
        file = ReceivedFile(fd, "file")
        segment = Segment(file, Kind.FILE, status.st_size, os.fspath(path))
        found = _adopted[mapped] = (start, segment, place[2])
        # There is no view of the segment here whose death could be noticed: the user's own mapping
        # takes its place.
        weakref.finalize(mapped, registry.announce_gone, segment.id).atexit = False
    start, segment, offset = found
    return segment, offset + low - start
