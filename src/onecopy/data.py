"""The data doors: ``share``, ``load`` and what belongs to them.

Everything here may be called from any thread and in any process; what it gives back may
be passed to workers under every start method without moving a byte.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never, Protocol, TypeVar, overload

from ._codec.adapters import user_types
from ._files.load import asked as _asked
from ._files.load import loaded as _loaded
from ._files.load import places
from ._files.load.interface import Wanted
from ._files.load.meter import Meter
from ._objects import explain as explained
from ._objects import log, sharing
from ._objects.explain import ExplainedPart, Explanation
from ._objects.log import AppendLog
from ._objects.sharing import SegmentInfo
from ._progress.asked import Bar, bar_of
from .errors import LoadWarning, printable

if TYPE_CHECKING:
    import numpy as np

    from ._objects.mappings import SharedDict, SharedSet
    from ._objects.sequences import SharedList, SharedText

__all__ = [
    "ExplainedPart",
    "Explanation",
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


class _HasArray(Protocol):
    """An array, frame, series, column or tensor: what ``numpy.asarray`` asks."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any: ...


class _NamedTuple(Protocol):
    def _asdict(self) -> dict[str, Any]: ...


Part = TypeVar("Part", bound=_HasArray)
Parts = TypeVar("Parts", bound=tuple[_HasArray, ...])
Named = TypeVar("Named", bound=_NamedTuple)

# The types of ``share``, from the certain to the likely. Containers of numbers become
# structures, and containers of arrays stay what they are. What becomes of others depends on
# their values: ``SharedList[T] | Any`` says that it reads as a SharedList, and may be a list.
# ``Never`` is what containers of Any match, which would match the first of the others.


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
def share(obj: T) -> T: ...
def share(obj: Any) -> Any:
    """One copy of ``obj`` in one sealed segment, for all processes.

    Every array and buffer inside ``obj`` is copied once into memory that no process can
    write, not even through C code. Passing the result, or any view of it, to a worker
    moves no bytes. The memory goes back to the system when the last view has died.

    Args:
        obj: an array, a frame, or anything that holds some: pandas, pyarrow, polars, xarray,
            scipy.sparse, torch (CPU), dicts, dataclasses, and classes that are given to
            ``register``; or plain Python objects in a list, tuple, dict or set, or a long
            str. What is shared already is returned as it is.

    Returns:
        For arrays, frames and what holds them: the same type, its arrays read-only (see
        ``private`` for a writable view). Else what reads the objects where they stand:

        - list and tuple: a ``SharedList``; numbers of it are one typed array;
        - dict (also defaultdict, OrderedDict, Counter): a ``SharedDict``;
        - set and frozenset: a ``SharedSet``;
        - str of more than 65,536 characters: a ``SharedText``; a shorter one stays;
        - bytes and bytearray: a read-only ``memoryview``.

        A list, tuple or dict of at most 256 parts stays what it is when one of them is
        shared by itself (an array, a frame, a long list): such parts are, the others are
        left alone. A class of your own that is derived from one of these stays as it is.

        A type checker knows containers of numbers and of arrays for certain. Other
        containers it takes for the structure (``SharedList[T] | Any``): what a
        ``SharedList`` has not is an error, and what its methods give is not checked.

    Raises:
        NotEnoughMemory: it does not fit; nothing was touched.
        NotPicklable: a part of it cannot travel to another process; names the part.

    Warns:
        PickledWarning: an array or a column of dtype object or ``StringDType`` is in it, or
            another one that is made of Python objects, or more than 1 MiB of plain objects
            inside one of another class; they are sent with each task.

    A torch tensor has no read-only flag: to write to a shared one in place ends the process
    with a segmentation fault. Its ``clone()`` is writable.

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
    return sharing.share(obj)


def load(
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
    bad_rows: str = "error",
    filter: Any = None,
    missing: str = "error",
    errors: str = "error",
    progress: bool | str | Bar = False,
) -> Any:
    """The data in a file, or in several, as one shared copy; no copy where the format allows.

    ================================  ================================  =======================
    format (by the file's name)       comes as                          stands in
    ================================  ================================  =======================
    npy                               ndarray                           the file, mapped
    npz                               mapping of ndarrays by name       the file; compressed
                                                                        members in a segment
    arrow: arrow, feather, ipc        pyarrow Table                     the file, mapped; when
                                                                        compressed in a segment
    parquet; csv, tsv; ndjson, jsonl  pyarrow Table                     a segment
    hdf5: h5, hdf5                    mapping of ndarrays by path       a segment for each
    zarr                              ndarray; of a group, a mapping    a segment for each
    pickled: pkl, pickle              what it was, as by ``share``      segments
    ================================  ================================  =======================

    What has to be decoded goes piece by piece into its segment: the peak is the data and one
    piece of about 8 MB, with what decoding it takes. A loaded table moves the same few bytes
    to a worker at any size; a block of it, references to what it is made of.

    Args:
        path: a name, a pattern (``"part-*.parquet"``, ``"**"`` for folders below), a folder,
            which is all files of one format in it, a URL that fsspec knows (tables and npy; extra
            ``remote``), or several of these. Several files, all of one format, become one
            dataset: arrays are joined along the first axis, tables by their rows, whatever the
            order of their columns. Of a pattern and a folder, folders ``key=value`` give the
            table a column for the key.
        columns: names of columns, fields of records, or arrays of an archive; the others are
            not read. For a table, in this order.
        rows: a slice or a start and a stop, counted from 0 over all files.
        dtype: of arrays what ``np.dtype`` takes, for columns that or a pyarrow type; or a dict
            of these by name. A conversion that loses something is refused.
        format: the word at the left, where the file's name does not tell.
        allow_pickle: load pickles too. Unpickling runs whatever the file says.
        sep: CSV: what stands between values; found among ``, ; | tab`` if None.
        header: CSV: does the first line hold names? If None, it does unless ``names`` are given.
            Without any, columns are called f0, f1, and so on.
        names: CSV: the names of all columns.
        quote, escape: CSV: the characters; None for none.
        decimal, thousands: CSV: the characters within numbers.
        na_values: CSV: more texts that stand for no value, in columns of text too. In others
            an empty value, NA, NaN, null and the like always do.
        encoding: CSV, NDJSON: one of Python's; found if None.
        parse_dates: CSV, NDJSON: the columns that hold times, as names, or a dict from names to
            formats of ``strptime`` (None: ISO 8601). True: all that are ISO 8601, which is
            the default for CSV; False: none, the default for NDJSON.
        skip_rows: CSV: so many lines at the beginning are passed over.
        comment: CSV: lines that begin with this character are passed over.
        bad_rows: CSV, NDJSON: a row of another number of values, or a line that is no object,
            is an error, or left out ("skip"), or given back ("collect").
        filter: of tables the rows that meet a comparison, such as ``("year", ">=", 2024)`` or
            ``"year >= 2024"``, or each of a list of them; == != < <= > >=, and as a tuple "in"
            and "not in". Files and groups of rows that cannot hold any are not read. ``rows``
            are counted among those that are left.
        missing: a column that some files do not have is an error, or "null" there.
        errors: a file that cannot be read is an error, or, among several, left out ("skip").
        progress: show on standard error how many bytes of the files have been read: True, a
            label, or an ``onecopy.Bar``. Of a mapped file nothing is.

    Returns:
        As in the table; with ``bad_rows="collect"`` a tuple of that and a list of named tuples
        (file, row, text, reason) of what was left out.

    Raises:
        BadFile: damaged, truncated, empty or unknown; files that do not go together; columns
            or types that they do not have. Says what and where. Nothing is kept of it.
        FileNotFoundError: there is no such file.
        MissingLibrary: the format needs an extra, such as ``onecopy[arrow]``.
        NotEnoughMemory: what has to be copied does not fit.
        ValueError: something is said of text that the format has nothing of.

    Warns:
        LoadWarning: a separator or an encoding was found, rows were left out, and the like.

    No value of text is changed in silence: whole numbers beyond 64 bits become decimals, times
    of another zone than UTC stay text. Leading zeros of numbers go; ``dtype={"zip": str}``
    keeps them. Without ``allow_pickle`` nothing is unpickled. A mapped file must not be changed
    while it is in use: a task that reads beyond a new end fails with ``FileTruncated``, the pool
    goes on. The values in a mapped Arrow file are not looked at: check one that you do not trust
    by ``table.validate(full=True)``. Blocks while it decodes. Thread-safe; a forked child sees
    the same memory. (zarr keeps threads of its own once it has been used.)

    Example:
        >>> import numpy as np, onecopy as oc, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.eye(2))
        >>> oc.load(path).sum(), oc.load([path, path], rows=(1, 3)).tolist()
        (np.float64(2.0), [[0.0, 1.0], [1.0, 0.0]])
    """
    wanted = _asked(
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
        found = _loaded(path, watched, format)
    for line in wanted.notes.lines():
        warnings.warn(printable(line), LoadWarning, stacklevel=2)
    return (found, wanted.notes.bad_rows) if bad_rows == "collect" else found


@contextmanager
def metered(wanted: Wanted, progress: bool | str | Bar) -> Iterator[Wanted]:
    """``wanted`` with a bar for what is read; for this module and the command line."""
    bar = bar_of(progress)
    if bar is None:
        yield wanted
        return
    from ._progress.bar import Progress

    bars: list[Progress] = []

    def begin(total: int) -> Callable[[int], None]:
        if bars:  # it is read once more
            bars[0].again(total)
        else:
            bars.append(Progress(total, "load", "bytes", bar))
        return bars[0].advance

    try:
        yield replace(wanted, meter=Meter(begin, places.size))
    finally:
        for each in bars:
            each.finish()


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


def freeze(array: Array) -> Array:
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


def private(array: Array) -> Array:
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


def append_log() -> AppendLog:
    """A log that every worker appends to and the owner reads, in order.

    For what a task finds besides its result: a list that is global in a worker is the worker's
    own, and stays empty here. Values are pickled and stand in memory that all processes
    share until the last of them drops the log; what was appended is there when its writer
    is killed.

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
    return log.append_log()


def is_shared(obj: Any) -> bool:
    """Would passing ``obj`` to a worker move nothing of it that is large?

    True when it holds at least one buffer, all of them stand in shared memory, and there are
    no arrays or columns of Python objects beside them. ``explain`` says which part is which.
    """
    return sharing.is_shared(obj)


def explain(obj: Any) -> Explanation:
    """Which parts of ``obj`` are shared, which are copied or pickled with each task, and what
    to do about those.

    Args:
        obj: anything that could be passed to a task. Frames are looked at by column,
            containers of few things by thing, objects of your own classes by attribute.

    Returns:
        An ``Explanation``, which prints itself as a table, worst parts first.

    Raises:
        NotPicklable: a part of it cannot travel to another process.

    Copies no buffer, but pickles what is made of Python objects. Thread-safe.

    Example:
        >>> import numpy as np, onecopy as oc
        >>> oc.explain({"a": oc.share(np.ones(100_000)), "b": np.ones(100_000)})
        dict: 800 kB shared, 800 kB copied and 64 B pickled with each task
          obj['b']  ndarray (float64)  copied  800 kB  oc.share(obj['b'])
          obj['a']  ndarray (float64)  shared  800 kB
    """
    return explained.explain(obj)


def register(
    kind: type[T],
    to_buffers: Callable[[T], tuple[Any, Sequence[Any]]],
    from_buffers: Callable[[Any, list[Any]], T],
) -> None:
    """Tells how objects of your own class are taken apart into buffers, and put together.

    A class that pickles as its attributes needs no registration: arrays in them are shared
    as they are. It is for classes that keep their data elsewhere, such as in memory of C
    code, or whose own pickling copies it.

    Args:
        kind: the class. Objects of classes derived from it are not meant.
        to_buffers: takes an object; returns a header that can be pickled, and a list of
            arrays and other objects that show their memory (the buffer protocol).
        from_buffers: takes the header and the list of buffers; returns the object. An
            array comes as an array of that dtype and shape, all else as a ``memoryview``:
            read-only when the object is shared, else writable where it was. The object
            has to keep them for as long as it uses their memory.

    Raises:
        TypeError: ``kind`` is not a class, or one of those that the interpreter pickles.

    Both functions are sent along with an object (by name, or by value for lambdas and what
    ``__main__`` defines), and so a worker need not register anything to get one, under any
    start method; from then on it can send such objects back too. For a function that makes
    the first one in the worker, register beside the definition of the class, in its module.
    Thread-safe; a later call for the same class replaces the earlier one.

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
    """What stands in shared memory now, as far as this process has views of it."""
    return sharing.segments()
