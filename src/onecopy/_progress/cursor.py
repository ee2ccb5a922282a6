"""The position of a terminal's cursor, computed from what was written.

Bars are drawn below the program's output, and the cursor returns to where the program has left it,
even in the middle of a line (a bar of tqdm's, a question). That requires the column, and whether
there is text in the cursor's line and in lines below. Text, line ends, carriage returns and the
sequences that bars of other libraries use are tracked; other movements, such as those of a program
that draws whole screens, are not.
"""

from __future__ import annotations

import re

# A control sequence, another escape sequence, a control character, or text.
_PIECES = re.compile(
    r"\x1b\[[<-?]?(?P<count>\d*)(?:[;:]\d*)*[ -/]*(?P<final>[@-~])"
    r"|\x1b\].*?(?:\x07|\x1b\\)|\x1b[^\[\]]"
    r"|(?P<control>[\x00-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x1f\x7f]+)",
    re.DOTALL,
)
_TAB = 8
# An unfinished line is kept up to this length.
_MOST = 4096
# A colour that stays on is made of this many characters at most.
_MOST_STYLE = 64


class Cursor:
    """See the module.

    Attributes:
        column: from 0, in a line that never wraps.
        busy: there is text in its line.
        below: the number of lines below it that have text.
        unfinished: the text of the line so far, to write it again elsewhere.
        style: the sequences of the colours that are on.
    """

    def __init__(self) -> None:
        self.column = 0
        self.busy = False
        self.below = 0
        self.unfinished = ""
        self.style = ""

    def feed(self, text: str) -> None:
        """Take text that was written."""
        for piece in _PIECES.finditer(text):
            self.unfinished += piece[0]
            if piece["text"] is not None:
                self.column += _width(piece["text"])
                self.busy = True
            elif piece["control"] is not None:
                self._control(piece["control"])
            elif piece["final"] == "m":
                self._colour(piece[0])
            elif piece["final"] is not None:
                self._sequence(piece["final"], int(piece["count"] or 1))
        self.unfinished = self.unfinished[-_MOST:]

    def _colour(self, sequence: str) -> None:
        codes = sequence[2:-1]
        if not codes.strip("0;"):
            self.style = ""
        elif codes[0] in "<=>?":
            pass  # a setting of the keyboard
        elif codes.startswith("0;") or len(self.style) > _MOST_STYLE:
            self.style = sequence
        else:
            self.style += sequence

    def _control(self, character: str) -> None:
        if character == "\n":
            self.column = 0
            self._down(1)
        elif character == "\r":
            self.column = 0
            self.unfinished = "\r"
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\t":
            self.column += _TAB - self.column % _TAB

    def _sequence(self, final: str, count: int) -> None:
        if final in "AF":
            self.below += count
            self.busy = True
        elif final in "BE":
            self._down(count)
        elif final == "C":
            self.column += count
        elif final == "D":
            self.column = max(0, self.column - count)
        elif final == "G":
            self.column = count - 1
        if final in "EF":
            self.column = 0
        elif final in "Hf":
            style = self.style
            self.__init__()  # type: ignore[misc]  # another place: start again
            self.style = style
        elif final == "K" and self.column == 0:
            self.busy = False

    def _down(self, lines: int) -> None:
        self.busy = self.below >= lines
        self.below = max(0, self.below - lines)
        self.unfinished = ""


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
