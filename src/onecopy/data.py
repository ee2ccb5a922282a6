"""The data doors: ``share``, ``load`` and what belongs to them.

Everything here may be called from any thread and in any process; what it gives back may
be passed to workers under every start method without moving a byte.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from ._memory import sharing
from ._memory.load import load as _load
from ._memory.sharing import SegmentInfo

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "SegmentInfo",
    "empty",
    "freeze",
    "full",
    "is_shared",
    "load",
    "private",
    "segments",
    "share",
    "zeros",
]

T = TypeVar("T")


def share(obj: T) -> T:
    """One copy of ``obj``: the same type back, its buffers in one sealed segment.

    Every array and buffer inside ``obj`` is copied once into memory that no process can
    write, not even through C code. Passing the result, or any view of it, to a worker
    moves no bytes. The memory goes back to the system when the last view has died.

    Args:
        obj: an array, a frame, or anything that holds some (a dict of arrays, a dataclass,
            a scipy.sparse matrix). What is shared already is returned as it is. For
            ``bytes`` and ``bytearray`` the result is a read-only ``memoryview``: a
            ``bytes`` object cannot stand on memory that is not its own.

    Returns:
        The shared object; its arrays are read-only (see ``private`` for a writable view).

    Raises:
        NotEnoughMemory: it does not fit; nothing was touched.
        NotPicklable: a part of it cannot travel to another process; names the part.

    Warns:
        PickledWarning: an array of dtype object or ``StringDType`` is in it. Its elements
            are Python objects; they are pickled with each task.

    Blocks while it copies. Thread-safe; a forked child sees the same memory.

    Example:
        >>> import numpy as np, onecopy as oc
        >>> data = oc.share(np.arange(6.0))
        >>> oc.is_shared(data[2:4]), data.flags.writeable
        (True, False)
    """
    return sharing.share(obj)  # type: ignore[no-any-return]


def load(path: str | os.PathLike[str], **options: Any) -> Any:
    """The data in a file, as one shared copy; no copy at all where the format allows.

    Args:
        path: ``.npy``: mapped, neither copied nor read, an ndarray of the file's shape and
            dtype. ``.npz``: a mapping of arrays by name; stored members are mapped,
            compressed ones inflated straight into a segment.

    Raises:
        BadFile: damaged, truncated or unknown; says what and where.
        FileNotFoundError: there is no such file.
        NotEnoughMemory: a compressed member does not fit.

    Never unpickles. The file must not be shortened while it is in use: a task that reads
    beyond its new end fails with ``FileTruncated``, the pool goes on. Thread-safe.

    Example:
        >>> import numpy as np, onecopy as oc, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.eye(2))
        >>> oc.load(path).sum()
        np.float64(2.0)
    """
    return _load(path, **options)


def empty(shape: int | tuple[int, ...], dtype: Any = float) -> np.ndarray[Any, Any]:
    """A new array that every process may write: workers write results into it in place.

    Args:
        shape: an int or a tuple of ints.
        dtype: anything that ``np.dtype`` takes, without Python objects in it.

    Returns:
        An ndarray of zeros (fresh pages are); each such array is a segment and takes one
        file descriptor.

    Raises:
        NotEnoughMemory: it does not fit; nothing was touched.
        TypeError: the dtype holds Python objects.

    Writing the same element from several processes is a race, as with threads.

    Example:
        >>> import onecopy as oc
        >>> out = oc.empty((2, 3), "f4")
        >>> out[1] = 7
    """
    return sharing.empty(shape, dtype)


def zeros(shape: int | tuple[int, ...], dtype: Any = float) -> np.ndarray[Any, Any]:
    """As ``empty``, and promised to be zero."""
    return sharing.empty(shape, dtype)


def full(shape: int | tuple[int, ...], fill_value: Any, dtype: Any = None) -> np.ndarray[Any, Any]:
    """As ``empty``, filled with ``fill_value``, whose dtype is taken unless one is given."""
    return sharing.full(shape, fill_value, dtype)


def freeze(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Seals an array made by ``empty``, ``zeros`` or ``full``: read-only from now on.

    In every process: each swaps its writable mapping for a read-only one at the same
    address, then the kernel is told to refuse any writable one. ``array`` itself becomes
    read-only too. A write through another view that was taken before, here or in a worker,
    is refused by the kernel: it ends the process with a segmentation fault.

    Args:
        array: the array or a view of it; the whole of its segment is sealed. One that is
            read-only shared already is returned as it is.

    Returns:
        The array, read-only.

    Raises:
        NotShared: ``array`` is not of that kind, or this process did not make it.

    Blocks until the workers that know the array have answered, which a busy one does when
    its task has ended. Not to be called from a future's callback.
    """
    return sharing.freeze(array)


def private(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A writable view of a shared array; only this process sees what is written.

    Copies nothing: the kernel copies a page when it is first written to.

    Args:
        array: an array in shared memory, or a view of one.

    Returns:
        An array of the same shape, dtype and strides. Passed on to a worker, it is a plain
        array: its bytes are copied.

    Raises:
        NotShared: ``array`` does not stand in shared memory.

    Example:
        >>> import numpy as np, onecopy as oc
        >>> data = oc.share(np.zeros(3))
        >>> mine = oc.private(data)
        >>> mine[0] = 5
        >>> float(data[0])
        0.0
    """
    return sharing.private(array)


def is_shared(obj: Any) -> bool:
    """Would passing ``obj`` to a worker move none of its buffers?

    True when it holds at least one buffer and all of them stand in shared memory.
    """
    return sharing.is_shared(obj)


def segments() -> list[SegmentInfo]:
    """What stands in shared memory now, as far as this process has views of it."""
    return sharing.segments()
