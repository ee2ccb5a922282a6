"""Which tasks failed, and how: counted by call, type and message, in bounded memory.

A message is the program's own, and is cut. Beyond so many different ones the rest is only
counted, so that a program whose every message has a number in it takes no more.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

_MOST = 200
_LONG = 200


class Failed(NamedTuple):
    """Tasks that failed in the same way.

    Attributes:
        site: index of the call.
        kind: name of the exception's class.
        message: its text, cut; "" for those that are only counted.
        first: the first of them: an item's index, or a call's number.
        number: how many.
    """

    site: int
    kind: str
    message: str
    first: int
    number: int


class Failures:
    """See the module. Any thread."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str, str], list[int]] = {}
        self._lock = threading.Lock()

    def add(self, site: int, error: BaseException, first: int, count: int = 1) -> None:
        """Some items, or a call, failed with ``error``."""
        key = (site, type(error).__name__, _said(error))
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MOST:
                key = (site, "others", "")
            self._counts.setdefault(key, [first, 0])[1] += count

    def all(self) -> list[Failed]:
        """The most frequent first."""
        with self._lock:
            found = [Failed(*key, *value) for key, value in self._counts.items()]
        return sorted(found, key=lambda each: (not each.message, -each.number, each.first))


def _said(error: BaseException) -> str:
    """The first line of its message; never raises."""
    try:
        text = str(error).strip().partition("\n")[0]
    except BaseException as bad:  # a user's __str__ may do anything
        return f"<its message raised {type(bad).__name__}>"
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
