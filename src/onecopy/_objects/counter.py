"""``Counter``: numbers that many processes add to, exactly, without a lock between them.

Each process that adds has its own row, which it alone writes; the sum of all rows is the value. A
process gets a row by appending it to the counter's file (see ``appending``), with a random name in
front, and finding its position. The kernel serializes appends, so no two processes can get the same
row. The row of a killed process stays, with everything it had counted. (Per-CPU counters of the
Linux kernel work the same way.)

A row's size is a power of two and divides a page: it is never cut in two, and rows of different
processes share no cache line.
"""

from __future__ import annotations

import operator
import os
import threading
import weakref
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from functools import partial
from typing import Any

import numpy as np

from .._memory.segment import Segment
from .._system import forking, mapping
from .._system.interrupts import Uninterrupted
from ..errors import kind_of
from . import appending

_NAME = 16
_SMALLEST = 64
_MOST = (mapping.PAGE - _NAME) // 8


class _Row:
    """This process's row in a counter. Its threads take turns with ``lock``."""

    __slots__ = ("lock", "numbers")

    def __init__(self, segment: Segment, size: int) -> None:
        name = os.urandom(_NAME)
        appending.append(segment, name + bytes(size - _NAME))
        at = _rows(segment, size).index(name) * size + appending.START
        upto = (at // mapping.PAGE + 1) * mapping.PAGE
        address = mapping.map_shared(segment.descriptor(), upto, write=True)
        root = mapping.exporter(address, upto, partial(mapping.unmap, address, upto))
        self.numbers = mapping.bytes_of(root, write=True)[at + _NAME : at + size].cast("q")
        self.lock = threading.Lock()


def _rows(segment: Segment, size: int) -> list[bytes]:
    """Return the names of all rows."""
    return [row[:_NAME] for row in _pieces(segment, size)]


def _pieces(segment: Segment, size: int) -> list[bytes]:
    upto = appending.size_of(segment) - appending.START
    data = appending.read(segment, appending.START, upto)
    return [data[at : at + size] for at in range(0, len(data), size)]


# A task's copy of a counter ends with the task; the row stays as long as the process has the
# counter's memory.
_mine: weakref.WeakKeyDictionary[Segment, _Row] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def _after_fork() -> None:
    """Forget the rows in a forked child: they are the parent's."""
    global _making
    _making = threading.Lock()
    _mine.clear()


forking.in_child(_after_fork)


class Counter(Mapping[str, int]):
    """Counters that every process can add to and read: exact, even if workers are killed.

    Args:
        names: of the counters; without names there is one, ``value``.

    Pass it to workers as an argument, in a closure or through the initializer. Adding costs a few
    hundred nanoseconds, makes no system call after a process's first, and waits for no other
    process. Reading adds up one row for each process that has ever added. Thread-safe; a forked
    child counts in its own row. Values are signed 64-bit integers.

    Raises:
        TypeError, ValueError: a name is not a str, occurs twice, or there are too many
            (510 where a page has 4096 bytes).

    Example:
        >>> import onecopy as oc
        >>> seen = oc.Counter("good", "bad")
        >>> def check(number):
        ...     seen.add("bad" if number % 7 == 0 else "good")
        >>> with oc.Pool(2) as pool:
        ...     _ = pool.map(check, range(100))
        >>> dict(seen)
        {'good': 85, 'bad': 15}
    """

    __module__ = "onecopy"
    __slots__ = ("__weakref__", "_page", "_places", "_segment", "_size")

    def __init__(self, *names: str) -> None:
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"a counter's name is a str, not {kind_of(name)}")
        if len(set(names)) < len(names):
            raise ValueError("two counters of the same name")
        if len(names) > _MOST:
            raise ValueError(f"{len(names)} counters in one: {_MOST} are the most")
        self._open(names or ("value",), appending.new_page())

    def _open(self, names: tuple[str, ...], page: memoryview) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._size = max(_SMALLEST, 1 << (_NAME + 8 * len(names) - 1).bit_length())
        self._page = page
        self._segment = appending.segment_of(page)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (tuple(self._places), self._page)

    def add(self, name: str = "value", n: int = 1) -> None:
        """Add ``n``, an int that may be negative, to the counter called ``name``.

        Raises:
            KeyError: there is no such counter.
            TypeError: ``n`` is not an integer.
            NotEnoughMemory: there was no memory for this process's row, at its first call.
        """
        n = operator.index(n)
        place = self._places[name]
        row = _mine.get(self._segment) or self._row()
        with row.lock:
            row.numbers[place] += n

    def _row(self) -> _Row:
        # Uninterrupted: a row that this process has forgotten counts, and a mapping would be left.
        with Uninterrupted(), _making:
            row = _mine.get(self._segment)
            if row is None:
                row = _mine[self._segment] = _Row(self._segment, self._size)
        return row

    def _sums(self) -> list[int]:
        pieces = _pieces(self._segment, self._size)
        count = len(self._places)
        table = np.frombuffer(b"".join(pieces), "i8").reshape(len(pieces), self._size // 8)
        first = _NAME // 8
        return table[:, first : first + count].sum(axis=0).tolist()  # type: ignore[no-any-return]

    @property
    def value(self) -> int:
        """Return the sum of all counters: the one number of a counter without names."""
        return sum(self._sums())

    def __getitem__(self, name: str) -> int:
        return self._sums()[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def items(self) -> ItemsView[str, int]:
        """Return names and numbers, all read at one time."""
        return dict(zip(self._places, self._sums(), strict=True)).items()

    def values(self) -> ValuesView[int]:
        """Return the numbers, all read at one time."""
        return dict(self.items()).values()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={number}" for name, number in self.items())
        return f"Counter({shown})"


def _opened(names: tuple[str, ...], page: memoryview) -> Counter:
    counter = Counter.__new__(Counter)
    counter._open(names, page)
    return counter
