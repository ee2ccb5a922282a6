"""A part of a text file, which is read like a file of its own: the lines that begin between two
bytes.

The borders are chosen without reading the file. The process that reads a part looks for the line ends,
and two neighbours agree: a line belongs to the part in which its first byte is.
"""

from __future__ import annotations

from typing import Any

_PIECE = 64 << 10


class Span(str):
    """The name of a file, with the range of bytes in which the lines begin.

    Its repr, which messages have in place of the file's name, shows the range too.
    """

    start: int
    stop: int

    def __new__(cls, name: str, start: int, stop: int) -> Span:
        made = super().__new__(cls, name)
        made.start, made.stop = start, stop
        return made

    def __getnewargs__(self) -> tuple[str, int, int]:  # type: ignore[override]  # of str: one
        return str(self), self.start, self.stop

    def __repr__(self) -> str:
        return f"{str(self)!r}, bytes {self.start} to {self.stop}"


class Lines:
    """The whole lines of a span; closes the file when it is closed.

    Args:
        file: the whole file, of which any part can be read.
        span: the part of it.
    """

    def __init__(self, file: Any, span: Span) -> None:
        self._file = file
        try:
            self._end = self._line_from(span.stop)
            self._at = self._line_from(span.start)
            file.seek(self._at)
        except BaseException:
            file.close()
            raise

    def _line_from(self, at: int) -> int:
        """Return where the first line begins that does so at this byte or after it."""
        if at == 0:
            return 0
        at -= 1
        self._file.seek(at)
        while piece := self._file.read(_PIECE):
            end: int = piece.find(b"\n")
            if end >= 0:
                return at + end + 1
            at += len(piece)
        return at

    def read(self, count: int) -> bytes:
        """Return at most ``count`` bytes; none at the end."""
        left = max(0, self._end - self._at)
        if not left:
            return b""
        data: bytes = self._file.read(min(count, left))
        self._at += len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()
