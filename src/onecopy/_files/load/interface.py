"""The interface of file formats: the request, and the readers.

Each format is a module with ``open(name, wanted)``, which returns ``Arrays`` or a ``Tabular`` and
reads only the file's description. ``arrays`` and ``tables`` decide what is loaded and how;
``convert`` reads through the same interface. Both kinds of reader can read in pieces, first to
last, any number of times. Both can also report that the file has the layout of memory, so that it
is mapped.
"""

from __future__ import annotations

import errno
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ..._system.interrupts import raised_by_handler
from ...errors import BadFile, MissingLibrary, OnecopyError
from .meter import Meter
from .options import Notes, TextOptions

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from ..._memory.segment import Segment

# The bytes that are read, decoded or copied at a time: few enough to add little to the data, and
# enough that the cost per piece (a system call, a batch's description) does not matter.
PIECE = 8 << 20


@dataclass(frozen=True)
class Wanted:
    """The options of reading a file.

    Attributes:
        columns: names of columns, fields or members; None for all of them.
        start, stop: the rows; ``stop`` None is the end.
        dtype: a type for everything, or types by name; None keeps the file's types.
        allow_pickle: True if code in the file may be run.
        missing: the treatment of a column that some files do not have: "error" or "null".
        errors: the treatment of a file among several that cannot be read: "error" or "skip".
        filter: the comparisons that rows must meet.
        text: the options of CSV and NDJSON.
        as_text: keep values of CSV as text.
        notes: messages for the user.
        found: what was learnt about each file beyond its first block; see ``text.Found``.
        skipped: files that could not be read and are left out.
        meter: counts the progress of reading.
        made: the segments with what was decoded.
    """

    columns: tuple[str, ...] | None = None
    start: int = 0
    stop: int | None = None
    dtype: Any = None
    allow_pickle: bool = False
    missing: str = "error"
    errors: str = "error"
    filter: tuple[Any, ...] = ()
    text: TextOptions = field(default_factory=TextOptions)
    as_text: bool = False
    notes: Notes = field(default_factory=Notes, compare=False)
    found: dict[str, Any] = field(default_factory=dict, compare=False)
    skipped: set[str] = field(default_factory=set, compare=False)
    meter: Meter = field(default_factory=Meter, compare=False)
    made: list[Segment] = field(default_factory=list, compare=False)

    def plain(self) -> Wanted:
        """Return the options without what belongs to one call: messages, progress, findings."""
        return replace(self, notes=Notes(), found={}, skipped=set(), meter=Meter(), made=[])

    def skip(self, name: str, error: Exception) -> None:
        """Leave a file out, and note it."""
        self.skipped.add(name)
        self.notes.left_out.pop(name, None)
        self.notes.say(name, f"left out: {error}")

    @property
    def all_rows(self) -> bool:
        return self.start == 0 and self.stop is None

    def window(self, rows: int) -> tuple[int, int]:
        """Return the wanted rows of a table of ``rows`` as a start and a stop within it."""
        stop = rows if self.stop is None else min(self.stop, rows)
        return min(self.start, stop), stop


class Array(Protocol):
    """One array of a file.

    Attributes:
        where: file and member, for errors.
    """

    where: str

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def whole(self) -> np.ndarray[Any, Any] | None:
        """Return the array on the file's own bytes; None if it has to be decoded."""

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """Yield rows ``start`` to ``stop``, some at a time; a single value as one block."""


@dataclass(frozen=True)
class Stream:
    """The wanted rows of an array, of one file or of several, in the wanted type.

    Attributes:
        where: its source, for errors.
        blocks: yields the rows from the first to the last, some at a time; for a single value, the
            value.
    """

    where: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[], Iterator[np.ndarray[Any, Any]]]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass
class Arrays:
    """The arrays of one file, by name; ``single`` if the file is one array and not an archive.

    Attributes:
        where: the file, for errors.
    """

    where: str
    members: Mapping[str, Array]
    single: bool
    close: Callable[[], None] = lambda: None


class Tabular(Protocol):
    """The table of one file, with the wanted columns.

    Attributes:
        where: the file, for errors.
        rows: the number of rows; if the file does not contain it, None until ``batches`` has
            reached the end.
    """

    where: str

    @property
    def schema(self) -> pa.Schema: ...

    @property
    def rows(self) -> int | None: ...

    def part(self) -> tuple[Any, bool, tuple[int, ...] | None] | None:
        """Return the file's own bytes, in the form that ``adapters.tables`` opens; None if the
        table has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[pa.RecordBatch]:
        """Yield rows ``start`` to ``stop``, some at a time.

        Raises Retyped if the rows have other types than ``schema``, which is then updated.
        """

    def retype(self, types: Mapping[str, Any]) -> bool:
        """Read columns as these types from now on; return False if the file itself has types."""

    def close(self) -> None:
        """Release the file."""


class Damaged(BadFile):
    """One of several files cannot be read to its end, and may be left out: see ``Wanted.errors``.

    Args:
        said: the problem.
        where: the file.
    """

    def __init__(self, said: str, where: str) -> None:
        super().__init__(said, where)
        self.where = where

    def __str__(self) -> str:
        return str(self.args[0])


class Retyped(Exception):
    """Raised if a file has other types than its schema: the schema is updated, and the file must be
    read again from its beginning."""


class reading:
    """A context in which errors that a format's library raises on damaged files become BadFile, in
    one line.

    Errors of the system (no permission, no descriptor, a disk that fails) stay OSErrors that name
    the file. EINVAL is the exception: a damaged offset causes a seek to before the beginning, which
    is the file's fault.

    Not a generator: in Python 3.12 an error raised in a ``contextlib`` generator is part of a
    cycle, and keeps the loaded data until the garbage collector runs.
    """

    def __init__(self, where: str, what: str) -> None:
        self._where = where
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, OnecopyError | Retyped):
            return
        if raised_by_handler(error):
            return
        if _was_cancelled(error):
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                raise KeyboardInterrupt from error
            return
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            if error.filename is not None:
                return
            said = error.strerror or in_a_line(error)
            raise OSError(error.errno, said, self._where) from error
        said = f"is not a whole {self._what}"
        if isinstance(error, MemoryError):  # damaged lengths request the impossible, too
            said = f"is damaged, or there is too little memory to decode this {self._what}"
        raise BadFile(f"{self._where!r} {said}: {in_a_line(error)}") from error


def _was_cancelled(error: Exception) -> bool:
    """Return True for pyarrow's error at Ctrl-C. It has a handler of its own while it reads CSV, and
    sends the signal again for the program's; if that is late, its error comes first."""
    arrow = sys.modules.get("pyarrow.lib")
    return arrow is not None and isinstance(error, arrow.ArrowCancelled)


def in_a_line(error: BaseException, most: int = 300) -> str:
    """Return an exception's message as one line of limited length."""
    return plain(" ".join(str(error).split())[:most]) or type(error).__name__


def plain(text: str) -> str:
    """Return a file's text without control characters, which a terminal would obey."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def library(name: str, extra: str) -> Any:
    """Return a module of an optional library.

    Raises MissingLibrary, which says what to install.
    """
    try:
        return import_module(name)
    except ImportError as error:
        needed = name.partition(".")[0]
        raise MissingLibrary(
            f"this format needs {needed}, of onecopy's extra [{extra}]: pip install {needed} "
            f"({error})"
        ) from error


def positions(where: str, names: list[str], wanted: tuple[str, ...] | None, what: str) -> list[int]:
    """Return the positions of the wanted ones of ``names``, in the requested order; all positions
    of a name that occurs more than once."""
    if wanted is None:
        return list(range(len(names)))
    chosen(where, names, wanted, what)
    at: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        at.setdefault(name, []).append(position)
    return [position for name in wanted for position in at[name]]


def chosen(where: str, names: list[str], wanted: tuple[str, ...] | None, what: str) -> list[str]:
    """Return the wanted ones of ``names``, in the requested order."""
    if wanted is None:
        return names
    for name in wanted:
        if name not in names:
            raise BadFile(f"{where!r} has no {what} {name!r}; it has {', '.join(names) or 'none'}")
    return list(wanted)
