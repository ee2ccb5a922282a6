"""Printed text of workers, for a terminal: colours and bars work, nothing else controls it.

A task prints what its data contains, and a worker's standard output is no terminal. So what clears
the screen, sets the title, hides the cursor or ends in the middle of a sequence is an accident, and
is shown as text. Streams that are no terminals get everything unchanged.
"""

from __future__ import annotations

import re

from ..errors import printable

# Colours, erasing within a line, and the moves by which bars of loops are drawn; or a control
# character that is more than a line end, a tab, a carriage return or a backspace.
_CONTROL = re.compile(r"(?P<kept>\x1b\[[\d;:]*[A-GKm])|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def tamed(text: str) -> str:
    """Return ``text`` with what a terminal would obey, and a line of output does not need, written
    as escapes."""
    return _CONTROL.sub(lambda found: found["kept"] or printable(found[0]), text)


def is_terminal(stream: object) -> bool:
    """Return True if ``stream`` says that it is a terminal. Raises what its method raises."""
    ask = getattr(stream, "isatty", None)
    return ask is not None and bool(ask())
