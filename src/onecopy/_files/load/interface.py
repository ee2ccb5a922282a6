"""What the formats have in common: what is asked of a file, and what a file answers.

Each format is a module with ``open(name, wanted)``, which returns ``Arrays`` or a ``Tabular``
and reads no more than the file's description. What is loaded of it and how is decided in
``arrays`` and ``tables``; ``convert`` reads through the same face. Both kinds can be read in
pieces, first to last, as often as one likes; and both can say that all of it stands in the
file as it will in memory, so that it is mapped.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import BadFile, MissingLibrary, OnecopyError
from .meter import Meter
from .options import Notes, TextOptions

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# What is read, decoded or copied at a time: small enough to come on top of the data, large
# enough that a piece's own cost (a system call, a batch's description) does not count.
PIECE = 8 << 20


@dataclass(frozen=True)
class Wanted:
    """What is asked for of a file.

    Attributes:
        columns: names of columns, fields or members; None for all of them.
        start, stop: the rows; ``stop`` None is the end.
        dtype: a type for everything, or types by name; None leaves what the file has.
        allow_pickle: may code that stands in the file be run?
        missing: what becomes of a column that some files do not have: "error" or "null".
        errors: what becomes of a file that cannot be read, where there are several: "error" or
            "skip".
        filter: what rows have to meet.
        text: how CSV and NDJSON are read.
        as_text: leave values of CSV as the text that they are.
        notes: what there is to say at the end.
        found: what is known of each file beyond its first block; see ``text.Found``.
        skipped: files that cannot be read and are left out.
        meter: is told how far reading has come.
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

    def skip(self, name: str, error: Exception) -> None:
        """Leaves a file out, and says so."""
        self.skipped.add(name)
        self.notes.say(name, f"left out: {error}")

    @property
    def all_rows(self) -> bool:
        return self.start == 0 and self.stop is None

    def window(self, rows: int) -> tuple[int, int]:
        """The wanted rows of so many, as a start and a stop that are there."""
        stop = rows if self.stop is None else min(self.stop, rows)
        return min(self.start, stop), stop


class Array(Protocol):
    """One array of a file.

    Attributes:
        where: file and member, for messages.
    """

    where: str

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def whole(self) -> np.ndarray[Any, Any] | None:
        """The array on the file's own bytes; None when it has to be decoded."""

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """Rows ``start`` to ``stop``, some at a time; a single value as one block."""


@dataclass(frozen=True)
class Stream:
    """The wanted rows of an array, of one file or of several, in the wanted type.

    Attributes:
        where: what it is read from, for messages.
        blocks: gives the rows from the first to the last, some at a time; of a single value,
            the value.
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
    """The arrays of one file, by name; ``single`` when the file is one array and no archive.

    Attributes:
        where: the file, for messages.
    """

    where: str
    members: Mapping[str, Array]
    single: bool
    close: Callable[[], None] = lambda: None


class Tabular(Protocol):
    """The table of one file, of the wanted columns.

    Attributes:
        where: the file, for messages.
        rows: how many there are; None until ``batches`` has come to the end, where the file
            does not say.
    """

    where: str

    @property
    def schema(self) -> pa.Schema: ...

    @property
    def rows(self) -> int | None: ...

    def part(self) -> tuple[Any, bool, tuple[int, ...] | None] | None:
        """What ``kinds.loaded`` opens the table from, on the file's own bytes; None when it
        has to be decoded."""

    def batches(self, start: int, stop: int | None) -> Iterator[pa.RecordBatch]:
        """Rows ``start`` to ``stop``, some at a time.

        Raises Retyped when the rows are of other types than ``schema`` said; it says so now.
        """

    def retype(self, types: Mapping[str, Any]) -> bool:
        """Reads columns as these types from now on; False where the file itself has types."""

    def close(self) -> None:
        """Lets go of the file."""


class Damaged(BadFile):
    """A file of several cannot be read to its end, and may be left out: see ``Wanted.errors``.

    Args:
        said: what is wrong.
        where: the file.
    """

    def __init__(self, said: str, where: str) -> None:
        super().__init__(said, where)
        self.where = where

    def __str__(self) -> str:
        return str(self.args[0])


class Retyped(Exception):
    """Raised where a file has other types than its schema said: it has another schema now, and has to
    be read again from its beginning."""


class reading:
    """Whatever a format's library raises on damaged files becomes BadFile, in one line.

    What the system says (no permission, no descriptor, a disk that fails) stays an OSError, and
    names the file. EINVAL is what it says of a seek to before the beginning, where a damaged
    offset leads: that is the file's fault.

    No generator: what is raised in one by ``contextlib`` of Python 3.12 is part of a cycle, and
    keeps what was loaded until the garbage collector comes by.
    """

    def __init__(self, where: str, what: str) -> None:
        self._where = where
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, OnecopyError | Retyped):
            return
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            if error.filename is not None:
                return
            said = error.strerror or in_a_line(error)
            raise OSError(error.errno, said, self._where) from error
        said = f"is not a whole {self._what}"
        if isinstance(error, MemoryError):  # damaged lengths ask for the impossible, too
            said = f"is damaged, or there is too little memory to decode this {self._what}"
        raise BadFile(f"{self._where!r} {said}: {in_a_line(error)}") from error


def in_a_line(error: BaseException, most: int = 300) -> str:
    """What an exception says, in one line that is not endless."""
    return plain(" ".join(str(error).split())[:most]) or type(error).__name__


def plain(text: str) -> str:
    """Text of a file as it may be printed: a terminal obeys control characters."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def library(name: str, extra: str) -> Any:
    """A module of a library that onecopy does without.

    Raises MissingLibrary, which says what to install.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingLibrary(
            f"this format needs {name.partition('.')[0]}: pip install onecopy[{extra}] ({error})"
        ) from error


def positions(where: str, names: list[str], wanted: tuple[str, ...] | None, what: str) -> list[int]:
    """Where the wanted ones of ``names`` are, in the order in which they were asked for; all of
    them where several have one name."""
    if wanted is None:
        return list(range(len(names)))
    chosen(where, names, wanted, what)
    at: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        at.setdefault(name, []).append(position)
    return [position for name in wanted for position in at[name]]


def chosen(where: str, names: list[str], wanted: tuple[str, ...] | None, what: str) -> list[str]:
    """The wanted ones of ``names``, in the order in which they were asked for."""
    if wanted is None:
        return names
    for name in wanted:
        if name not in names:
            raise BadFile(f"{where!r} has no {what} {name!r}; it has {', '.join(names) or 'none'}")
    return list(wanted)
