"""Signs and colours in pictures, the same on the terminal and on a page.

Each kind has its own glyph, so that a picture without colour loses nothing. The colours of the page
are those of the pool's report, by their names in its stylesheet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .face import Lanes


class Mark(NamedTuple):
    """The mark of a kind: on the terminal a glyph and a colour, on a page a colour."""

    glyph: str
    colour: str
    style: str


_KNOWN = {
    "compute": Mark("█", "green", "running"),
    "receive": Mark("▓", "cyan", "decode"),
    "return": Mark("▒", "blue", "encode"),
    "start": Mark("░", "yellow", "startup"),
    "wait": Mark("·", "bright_black", "waiting"),
    "blocked": Mark("×", "magenta", "blocked"),
    "lost": Mark("!", "red", "lost"),
}
# For any other word, in this order.
_FREE = (
    Mark("#", "green", "running"),
    Mark("o", "blue", "encode"),
    Mark("+", "yellow", "startup"),
    Mark("x", "magenta", "blocked"),
    Mark("*", "cyan", "decode"),
    Mark("@", "red", "lost"),
    Mark("%", "bright_black", "soft"),
    Mark("~", "bright_yellow", "importing"),
)


def marks(words: Iterable[str]) -> dict[str, Mark]:
    """Return a mark for each word, in their order; known kinds have their own."""
    found: dict[str, Mark] = {}
    for word in words:
        if word not in found:
            others = sum(each not in _KNOWN for each in found)
            found[word] = _KNOWN.get(word) or _FREE[others % len(_FREE)]
    return found


def kinds(picture: Lanes) -> dict[str, Mark]:
    """Return a mark for each kind of bar in it."""
    return marks(bar.kind for lane in picture.lanes for bar in lane.bars)
