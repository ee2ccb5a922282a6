"""One pass over the rows of a CSV file, from the first one on; columns by position.

The file is cut into blocks of whole rows, and Arrow decodes each block as a file of its own, several at
a time by threads: one thread takes twice the time on two cores. Whether a line end is the end of a row is
known only when everything before it has been read, for it may be part of a quoted value. So a block is
cut at a line end that is likely, and decoding it tells if that was right: a row with a wrong number of
values is appended to each block. If Arrow does not report it as a row, it has become part of a value,
and the block is decoded again, with more of what follows. At the end of the file this shows a
quote that is not closed: Arrow silently treats all that follows as one value.

Rows with a wrong number of values are counted, or kept.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...errors import BadFile
from . import dialect, survey, text
from .ahead import threads_for_decoding
from .dialect import Dialect
from .interface import library
from .options import BadRow, LeftOut, TextOptions
from .spans import Span

# Text files of MS-DOS may end with this character.
_DOS_END = "\x1a"
# Types are found in a whole block. Less than that is decoded faster: it stays in the CPU's cache.
_PARTS = 4
# While some blocks are joined and written, the threads have this many more to decode.
_AHEAD = 4
_HEXADECIMAL = re.compile(rb"0[xX][0-9a-fA-F]{1,16}(?![0-9a-fA-F])")  # longer ones stay text
_RARE = [chr(each) for each in range(0x0E, 0x1E)]
_BOM = b"\xef\xbb\xbf"


class OtherRow(Exception):
    """A row has a wrong number of values, and the caller does not want to leave it out."""


class _Other(NamedTuple):
    """A row with a wrong number of values; ``number`` counts from 1 on in its block."""

    number: int
    actual: int
    text: str


@dataclass
class _Block:
    """A decoded block.

    Attributes:
        table: its rows; None if there is an error of Arrow.
        others: its rows with a wrong number of values.
        hexadecimal: True if some value may be one that Arrow reads as an integer, such as 0xFF.
        rows: the number of all rows; 0 if the end of the block is within a value.
    """

    table: Any = None
    error: Exception | None = None
    others: list[_Other] = field(default_factory=list)
    hexadecimal: bool = False
    rows: int | None = None

    @property
    def is_whole(self) -> bool:
        """True if the end of the block is the end of a row."""
        return self.rows is not None


class Rows:
    """The rows of a file.

    Args:
        name: the file.
        found: its dialect.
        options: the caller's options.
        nulls: the texts that mean null in columns that are not of text.
    """

    def __init__(
        self, name: str, found: Dialect, options: TextOptions, nulls: tuple[str, ...]
    ) -> None:
        self._name, self._found, self._options, self._nulls = name, found, options, nulls
        # No file has these: rare characters, at random, that mean nothing to Arrow.
        plain = [each for each in _RARE if each not in (found.sep, options.quote, options.escape)]
        mark = "".join(secrets.choice(plain) for _ in range(20))
        self._mark = mark if len(found.names) != 1 else f"{mark}{found.sep}{mark}"
        self._stream: Any = None
        self._cutter: Any = None
        self._threads: Any = None
        self._first: _Block | None = None
        self._types: dict[int, Any] = {}
        self._before = 0  # rows of any kind
        self.left_out = LeftOut()
        self.hexadecimal = False  # in the blocks so far, as in ``_Block``
        self.done = 0

    def batches(self, types: Mapping[int, Any], taken: list[int]) -> Iterator[Any]:
        """Yield the columns ``taken``, some rows at a time. Types that are not given are found in
        the first block. Errors of Arrow are not converted; ``done`` rows were yielded before.

        Raises:
            OtherRow: the first of the rows with a wrong number of values is in ``left_out``.
            BadFile: the file ends within a quoted value, or a row is too long.
        """
        try:
            if self._first is None:
                self.open(types, taken)
            first, self._first = self._first, None
            if first is None:
                return
            yield from self._finished(first)
            for block in self._decoded(taken):
                yield from self._finished(block)
        finally:
            self.close()

    def open(self, types: Mapping[int, Any], taken: list[int]) -> Any:
        """Decode the first block and return the schema; None if there is no row. ``batches`` goes
        on from there, or ``close`` ends it."""
        found, options = self._found, self._options
        self._stream = dialect.rows_stream(self._name, options, found.encoding, found.start)
        self._cutter = cutter = _Cutter(self._name, self._stream, options)
        data = cutter.next(text.BLOCK)
        while data and not data.strip(b"\r\n"):
            data = cutter.next(text.BLOCK)
        if not data:
            return None
        block = self._first_of(data, types, taken)
        while not block.is_whole and not cutter.ended:
            cutter.join([data])
            data = cutter.next(text.BLOCK)
            block = self._first_of(data, types, taken)
        if not block.is_whole:
            raise self._cut()
        if block.error is not None:
            raise block.error
        self._first, self.hexadecimal = block, block.hexadecimal
        schema = block.table.schema
        self._types = {int(each.name): each.type for each in schema}
        return schema

    @property
    def taken(self) -> int:
        """The bytes of the file that have been read; 0 when it is closed."""
        return 0 if self._stream is None else int(self._stream.raw.taken)

    def close(self) -> None:
        """Close the file; waits for the threads, which decode a few blocks at most."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        if self._stream is not None:
            self._stream.close()
        self._threads = self._stream = self._cutter = None

    # --- decoding ------------------------------------------------------------

    def _first_of(self, data: bytes, types: Mapping[int, Any], taken: list[int]) -> _Block:
        """Return a decoded block: by this thread if there is no other, for a thread takes as long to
        start as a small file to decode."""
        if self._cutter.ended:
            return self._decode(data, types, taken)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(threads_for_decoding(), "onecopy-decode")
        block: _Block = self._threads.submit(self._decode, data, types, taken).result()
        return block

    def _decoded(self, taken: list[int]) -> Iterator[_Block]:
        """Yield the blocks after the first, in their order; threads decode the next ones.

        This thread alone reads the file and keeps the order, so nothing is locked: the threads work
        on bytes that no other thread has.
        """
        cutter, types, threads = self._cutter, self._types, self._threads
        if cutter.ended:
            return
        part, ahead = max(1, text.BLOCK // _PARTS), threads_for_decoding() + _AHEAD
        waiting: deque[tuple[bytes, Future[_Block]]] = deque()
        while True:
            while len(waiting) < ahead and (data := cutter.next(part)):
                waiting.append((data, threads.submit(self._decode, data, types, taken)))
            if not waiting:
                return
            data, decoding = waiting.popleft()
            block = decoding.result()
            if block.is_whole or (not waiting and cutter.ended):
                yield block
            else:  # those that follow it begin in the middle of a value
                cutter.join([data, *(each for each, _ in waiting)])
                waiting.clear()

    def _decode(self, data: bytes, types: Mapping[int, Any], taken: list[int]) -> _Block:
        """Return a block's rows; any thread."""
        pa, csv = library("pyarrow", "arrow"), library("pyarrow.csv", "arrow")
        block, options = _Block(), self._options

        def keep(row: Any) -> str:
            if row.text == self._mark:
                block.rows = row.number - 1
            elif row.text != _DOS_END:
                block.others.append(_Other(row.number, row.actual_columns, row.text))
            return "skip"

        # Arrow skips a byte-order mark at the beginning of a file, which this is not. Empty lines
        # are no rows.
        before = b"\n" if data.startswith(_BOM) else b""
        data = b"%b%b\n%b\n" % (before, data, self._mark.encode())
        try:
            # Not ``read_csv``: in the main thread that puts handlers of its own around signals.
            reader = csv.open_csv(
                pa.BufferReader(data),
                csv.ReadOptions(
                    use_threads=False,  # rows are numbered then
                    block_size=len(data) + 1,
                    column_names=[str(at) for at in range(len(self._found.names))],
                ),
                csv.ParseOptions(
                    delimiter=self._found.sep,
                    quote_char=options.quote or False,
                    escape_char=options.escape or False,
                    newlines_in_values=True,
                    invalid_row_handler=keep,
                ),
                csv.ConvertOptions(
                    column_types={str(at): kind for at, kind in types.items()},
                    include_columns=[str(at) for at in taken],
                    null_values=self._nulls,
                    true_values=survey.TRUE,
                    false_values=survey.FALSE,
                    decimal_point=options.decimal,
                ),
            )
            block.table = reader.read_all()
            if b"0x" in data or b"0X" in data:  # seldom true, and much faster than the pattern
                block.hexadecimal = _HEXADECIMAL.search(data) is not None
        except pa.ArrowInvalid as error:
            block.error = error
        return block

    def _finished(self, block: _Block) -> Iterator[Any]:
        """Yield the rows of the next block, in order."""
        if block.rows is None:
            raise self._cut()
        for row in block.others:
            self._leave_out(row)
        if block.error is not None:
            raise block.error
        self.hexadecimal = self.hexadecimal or block.hexadecimal
        self._before += block.rows
        for batch in block.table.to_batches():
            self.done += batch.num_rows
            yield batch

    def _leave_out(self, row: _Other) -> None:
        """Note a row with a wrong number of values. Raises OtherRow."""
        left, number, width = self.left_out, self._before + row.number, len(self._found.names)
        reason = f"it has {row.actual} values, and there are {width} columns"
        left.count += 1
        if left.count == 1:
            left.first = f"is row {number}: {reason}: {row.text[:80]!r}"
        if self._options.bad_rows == "error":
            raise OtherRow
        if self._options.bad_rows == "collect":
            left.rows.append(BadRow(self._name, number, row.text, reason))

    def _cut(self) -> BadFile:
        cut = (
            "; or a value that holds a line end was cut, which block_bytes= beyond the file's "
            "size avoids"
        )
        return BadFile(
            f"{self._name!r} ends within a quoted value: a quote is not closed, or the file "
            "is cut short; quote= names another character, and '' none"
            f"{cut if isinstance(self._name, Span) else ''}"
        )


class _Cutter:
    """Cuts a stream into blocks that are likely to be whole rows.

    Any line end is a likely one, until a cut was within a value. From then on quotes are counted.
    """

    def __init__(self, name: str, stream: Any, options: TextOptions) -> None:
        self._name, self._stream = name, stream
        self._quote = (options.quote or "").encode()
        self._escape = (options.escape or "").encode()
        self._kept = b""
        self._beyond = 0  # the next block is longer
        self._counts = self._all = False

    @property
    def ended(self) -> bool:
        """True if there is no further block."""
        return self._all and not self._kept

    def join(self, blocks: list[bytes]) -> None:
        """Take back the last blocks: the first of them was cut within a value."""
        self._kept = b"".join((*blocks, self._kept))
        self._beyond = len(blocks[0])
        self._counts = bool(self._quote)

    def next(self, size: int) -> bytes:
        """Return the next block, of about ``size`` bytes; none at the end. A block that was cut
        within a value is followed by one of at least twice its size.

        Raises BadFile if a row is too long for Arrow.
        """
        most = text.LARGEST_BLOCK
        size = min(max(size, 2 * self._beyond), most)
        while True:
            wanted = size - len(self._kept)
            if wanted > 0 and not self._all:
                data = self._stream.read(wanted)
                self._all = len(data) < wanted
                self._kept += data
            data = self._kept
            last = self._all and len(data) <= most
            cut = len(data) if last else self._border(data, min(len(data), most))
            if cut or last:
                self._kept, self._beyond = data[cut:], 0
                return data[:cut]
            if size >= most:
                raise BadFile(f"{self._name!r}: a record is longer than {most} bytes")
            size = min(2 * size, most)

    def _border(self, data: bytes, stop: int) -> int:
        """Return where to cut, at most ``stop``; or 0."""
        last = cut = self._line_end(data, stop)
        if not self._counts:
            return cut
        odd = data.count(self._quote, 0, cut) % 2
        while odd and cut:
            quote = data.rfind(self._quote, 0, cut)
            before = self._line_end(data, quote)
            odd = (odd + data.count(self._quote, before, cut)) % 2
            cut = before
        return cut or last

    def _line_end(self, data: bytes, stop: int) -> int:
        """Return where the last line ends before ``stop``; 0 if none does so beyond the bytes that
        were cut within a value."""
        for end in (b"\n", b"\r"):
            at = data.rfind(end, self._beyond, stop)
            while self._escape and at > 0 and data[at - 1 : at] == self._escape:
                at = data.rfind(end, self._beyond, at)
            if at >= 0:
                return at + 1
        return 0
