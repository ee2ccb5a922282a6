"""One pass of Arrow's reader over a CSV file, from the first row on; columns by position.

It adds two things to Arrow's reader. Rows with a wrong number of values are counted, or kept. And
an unclosed quote is detected: Arrow silently treats all that follows as one value. So a row with a
wrong number of values is appended to the file. If Arrow does not report it as a row, it has become
part of a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..._system.interrupts import Condition
from ...errors import BadFile
from . import dialect, survey
from .dialect import Dialect
from .incoming import ReadOnly
from .interface import library
from .options import BadRow, LeftOut, TextOptions
from .spans import Span

_MARK = "\x1a"
# A file of more blocks than this is long.
_MANY = 16
# The number of blocks that are read before they are decoded.
_AHEAD = 2


class Rows:
    """The rows of a file.

    Args:
        name: the file.
        found: its dialect.
        options: the caller's options.
        block: the bytes that Arrow decodes at a time.
        nulls: the texts that mean null in columns that are not of text.
    """

    def __init__(
        self, name: str, found: Dialect, options: TextOptions, block: int, nulls: tuple[str, ...]
    ) -> None:
        self._name, self._found, self._options = name, found, options
        self._block, self._nulls = block, nulls
        width = len(found.names)
        self._end = _MARK if width != 1 else f"{_MARK}{found.sep}{_MARK}"
        self._ended = self._closed = False
        self._stream: Any = None
        self._reader: Any = None
        self.left_out = LeftOut()
        self.done = 0

    def batches(self, types: Mapping[int, Any], taken: list[int]) -> Iterator[Any]:
        """Yield the columns ``taken``, some rows at a time. Types that are not given are found in
        the first block. Errors of Arrow are not converted; ``done`` rows were yielded before.

        Raises BadFile if the file ends within a quoted value.
        """
        try:
            if self._reader is None and self.open(types, taken) is None:
                return
            while True:
                self._stream.ask()
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    break
                self._stream.take()
                self.done += batch.num_rows
                yield batch
        finally:
            self.close()
        if not self._ended:
            cut = (
                "; or a value that holds a line end was cut, which block_bytes= beyond the file's "
                "size avoids"
            )
            raise BadFile(
                f"{self._name!r} ends within a quoted value: a quote is not closed, or the file "
                "is cut short; quote= names another character, and '' none"
                f"{cut if isinstance(self._name, Span) else ''}"
            )

    def open(self, types: Mapping[int, Any], taken: list[int]) -> Any:
        """Decode the first block and return the schema; None if there is no row. ``batches`` goes
        on from there, or ``close`` ends it."""
        self._closed = False
        found, options = self._found, self._options
        pa, csv = library("pyarrow", "arrow"), library("pyarrow.csv", "arrow")
        stream = dialect.rows_stream(self._name, options, found.encoding, found.start)
        self._stream = stream
        ahead = stream.read(1)
        while ahead in (b"\n", b"\r"):
            ahead = stream.read(1)
        if not ahead:
            return None
        self._stream = paced = _Paced(ahead, stream, f"\n{self._end}\n".encode())
        paced.ask()
        self._reader = csv.open_csv(
            pa.PythonFile(paced, "r"),
            csv.ReadOptions(
                # Rows are numbered only if one thread reads, and that takes no longer.
                use_threads=False,
                block_size=self._block,
                column_names=[str(at) for at in range(len(found.names))],
            ),
            csv.ParseOptions(
                delimiter=found.sep,
                quote_char=options.quote or False,
                escape_char=options.escape or False,
                newlines_in_values=True,
                invalid_row_handler=self._other_row,
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
        return self._reader.schema

    @property
    def is_long(self) -> bool:
        """True if the file has many times the bytes of a block."""
        size = None if self._stream is None else self._stream.raw.size
        return size is not None and size > _MANY * self._block

    @property
    def taken(self) -> int:
        """The bytes of the file that have been read; 0 when it is closed."""
        return 0 if self._stream is None else int(self._stream.raw.taken)

    def close(self) -> None:
        """Close the file: Arrow's reader leaves that to its caller."""
        # The order matters: ending the reader waits for its thread, which may be waiting here. That
        # thread then finds the end of the file, and takes half a row for a whole one.
        self._closed = True
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._reader = None

    def _other_row(self, row: Any) -> str:
        """Decide on a row with a wrong number of values."""
        if self._closed:
            return "skip"
        if row.text == self._end:
            self._ended = True
            return "skip"
        left = self.left_out
        reason = f"it has {row.actual_columns} values, and there are {row.expected_columns} columns"
        left.count += 1
        if left.count == 1:
            left.first = f"is row {row.number}: {reason}: {row.text[:80]!r}"
        if self._options.bad_rows == "collect":
            left.rows.append(BadRow(self._name, row.number, row.text, reason))
        return "error" if self._options.bad_rows == "error" else "skip"


class _Paced(ReadOnly):
    """A stream with an appended row, which is not read far ahead.

    A thread of Arrow reads it, up to 32 blocks before they are decoded, which is more than some
    whole files. So a read waits while it is two blocks ahead of the batches. Every wait has a
    timeout, since the number of blocks in a batch is unknown (a block may hold no row at all).
    While a batch is requested it is 50 ms, about the time to decode a block. Otherwise it is a
    second: the caller is busy, or has dropped the iterator and the interpreter is ending, which
    waits for that thread.
    """

    def __init__(self, ahead: bytes, stream: Any, mark: bytes) -> None:
        self._ahead = ahead
        self._stream = stream
        self.raw = stream.raw
        self._mark = mark
        self._turn = Condition()
        self._given = self._taken = 0
        self._asked = False

    def ask(self) -> None:
        """Note that a batch is requested."""
        with self._turn:
            self._asked = True
            self._turn.notify()

    def take(self) -> None:
        """Note that a batch has come."""
        with self._turn:
            self._asked = False
            self._taken += 1
            self._turn.notify()

    def read(self, count: int = -1) -> bytes:
        """See ``incoming.Text``."""
        with self._turn:
            while not self.closed and self._given - self._taken >= _AHEAD:
                if not self._turn.wait(0.05 if self._asked else 1.0):
                    break
            data = b"" if self.closed else self._next(count)
            # A short read is the end; a reader that only checks for more must not wait.
            self._given += len(data) == count
            return data

    def _next(self, count: int) -> bytes:
        data: bytes = self._ahead[:count]
        self._ahead = self._ahead[count:]
        if len(data) < count:
            data += self._stream.read(count - len(data))
        if len(data) < count and self._mark:  # it is at its end
            room = count - len(data)
            data, self._mark = data + self._mark[:room], self._mark[room:]
        return data

    def close(self) -> None:
        """Close the file, after a read that is in progress."""
        with self._turn:
            self.closed = True
            self._stream.close()
            self._turn.notify()
