"""The kind of large arguments that had to be copied: the cure depends on it.

A slice of an array is passed by reference once the array is shared; so is an array that every task
gets. The same is true of frames. A piece of a frame from a group-by or a filter is a copy that
exists only once: sharing it would copy it once more. Objects without arrays are pickled as a whole.
Checked only if more than a megabyte was copied for a task.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from itertools import islice
from math import prod
from typing import Any, NamedTuple

from .._codec.codec import Encoded
from .._schedule.events import Assignment
from .work import Call, Work

LARGE = 1_000_000
SLICES, SAME, OWN, OBJECTS = "slices", "same", "own", "objects"
# Of frames: slices; the same frame again; copies; and those of which it is unknown.
PIECES, SAME_FRAME, FRAMES, TABLES = "pieces", "same frame", "frames", "tables"
# The number of arrays and frames of a call that are remembered, to find one that comes again.
_REMEMBERED = 64
# The number of values in a list that are looked at.
_LOOKED_AT = 16
_FRAMES = ("pandas", "polars", "pyarrow")
# The kinds of dtype whose arrays pandas keeps as they are.
_NUMBERS = "biufc"


class _Source(NamedTuple):
    """An array or frame that an argument is, or is a slice of.

    Attributes:
        value: the array or frame.
        kind: the argument's kind if the source comes again.
        within: the task in which it has to come again; None for any task of the call. The groups
            of a frame that are mapped again and again are no frame that all items have.
    """

    value: Any
    kind: str
    within: int | None = None


class _First:
    """The first time that a source came.

    Attributes:
        source: the array or frame.
        within: see ``_Source``.
        counted: the kind as which it is counted now.
        moved, whole: its part of the sums.
    """

    __slots__ = ("counted", "moved", "source", "whole", "within")

    def __init__(
        self, source: weakref.ref[Any], within: int | None, counted: str, moved: int, whole: int
    ) -> None:
        self.source = source
        self.within = within
        self.counted = counted
        self.moved = moved
        self.whole = whole


class LargeArguments:
    """Counts bytes that were copied for arguments, by call and kind. Any thread."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, str], list[int]] = {}
        self._seen: dict[int, dict[int, _First]] = {}
        self._lock = threading.Lock()

    def note(self, work: Work, assignment: Assignment, moved: int) -> None:
        """Note that bytes were copied for an assignment, whose arguments still exist."""
        kind, sources = _sources(work, assignment)
        with self._lock:
            seen = self._seen.setdefault(work.site, {})
            whole = 0
            for source in sources:
                first = seen.get(id(source.value))
                known = first is not None and first.source() is source.value
                if first is not None and known and first.within == source.within:
                    kind, whole = source.kind, 0
                    self._recount(work.site, first, kind)
                    break
                whole = 0 if known else int(getattr(source.value, "nbytes", moved))
            else:
                for source in sources:
                    if len(seen) >= _REMEMBERED:
                        seen.clear()
                    with suppress(TypeError):  # of a class without weak references
                        first = _First(weakref.ref(source.value), source.within, kind, moved, whole)
                        seen[id(source.value)] = first
            self._add(work.site, kind, moved, whole)

    def all(self) -> list[tuple[int, str, int, int]]:
        """Return site, kind, bytes that were copied, and bytes of the arrays and frames that they
        belong to."""
        with self._lock:
            return [(*key, moved, whole) for key, (moved, whole) in self._sums.items() if moved]

    def _recount(self, site: int, first: _First, kind: str) -> None:
        """Count the first time as the kind of those that have followed."""
        self._add(site, first.counted, -first.moved, -first.whole)
        self._add(site, kind, first.moved, first.whole)
        first.counted = kind

    def _add(self, site: int, kind: str, moved: int, whole: int) -> None:
        sums = self._sums.setdefault((site, kind), [0, 0])
        sums[0] += moved
        sums[1] += whole


def _sources(work: Work, assignment: Assignment) -> tuple[str, list[_Source]]:
    """Return the kind of the largest argument if it comes only once, and its sources."""
    found = work.encoded(0, 0) if isinstance(work, Call) else None
    if isinstance(found, Encoded):
        arrays, framed = found.plain_arrays()
        if framed:
            return _of_columns([each for each in arrays if hasattr(each, "base")])
    else:
        arrays = _values(work.payload(assignment.start, assignment.stop))
        frames = [each for each in arrays if _is_frame(each)]
        if frames:
            return FRAMES, _of_frame(max(frames, key=_cells), assignment.work)
    if not arrays:
        return OBJECTS, []
    largest = max(arrays, key=lambda array: int(array.nbytes))
    base = getattr(largest, "base", None)
    if getattr(base, "nbytes", 0) > largest.nbytes:
        return SLICES, [_Source(base, SLICES)]
    return OWN, [_Source(largest, SAME)]


def _of_columns(columns: list[Any]) -> tuple[str, list[_Source]]:
    """Return the same of the columns of a frame that is no longer known itself."""
    if not columns:
        return TABLES, []
    largest = max(columns, key=lambda array: int(array.nbytes))
    root = _root(largest)
    # Groups are slices too: of a sorted copy that pandas makes.
    return FRAMES, [_Source(root, TABLES if root.nbytes > largest.nbytes else SAME_FRAME)]


def _of_frame(frame: Any, task: int) -> list[_Source]:
    """Return the frame itself, and the memory of one column if it is a view of more.

    The rows of a group have other labels than a slice of a range: the memory of groups is a sorted
    copy that pandas makes, whatever is shared.
    """
    sources = [_Source(frame, SAME_FRAME, task)]
    index = getattr(frame, "index", None)
    ranged = type(index).__name__ == "RangeIndex"
    # Labels such as times may be those of a slice, or of a group.
    if not ranged and getattr(getattr(index, "dtype", None), "kind", "i") in _NUMBERS:
        return sources
    column = _column(frame)
    root = _root(column)
    if getattr(root, "nbytes", 0) > getattr(column, "nbytes", 0):
        sources.append(_Source(root, PIECES if ranged else TABLES, task))
    return sources


def _column(frame: Any) -> Any:
    """Return a column of a pandas frame that can be seen without a copy, or None."""
    dtypes = getattr(frame, "dtypes", None)
    if not hasattr(frame, "iloc") or dtypes is None:
        return None
    if not hasattr(dtypes, "__iter__"):
        return frame.to_numpy() if dtypes.kind in _NUMBERS else None
    for at, dtype in enumerate(dtypes):
        if hasattr(dtype, "itemsize") and dtype.kind in _NUMBERS:
            return frame.iloc[:, at].to_numpy()
    return None


def _root(array: Any) -> Any:
    """Return the array that has allocated an array's memory."""
    while hasattr(getattr(array, "base", None), "nbytes"):
        array = array.base
    return array


def _is_frame(value: Any) -> bool:
    """Return True for a frame or a column, and False for a date or an expression."""
    return type(value).__module__.startswith(_FRAMES) and hasattr(value, "__len__")


def _cells(frame: Any) -> int:
    shape = getattr(frame, "shape", None)
    return prod(shape) if shape else len(frame)


def _values(value: Any, deep: int = 3) -> list[Any]:
    """Return the arrays and the frames in some items, as far as these are few: a look at each number
    of a long list takes longer than pickling it."""
    if _is_frame(value) or all(hasattr(value, name) for name in ("nbytes", "dtype", "shape")):
        return [value]
    if not deep or not isinstance(value, list | tuple | dict):
        return []
    inside = value.values() if isinstance(value, dict) else value
    return [found for each in islice(inside, _LOOKED_AT) for found in _values(each, deep - 1)]
