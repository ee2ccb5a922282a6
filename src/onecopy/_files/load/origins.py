"""The origin of each segment that was decoded from files: how to decode the same bytes once more.

Another host that sees the same files can then decode them itself (``_cluster/recipes.py``).
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass

from ..._memory.segment import Segment
from .interface import Wanted
from .places import File, is_remote


@dataclass(frozen=True)
class Origin:
    """The call of ``load`` that has made a segment.

    Attributes:
        names: the files, by names that hold in any working directory.
        wanted: the options.
        format: a key of ``FORMATS``.
        at: the place of the segment among those that the call has made.
    """

    names: tuple[File, ...]
    wanted: Wanted
    format: str
    at: int


_known: weakref.WeakKeyDictionary[Segment, Origin] = weakref.WeakKeyDictionary()


def note(names: Iterable[File], wanted: Wanted, format: str) -> None:
    """Note the origin of what a call has made."""
    if not wanted.made:
        return
    taken = tuple(_absolute(name) for name in names if name not in wanted.skipped)
    plain = wanted.plain()
    for at, segment in enumerate(wanted.made):
        _known[segment] = Origin(taken, plain, format, at)


def of(segment: Segment) -> Origin | None:
    """Return the origin of a segment; None if it was not decoded from files."""
    return _known.get(segment)


def _absolute(name: File) -> File:
    return name if is_remote(name) else File(os.path.abspath(name), name.keys)
