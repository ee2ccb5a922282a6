"""The failures of a pool's tasks: counted by call, type and message, in bounded memory.

A message is the program's own, and is cut. Beyond a number of different messages the rest is only
counted, so that a program with a number in every message takes no more memory.
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
        number: the number of failures.
        kept: True if the call keeps the results of the others: it has ``errors=``.
    """

    site: int
    kind: str
    message: str
    first: int
    number: int
    kept: bool = False


class Failures:
    """Counts failures; see the module. Any thread."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, str, str, bool], list[int]] = {}
        self._lock = threading.Lock()

    def add(
        self, site: int, error: BaseException, first: int, count: int = 1, *, kept: bool = False
    ) -> None:
        """Count some items, or a call, that failed with ``error``."""
        key = (site, type(error).__name__, _said(error), kept)
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MOST:
                key = (site, "others", "", kept)
            self._counts.setdefault(key, [first, 0])[1] += count

    def all(self) -> list[Failed]:
        """Return the failures, the most frequent first."""
        with self._lock:
            found = [
                Failed(site, kind, message, first, number, kept)
                for (site, kind, message, kept), (first, number) in self._counts.items()
            ]
        return sorted(found, key=lambda each: (not each.message, -each.number, each.first))


def _said(error: BaseException) -> str:
    """Return the first line of its message; never raises."""
    try:
        text = str(error).strip().partition("\n")[0]
    except BaseException as bad:  # a user's __str__ may raise anything
        return f"<its message raised {type(bad).__name__}>"
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
