"""Of which kind large arguments are that had to be copied: the cure depends on it.

A slice of an array is passed by reference once the array is shared; so is an array that
every task is given. A piece of a frame that a group-by or a filter has made is a copy that
nothing else has: sharing it would copy it once more. Looked at only when more than a
megabyte was copied for a task.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from .._codec.codec import Encoded
from .._schedule.events import Assignment
from .work import Call, Work

LARGE = 1_000_000
SLICES, SAME, FRAMES, OWN = "slices", "same", "frames", "own"
# So many arrays of a call are remembered to find one that comes again.
_REMEMBERED = 64
_FRAMES = ("pandas", "polars", "pyarrow")


class LargeArguments:
    """Bytes that were copied for arguments, by call and kind. Any thread."""

    def __init__(self) -> None:
        self._bytes: dict[tuple[int, str], list[int]] = {}
        self._seen: dict[int, dict[int, weakref.ref[Any]]] = {}
        self._lock = threading.Lock()

    def note(self, work: Work, assignment: Assignment, moved: int) -> None:
        """So many bytes were copied for an assignment, whose arguments are still there."""
        kind, source = self._kind(work, assignment)
        with self._lock:
            anew = 0 if source is None or self._again(work.site, source) else int(source.nbytes)
            if kind == OWN and source is not None and not anew:
                kind = SAME
            sums = self._bytes.setdefault((work.site, kind), [0, 0])
            sums[0] += moved
            sums[1] += anew

    def all(self) -> list[tuple[int, str, int, int]]:
        """Site, kind, bytes that were copied, and bytes of the arrays that they are of."""
        with self._lock:
            found = [(*key, sums[0], sums[1]) for key, sums in self._bytes.items()]
        return [_merged(each, found) for each in found if not _is_first(each, found)]

    def _kind(self, work: Work, assignment: Assignment) -> tuple[str, Any]:
        """The kind, and the array that the largest argument is, or is a slice of."""
        found = work.encoded(0, 0) if isinstance(work, Call) else None
        if isinstance(found, Encoded):
            arrays, frames = found.plain_arrays()
        else:
            arrays, frames = _arrays(work.payload(assignment.start, assignment.stop))
        if frames or not arrays:
            return FRAMES if frames else OWN, None
        largest = max(arrays, key=lambda array: int(array.nbytes))
        base = getattr(largest, "base", None)
        if getattr(base, "nbytes", 0) > largest.nbytes:
            return SLICES, base
        return OWN, largest

    def _again(self, site: int, array: Any) -> bool:
        """Under the lock: was this very array an argument before?"""
        seen = self._seen.setdefault(site, {})
        before = seen.get(id(array))
        if before is not None and before() is array:
            return True
        if len(seen) >= _REMEMBERED:
            seen.clear()
        try:
            seen[id(array)] = weakref.ref(array)
        except TypeError:  # of a class without weak references
            return False
        return False


_Sums = tuple[int, str, int, int]


def _is_first(each: _Sums, found: list[_Sums]) -> bool:
    """An array that comes again was its call's own when it came first."""
    return each[1] == OWN and any(other[:2] == (each[0], SAME) for other in found)


def _merged(each: _Sums, found: list[_Sums]) -> _Sums:
    if each[1] != SAME:
        return each
    first = [other for other in found if other[:2] == (each[0], OWN)]
    return (*each[:2], each[2] + sum(o[2] for o in first), each[3] + sum(o[3] for o in first))


def _arrays(value: Any, deep: int = 3) -> tuple[list[Any], bool]:
    """The arrays in some items, and whether there is a piece of a frame among them."""
    if hasattr(value, "nbytes") and hasattr(value, "dtype") and hasattr(value, "shape"):
        return [value], type(value).__module__.startswith(_FRAMES)
    if type(value).__module__.startswith(_FRAMES):
        return [], True
    if not deep or not isinstance(value, list | tuple | dict):
        return [], False
    found: list[Any] = []
    for each in value.values() if isinstance(value, dict) else value:
        arrays, frames = _arrays(each, deep - 1)
        if frames:
            return [], True
        found += arrays
    return found, False
