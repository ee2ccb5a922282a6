"""The data doors: ``share``, ``load`` and related functions.

Everything here may be called from any thread and in any process. The results may be passed to
workers under every start method without copying a byte.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Never, Protocol, TypeVar, overload

from ._codec.adapters import user_types
from ._files.scan.handle import Block
from ._objects import sharing
from ._objects.sharing import SegmentInfo
from ._progress.asked import Bar, bar_of
from .errors import LoadWarning, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

    from ._files.load.interface import Wanted
    from ._objects.explain import Explanation
    from ._objects.log import AppendLog
    from ._objects.mappings import SharedDict, SharedSet
    from ._objects.sequences import SharedList, SharedText

__all__ = [
    "Block",
    "SegmentInfo",
    "append_log",
    "empty",
    "explain",
    "freeze",
    "full",
    "is_shared",
    "load",
    "private",
    "register",
    "segments",
    "share",
    "zeros",
]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
Array = TypeVar("Array", bound="np.ndarray[Any, Any]")
Number = TypeVar("Number", bound="complex | np.generic | None")
Scalar = TypeVar("Scalar", bound="np.generic")


class _HasArray(Protocol):
    """An array, frame, series, column or tensor: an argument of ``numpy.asarray``."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


class _NamedTuple(Protocol):
    def _asdict(self) -> dict[str, Any]: ...


Part = TypeVar("Part", bound=_HasArray)
Parts = TypeVar("Parts", bound=tuple[_HasArray, ...])
Named = TypeVar("Named", bound=_NamedTuple)

# The types of ``share``, from the certain to the likely. Containers of numbers become structures,
# and containers of arrays are kept. For others it depends on the values: ``SharedList[T] | Any``
# means that it reads like a SharedList, and may be a list. ``Never`` matches containers of Any,
# which would otherwise match the first of the others.


@overload
def share(obj: bytes | bytearray) -> memoryview: ...
@overload
def share(obj: str) -> SharedText | str: ...
@overload
def share(obj: Named) -> Named: ...
@overload
def share(obj: list[Never] | dict[Any, Never] | set[Never]) -> Any: ...  # of Any, or empty
@overload
def share(obj: list[Number] | tuple[Number, ...]) -> SharedList[Number]: ...
@overload
def share(obj: list[Part]) -> list[Part]: ...
@overload
def share(obj: Parts) -> Parts: ...
@overload
def share(obj: list[T] | tuple[T, ...]) -> SharedList[T] | Any: ...
@overload
def share(obj: dict[K, Number]) -> SharedDict[K, Number]: ...
@overload
def share(obj: dict[K, Part]) -> dict[K, Part]: ...
@overload
def share(obj: dict[K, V]) -> SharedDict[K, V] | Any: ...
@overload
def share(obj: set[Number] | frozenset[Number]) -> SharedSet[Number]: ...
@overload
def share(obj: set[T] | frozenset[T]) -> SharedSet[T] | Any: ...
@overload
def share(obj: T, *, order_by: str | Iterable[str] | None = None) -> T: ...
def share(obj: Any, *, order_by: str | Iterable[str] | None = None) -> Any:
    """Put one copy of ``obj`` into sealed memory, for all processes.

    Every array and buffer inside ``obj`` is copied once into memory that no process can write, not
    even through C code. Passing the result, or any view of it, to a worker copies no bytes. The
    memory is freed when the last view has died.

    Args:
        obj: an array, a frame, or anything that contains some: pandas, pyarrow, polars, xarray,
            scipy.sparse, torch (CPU), dicts, dataclasses, and classes registered with
            ``register``; or plain Python objects in a list, tuple, dict or set, or a long str.
            Shared objects are returned unchanged.
        order_by: for a frame of pandas or polars or an Arrow table: the name of a column, or
            several, by which its rows are sorted first. Then the rows of one value are a slice:
            ``Pool.map_groups(f, frame, by=...)`` passes them by reference.

    Returns:
        For arrays, frames and objects that contain them: the same type, its arrays read-only
        (see ``private`` for a writable view). Otherwise a structure that decodes objects on
        access:

        - list and tuple: a ``SharedList``; numbers are stored as one typed array;
        - dict (also OrderedDict; defaultdict and Counter, with the values of missing keys): a
          ``SharedDict``;
        - set and frozenset: a ``SharedSet``;
        - str of more than 65,536 characters: a ``SharedText``; a shorter one is kept;
        - bytes and bytearray: a read-only ``memoryview``.

        A list, tuple or dict of at most 256 parts is kept if one of them can be shared by itself
        (an array, a frame, a long list): only such parts are shared. Objects of your own
        subclasses of these types are kept.

        For a type checker, containers of numbers and of arrays are certain. Other containers
        have the structure's type (``SharedList[T] | Any``): an attribute that a ``SharedList``
        lacks is an error, and the results of its methods are not checked.

    Raises:
        NotEnoughMemory: it does not fit; nothing was touched.
        NotPicklable: a part of it cannot be sent to another process; names the part.

    Warns:
        PickledWarning: it contains an array or a column of dtype object or ``StringDType``, or
            another one made of Python objects, or more than 1 MiB of plain objects inside an
            object of another class; these are pickled with each task.

    A torch tensor has no read-only flag: writing to a shared one in place ends the process with a
    segmentation fault. Its ``clone()`` is writable.

    Blocks while it copies. Thread-safe; a forked child sees the same memory.

    Example:
        >>> import numpy as np, onecopy as oc
        >>> data = oc.share(np.arange(6.0))
        >>> oc.is_shared(data[2:4]), data.flags.writeable
        (True, False)
        >>> people = oc.share([{"name": "Ada", "age": 36}, {"name": "Alan", "age": 41}])
        >>> people[1], people.column("age")
        ({'name': 'Alan', 'age': 41}, array([36, 41], dtype=int8))
    """
    if order_by is not None:
        from ._objects.ordering import ordered

        obj = ordered(obj, order_by)
    return sharing.share(obj)


def load(  # noqa: PLR0913  # options of a file
    path: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    columns: str | Iterable[str] | None = None,
    rows: slice | tuple[int | None, int | None] | None = None,
    dtype: Any = None,
    format: str | None = None,
    allow_pickle: bool = False,
    sep: str | None = None,
    header: bool | None = None,
    names: Iterable[str] | None = None,
    quote: str | None = '"',
    escape: str | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    na_values: str | Iterable[str] | None = None,
    encoding: str | None = None,
    parse_dates: bool | str | Iterable[str] | Mapping[str, str | None] | None = None,
    skip_rows: int = 0,
    comment: str | None = None,
    bad_rows: Literal["error", "skip", "collect"] = "error",
    filter: Any = None,
    missing: Literal["error", "null"] = "error",
    errors: Literal["error", "skip"] = "error",
    progress: bool | str | Bar = False,
) -> Any:
    """Load a file, or several, as one shared copy; without a copy where the format allows.

    | format (by the file's name) | result | memory |
    | --- | --- | --- |
    | npy | ndarray | the file, mapped |
    | npz | mapping of ndarrays by name | the file; compressed members in a segment |
    | arrow: arrow, feather, ipc | pyarrow Table | the file; compressed: a segment |
    | parquet; csv, tsv; ndjson, jsonl | pyarrow Table | a segment |
    | hdf5: h5, hdf5 | mapping of ndarrays by path | a segment for each |
    | zarr | ndarray; for a group, a mapping | a segment for each |
    | pickled: pkl, pickle | the object, as by ``share`` | segments |

    Data that must be decoded is written to its segment piece by piece: the peak is the data and
    one piece of about 8 MB, plus the memory for decoding it. Passing a loaded table to a worker
    sends the same few bytes at any size; passing a block of it sends references to its buffers.

    Args:
        path: a name, a pattern (``"part-*.parquet"``, ``"**"`` for folders below), a folder,
            which means all files of one format in it, a URL that fsspec supports
            (extra ``remote``), or several of these. Several files, all of one format,
            become one dataset: arrays are joined along the first axis, tables by rows,
            whatever the order of their columns. With a pattern or a folder, folders called
            ``key=value`` give the table a column for the key.
        columns: names of columns, fields of records, or arrays of an archive; the others are
            not read. For a table, in this order.
        rows: a slice or a start and a stop, counted from 0 over all files.
        dtype: for arrays any argument of ``np.dtype``, for columns that or a pyarrow type; or a
            dict of these by name. A conversion that loses something is refused.
        format: the name in the first column, if the file's name does not show it.
        allow_pickle: load pickles too. Unpickling runs any code that the file contains.
        sep: CSV: the separator of values; found among ``, ; | tab`` if None.
        header: CSV: True if the first line holds names. None: True unless ``names`` are given.
            Without names, columns are called f0, f1, and so on.
        names: CSV: the names of all columns.
        quote, escape: CSV: the characters; None for none.
        decimal, thousands: CSV: the characters within numbers.
        na_values: CSV: additional texts that mean null, in columns of text too. In other
            columns an empty value, NA, NaN, null and similar texts always do.
        encoding: CSV, NDJSON: one of Python's; found if None.
        parse_dates: CSV, NDJSON: the columns that hold times, as names, or a dict from names to
            formats of ``strptime`` (None: ISO 8601). True: all that are ISO 8601, which is
            the default for CSV; False: none, the default for NDJSON.
        skip_rows: CSV: the number of lines to skip at the beginning.
        comment: CSV: lines that begin with this character are skipped.
        bad_rows: CSV, NDJSON: a row with a wrong number of values, or a line that is not an
            object, is an error, or left out ("skip"), or returned separately ("collect").
        filter: for tables, the rows that meet a comparison, such as ``("year", ">=", 2024)`` or
            ``"year >= 2024"``, or every comparison of a list; == != < <= > >=, and as a tuple
            "in" and "not in". Files and row groups without such rows are not read. ``rows``
            counts the rows that are left.
        missing: a column that some files do not have is an error, or "null" there.
        errors: a file that cannot be read is an error, or, among several, left out ("skip").
        progress: show on standard error how many bytes of the files have been read: True, a
            label, or an ``onecopy.Bar``. Mapped files are not read.

    Returns:
        See the table; with ``bad_rows="collect"`` a tuple of that and a list of named tuples
        (file, row, text, reason) of the rows left out.

    Raises:
        BadFile: a file is damaged, truncated, empty or of an unknown format; files do not match;
            or they do not have the columns or types. Says what and where, and keeps nothing.
        FileNotFoundError: there is no such file.
        OSError: a file or a server cannot be read; names it.
        MissingLibrary: the format needs a library that is not installed, such as pyarrow.
        NotEnoughMemory: the data that must be copied does not fit.
        ValueError: an option of text is given that the format does not have.

    Warns:
        LoadWarning: a separator or an encoding was guessed, rows were left out, or similar.

    Values of text are never changed silently: integers beyond 64 bits become decimals, times
    in another zone than UTC stay text. Leading zeros of numbers are dropped;
    ``dtype={"zip": str}`` keeps them. Without ``allow_pickle`` nothing is unpickled. A mapped
    file must not be changed while it is in use: a task that reads beyond a new end fails with
    ``FileTruncated``, and the pool goes on. The values in a mapped Arrow file are not checked:
    check an untrusted file with ``table.validate(full=True)``. Blocks while it decodes.
    Thread-safe; a forked child sees the same memory. (zarr keeps its own threads once it has
    been used.)

    Example:
        >>> import numpy as np, onecopy as oc, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.eye(2))
        >>> oc.load(path).sum(), oc.load([path, path], rows=(1, 3)).tolist()
        (np.float64(2.0), [[0.0, 1.0], [1.0, 0.0]])
    """
    from ._files import load as files  # a program that only shares waits for none of it

    wanted = files.asked(
        columns=columns,
        rows=rows,
        dtype=dtype,
        allow_pickle=allow_pickle,
        sep=sep,
        header=header,
        names=names,
        quote=quote,
        escape=escape,
        decimal=decimal,
        thousands=thousands,
        na_values=na_values,
        encoding=encoding,
        parse_dates=parse_dates,
        skip_rows=skip_rows,
        comment=comment,
        bad_rows=bad_rows,
        filter=filter,
        missing=missing,
        errors=errors,
    )
    with metered(wanted, progress) as watched:
        found = files.loaded(path, watched, format)
    for line in wanted.notes.lines():
        warnings.warn(printable(line), LoadWarning, stacklevel=2)
    return (found, wanted.notes.bad_rows) if bad_rows == "collect" else found


@contextmanager
def metered(wanted: Wanted, progress: bool | str | Bar) -> Iterator[Wanted]:
    """Yield ``wanted`` with a progress bar; for this module and the command line."""
    bar = bar_of(progress)
    if bar is None:
        yield wanted
        return
    from ._files.load import places
    from ._files.load.meter import Meter
    from ._progress.bar import Progress

    bars: list[Progress] = []

    def begin(total: int) -> Callable[[int], None]:
        if bars:  # it is read once more
            bars[0].again(total)
        else:
            bars.append(Progress(total, "load", "bytes", bar))
            bars[0].start()
        return bars[0].advance

    try:
        yield replace(wanted, meter=Meter(begin, places.size))
    finally:
        for each in bars:
            each.finish()


@overload
def empty(shape: int | tuple[int, ...]) -> NDArray[np.float64]: ...


@overload
def empty(
    shape: int | tuple[int, ...], dtype: type[Scalar] | np.dtype[Scalar]
) -> NDArray[Scalar]: ...


@overload
def empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]: ...


def empty(shape: int | tuple[int, ...], dtype: DTypeLike = float) -> NDArray[Any]:
    """Create an array that every process may write: workers write results into it in place.

    Args:
        shape: an int or a tuple of ints.
        dtype: any argument of ``np.dtype``, without Python objects in it.

    Returns:
        An ndarray of zeros, since fresh pages are zero; each such array is a segment and takes one
        file descriptor.

    Raises:
        NotEnoughMemory: it does not fit; nothing was touched.
        TypeError: the dtype contains Python objects.

    Writing the same element from several processes is a race, as with threads.

    Example:
        >>> import onecopy as oc
        >>> out = oc.empty((2, 3), "f4")
        >>> out[1] = 7
    """
    return sharing.empty(shape, dtype)


@overload
def zeros(shape: int | tuple[int, ...]) -> NDArray[np.float64]: ...


@overload
def zeros(
    shape: int | tuple[int, ...], dtype: type[Scalar] | np.dtype[Scalar]
) -> NDArray[Scalar]: ...


@overload
def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]: ...


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike = float) -> NDArray[Any]:
    """Create an array like ``empty``, with the guarantee that it is zero."""
    return sharing.empty(shape, dtype)


@overload
def full(
    shape: int | tuple[int, ...], fill_value: Any, dtype: type[Scalar] | np.dtype[Scalar]
) -> NDArray[Scalar]: ...


@overload
def full(
    shape: int | tuple[int, ...], fill_value: Any, dtype: DTypeLike | None = None
) -> NDArray[Any]: ...


def full(
    shape: int | tuple[int, ...], fill_value: Any, dtype: DTypeLike | None = None
) -> NDArray[Any]:
    """Create an array like ``empty``, filled with ``fill_value``, whose dtype is the default."""
    return sharing.full(shape, fill_value, dtype)


def freeze(array: Array) -> Array:
    """Make an array of ``empty``, ``zeros`` or ``full`` read-only, for good.

    This applies to every process: each replaces its writable mapping by a read-only one at the same
    address, then the kernel is told to refuse any writable one. ``array`` itself becomes read-only
    too. A write through another view that was taken before, here or in a worker, is refused by the
    kernel: it ends the process with a segmentation fault.

    Args:
        array: the array or a view of it; the whole of its segment is sealed. An array that is
            shared read-only already is returned unchanged.

    Returns:
        The array, read-only.

    Raises:
        NotShared: ``array`` is not such an array, or this process did not create it.

    Blocks until the workers that have the array have answered; a busy one answers after its task.
    Do not call it in a future's callback.
    """
    return sharing.freeze(array)


def private(array: Array) -> Array:
    """Return a writable view of a shared array; only this process sees what is written.

    Copies nothing: the kernel copies a page when it is first written to.

    Args:
        array: an array in shared memory, or a view of one.

    Returns:
        An array of the same shape, dtype and strides. Passed on to a worker, it is a plain
        array: its bytes are copied.

    Raises:
        NotShared: ``array`` is not in shared memory.

    Example:
        >>> import numpy as np, onecopy as oc
        >>> data = oc.share(np.zeros(3))
        >>> mine = oc.private(data)
        >>> mine[0] = 5
        >>> float(data[0])
        0.0
    """
    return sharing.private(array)


def append_log() -> AppendLog:
    """Create a log that every worker appends to and the owner reads, in order.

    For what a task finds in addition to its result: a global list in a worker is the worker's own,
    and the owner's stays empty. Values are pickled into memory that all processes share until the
    last of them drops the log. Appended values stay even if their writer is killed.

    Returns:
        An ``AppendLog``; pass it to workers as any argument.

    Raises:
        NotEnoughMemory: not even a page is left.

    Example:
        >>> import onecopy as oc
        >>> found = oc.append_log()
        >>> def look(number):
        ...     if number % 40 == 0:
        ...         found.append({"number": number})
        >>> with oc.Pool(2) as pool:
        ...     _ = pool.map(look, range(100))
        >>> sorted(value["number"] for value in found)
        [0, 40, 80]
    """
    from ._objects import log

    return log.append_log()


def is_shared(obj: Any) -> bool:
    """Return True if passing ``obj`` to a worker copies no large part of it.

    That is so if it contains at least one buffer, all buffers are in shared memory, and there are
    no arrays or columns of Python objects. ``explain`` describes each part.
    """
    return sharing.is_shared(obj)


def explain(obj: Any) -> Explanation:
    """Explain which parts of ``obj`` are shared, which are copied or pickled with each task, and
    the remedy for those.

    Args:
        obj: anything that could be passed to a task. Frames are split into columns, containers of
            few elements into these, objects of your own classes into attributes.

    Returns:
        An ``Explanation``, which prints itself as a table, worst parts first.

    Raises:
        NotPicklable: a part of it cannot be sent to another process.

    Copies no buffer, but pickles Python objects. Thread-safe.

    Example:
        >>> import numpy as np, onecopy as oc
        >>> oc.explain({"a": oc.share(np.ones(100_000)), "b": np.ones(100_000)})
        dict: 800 kB shared, 800 kB copied and 64 B pickled with each task
          obj['b']  ndarray (float64)  copied  800 kB  oc.share(obj['b'])
          obj['a']  ndarray (float64)  shared  800 kB
    """
    from ._objects import explain as explained

    return explained.explain(obj)


def register(
    kind: type[T],
    to_buffers: Callable[[T], tuple[Any, Sequence[Any]]],
    from_buffers: Callable[[Any, list[Any]], T],
) -> None:
    """Define how objects of your own class are split into buffers, and rebuilt.

    A class that is pickled by its attributes needs no registration: arrays in them are shared.
    Register a class that keeps its data elsewhere, such as in memory of C code, or whose own
    pickling copies it.

    Args:
        kind: the class. Subclasses are not included.
        to_buffers: takes an object; returns a header that can be pickled, and a list of arrays and
            other objects with the buffer protocol.
        from_buffers: takes the header and the list of buffers; returns the object. An
            array comes as an array of the same dtype and shape, anything else as a
            ``memoryview``: read-only if the object is shared, otherwise writable if it was.
            The object must reference them for as long as it uses their memory.

    Raises:
        TypeError: ``kind`` is not a class, or is one that the interpreter itself pickles.

    Both functions are sent with an object (by name, or by value for lambdas and functions of
    ``__main__``), so a worker need not register anything to receive one, under any start method.
    After that it can send such objects back too. If a function creates the first one in the worker,
    register the class in the module that defines it. Thread-safe; a later call for the same class
    replaces the earlier one.

    Example:
        >>> import numpy as np, onecopy as oc
        >>> class Track:
        ...     def __init__(self, name, times, places):
        ...         self.name, self.times, self.places = name, times, places
        >>> oc.register(
        ...     Track,
        ...     lambda track: (track.name, [track.times, track.places]),
        ...     lambda name, buffers: Track(name, *buffers),
        ... )
        >>> track = oc.share(Track("a", np.arange(3.0), np.zeros((3, 2))))
        >>> track.name, oc.is_shared(track), track.places.flags.writeable
        ('a', True, False)
    """
    user_types.register(kind, to_buffers, from_buffers)


def segments() -> list[SegmentInfo]:
    """List the segments in shared memory of which this process has views."""
    return sharing.segments()
