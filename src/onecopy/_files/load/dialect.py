"""The dialect of a CSV file, from the caller's options and from its first lines.

The first record is read here, by Python's own reader: names may occur twice, or the record may be
data. Arrow is then told the number of columns and where the rows begin. The separator is the one
that splits the first lines into rows of equal length.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ...errors import BadFile
from . import encodings, incoming
from .options import Notes, TextOptions

_SAMPLE = 1 << 20
# A longer first record is not a line of names.
_LONGEST = 64 << 20
_LINES = 200
_CANDIDATES = ",;\t|"
_NAMED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}
_LINE_END = re.compile(rb"\r\n|\n|\r")
_SEP_LINE = re.compile(r"sep=([^\w\s]|\t)(?:\r\n|\n|\r)", re.IGNORECASE)
_ZEROS = re.compile(r"[-+]?0[0-9]+")
_WIDE = re.compile(r"[-+]?[0-9]{19,}")
_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class Dialect:
    """The settings for reading a file.

    Attributes:
        names: of the columns; a name may occur twice.
        start: the bytes of UTF-8 before the first row.
        zeros: columns with numbers that begin with zeros, judged by the first rows.
        wide: columns with integers that may be beyond 64 bits, judged by the first rows.
    """

    encoding: str
    sep: str
    names: tuple[str, ...]
    start: int
    zeros: frozenset[int] = frozenset()
    wide: frozenset[int] = frozenset()


def described(name: str, options: TextOptions, notes: Notes, encoding: str | None) -> Dialect:
    """Return the dialect of a file, judged by its first lines.

    Args:
        notes: collects guesses that may be wrong.
        encoding: the encoding, if known.

    Raises:
        BadFile: it is not text, or its first record cannot be found.
    """
    encoding = encoding or options.encoding or encoding_of(name, notes)
    size = _SAMPLE
    while True:
        sample, whole = _sample(name, options, encoding, size)
        text = _as_text(sample, whole, name, encoding)
        # Some programs write this line for Excel.
        line = _SEP_LINE.match(text) if options.sep is None else None
        before = text[: line.end()] if line is not None else ""
        text = text[len(before) :]
        sep = options.sep or (line and line[1]) or _separator(name, text, whole, options, notes)
        first, end = _first_record(text, sep, options, name)
        if whole or end < len(text) or size >= _LONGEST:
            break
        size *= 8  # the first record may go on
    if first is None:
        raise BadFile(f"{name!r} holds no line of names and no row")
    header = options.header if options.header is not None else options.names is None
    names = tuple(first) if header else tuple(f"f{at}" for at in range(len(first)))
    if options.names is not None:
        if len(options.names) != len(first):
            raise BadFile(
                f"{name!r}: its first line has {len(first)} values, and names= has {len(options.names)}"
            )
        names = options.names
    elif options.header is None and _like_values(first):
        notes.say(
            name,
            "the first line was taken for names and looks like values; header=False makes it a row",
        )
    start = len(before.encode()) + (len(text[:end].encode()) if header else 0)
    rows = text[end if header else 0 :]
    zeros, wide = (_columns_with(like, rows, sep, options) for like in (_ZEROS, _WIDE))
    return Dialect(encoding, sep, names, start, zeros, wide)


def _columns_with(
    like: re.Pattern[str], text: str, sep: str, options: TextOptions
) -> frozenset[int]:
    """Return the columns that have such a value in the first rows."""
    found = set()
    with suppress(csv.Error):
        for record in islice(_reader(io.StringIO(text, newline=""), sep, options), _LINES):
            found |= {at for at, value in enumerate(record) if like.fullmatch(value.strip())}
    return frozenset(found)


def encoding_of(name: str, notes: Notes) -> str:
    """Return the encoding of a file, judged by its first bytes."""
    stream = incoming.Text(name, None)
    try:
        sample = stream.read(_SAMPLE)
        whole = not stream.read(1)
    finally:
        stream.close()
    encodings.require_text(sample, name)
    encoding = encodings.found(sample, whole)
    if encoding != "utf-8":
        say_encoding(name, encoding, notes)
    return encoding


def say_encoding(name: str, encoding: str, notes: Notes) -> None:
    """Note which encoding was found."""
    notes.say(name, f"read as text of {encoding}; encoding= names another")


def _sample(name: str, options: TextOptions, encoding: str, size: int) -> tuple[bytes, bool]:
    """Return the first bytes, and True if they are the whole file."""
    stream = rows_stream(name, options, encoding, 0)
    try:
        sample = stream.read(size)
        return sample, not stream.read(1)
    finally:
        stream.close()


def _as_text(sample: bytes, whole: bool, name: str, encoding: str) -> str:
    if not encodings.is_utf8(sample, whole):
        raise BadFile(f"{name!r} is not text of {encoding}; encoding= names another")
    return sample.decode("utf-8", "ignore")  # a character may be cut in two at the end


def _separator(name: str, text: str, whole: bool, options: TextOptions, notes: Notes) -> str:
    usual = "\t" if ".tsv" in name[-8:].lower() else ","
    best, found = (0.0, False, 0), usual
    for sep in _CANDIDATES:
        if sep == options.decimal and sep == ",":
            continue
        widths = _widths(text, sep, whole, options)
        if widths and widths[0] > 1:
            share = sum(width == widths[0] for width in widths) / len(widths)
            if (share, sep == usual, widths[0]) > best:
                best, found = (share, sep == usual, widths[0]), sep
    if found != usual:
        notes.say(name, f"read as fields between {_NAMED[found]}; sep= names another separator")
    return found


def _widths(text: str, sep: str, whole: bool, options: TextOptions) -> list[int]:
    """Return the number of fields of each of the first records."""
    widths: list[int] = []
    try:
        for record in _reader(io.StringIO(text, newline=""), sep, options):
            if record:
                widths.append(len(record))
            if len(widths) > _LINES:
                return widths
    except csv.Error:
        return widths  # such as a field that never ends
    return widths if whole else widths[:-1] or widths


def _reader(lines: Any, sep: str, options: TextOptions) -> Any:
    return csv.reader(
        lines,
        delimiter=sep,
        quotechar=options.quote,
        quoting=csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE,
        escapechar=options.escape,
    )


def _first_record(
    text: str, sep: str, options: TextOptions, name: str
) -> tuple[list[str] | None, int]:
    """Return the first record that is not empty, and where it ends in ``text``."""
    end = 0

    def counted() -> Iterator[str]:
        nonlocal end
        for line in io.StringIO(text, newline=""):
            end += len(line)
            yield line

    try:
        for record in _reader(counted(), sep, options):
            if record:
                return record, end
    except csv.Error as error:
        raise BadFile(f"{name!r}: its first line is not CSV: {error}") from error
    return None, end


def _like_values(first: list[str]) -> bool:
    """Return True if all are numbers other than 0, 1, 2, the usual names of unnamed columns."""
    counted = [str(at) for at in range(len(first))]
    return all(_NUMBER.fullmatch(each) for each in first) and first != counted


def rows_stream(name: str, options: TextOptions, encoding: str, start: int) -> Any:
    """Return the text without the skipped lines, comments and the first ``start`` bytes of the
    rest."""
    stream = incoming.Text(name, encoding)
    if options.skip_rows or options.comment is not None:
        text = pieces(stream)
        if options.skip_rows:
            text = _without_lines(text, options.skip_rows)
        if options.comment is not None:
            quote = (options.quote or "").encode()
            text = _without_comments(text, options.comment.encode(), quote)
        stream = _Pieces(text, stream)  # type: ignore[assignment]
    try:
        while start > 0 and (data := stream.read(start)):
            start -= len(data)
    except BaseException:
        stream.close()
        raise
    return stream


def pieces(stream: Any) -> Iterator[bytes]:
    while data := stream.read(_SAMPLE):
        yield data


class _Pieces(incoming.ReadOnly):
    """A stream of an iterator's pieces."""

    def __init__(self, pieces: Iterator[bytes], source: incoming.Text) -> None:
        self._pieces = pieces
        self._source = source
        self._ahead = b""
        self.raw = source.raw

    def read(self, count: int = -1) -> bytes:
        """Return ``count`` bytes, fewer only at the end."""
        wanted = _SAMPLE if count < 0 else count
        parts = [self._ahead]
        have = len(self._ahead)
        while have < wanted and (piece := next(self._pieces, b"")):
            parts.append(piece)
            have += len(piece)
        data = b"".join(parts)
        self._ahead = data[wanted:]
        return data[:wanted]

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._source.close()


def _in_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces that end with a line. A CR at the end of a piece waits for the
    LF that may follow."""
    kept = b""
    for piece in pieces:
        kept += piece
        end = max(kept.rfind(b"\n"), kept.rfind(b"\r", 0, len(kept) - 1)) + 1
        if end:
            yield kept[:end]
            kept = kept[end:]
    if kept:
        yield kept


def _without_lines(pieces: Iterator[bytes], count: int) -> Iterator[bytes]:
    for piece in _in_lines(pieces):
        at = 0
        while count and (found := _LINE_END.search(piece, at)):
            at, count = found.end(), count - 1
        if not count and at < len(piece):
            yield piece[at:]


def _without_comments(pieces: Iterator[bytes], mark: bytes, quote: bytes) -> Iterator[bytes]:
    """Leave out lines that begin with ``mark``, unless they are within a quoted value: then an odd
    number of quotes comes before."""
    line = re.compile(rb"(?:\A|(?<=[\r\n]))" + re.escape(mark) + rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")
    quotes = 0
    for piece in _in_lines(pieces):
        kept, at = [], 0
        for found in line.finditer(piece):
            before = piece[at : found.start()]
            quotes += before.count(quote) if quote else 0
            kept.append(before)
            at = found.start() if quotes % 2 else found.end()
        quotes += piece[at:].count(quote) if quote else 0
        kept.append(piece[at:])
        yield b"".join(kept)
