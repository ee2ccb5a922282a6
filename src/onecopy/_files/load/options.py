"""The options for reading text (CSV, NDJSON): the caller's dialect, checked, in one object.

Options that are not given are found from the file (``dialect``, ``encodings``). Guesses and
omissions are collected in ``Notes``, which the doors turn into a line for the user.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple


@dataclass(frozen=True)
class TextOptions:
    """The options of text; ``onecopy.load`` documents each."""

    sep: str | None = None
    header: bool | None = None
    names: tuple[str, ...] | None = None
    quote: str | None = '"'
    escape: str | None = None
    decimal: str = "."
    thousands: str | None = None
    na_values: tuple[str, ...] | None = None
    encoding: str | None = None
    parse_dates: bool | tuple[str, ...] | Mapping[str, str | None] | None = None
    skip_rows: int = 0
    comment: str | None = None
    bad_rows: str = "error"

    def __post_init__(self) -> None:
        for name in ("sep", "quote", "escape", "decimal", "thousands", "comment"):
            value = getattr(self, name)
            if value is not None and not _one_character(value):
                raise ValueError(f"{name}={value!r}: it is one character of ASCII")
        if self.decimal == self.thousands:
            raise ValueError(f"decimal= and thousands= are both {self.decimal!r}")
        if self.sep is not None and self.sep in (self.quote, "\r", "\n"):
            raise ValueError(f"sep={self.sep!r}: fields cannot be told apart by it")
        if self.bad_rows not in ("error", "skip", "collect"):
            raise ValueError(
                f"bad_rows={self.bad_rows!r}: it is one of 'error', 'skip' and 'collect'"
            )
        if not isinstance(self.header, bool | None):  # other libraries take the line's number
            raise TypeError(f"header={self.header!r}: it is True or False")
        if isinstance(self.skip_rows, bool) or not isinstance(self.skip_rows, int):
            raise TypeError(f"skip_rows={self.skip_rows!r}: it is a number of lines")
        if self.skip_rows < 0:
            raise ValueError(f"skip_rows={self.skip_rows}: it is a number of lines, from 0 on")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise ValueError(f"encoding={self.encoding!r}: Python knows no such one") from error

    @property
    def given(self) -> list[str]:
        """Return the names of the options that differ from the defaults."""
        return [each.name for each in fields(self) if getattr(self, each.name) != each.default]

    @property
    def typed(self) -> bool:
        """Return True if they request types of values, and not only a way to split the text."""
        asked = (self.thousands, self.na_values, self.parse_dates)
        return self.decimal != "." or any(each is not None for each in asked)

    def date_format(self, name: str) -> tuple[bool, str | None]:
        """Return True if this column is requested as a time by its name, and the format for
        ``strptime`` (None: ISO 8601)."""
        asked = self.parse_dates
        if isinstance(asked, Mapping):
            return name in asked, asked.get(name)
        return isinstance(asked, tuple) and name in asked, None

    @property
    def date_names(self) -> tuple[str, ...]:
        """Return the columns that are requested as times by name."""
        return (
            ()
            if self.parse_dates is None or isinstance(self.parse_dates, bool)
            else tuple(self.parse_dates)
        )


def _one_character(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and value.isascii()


def text_options(given: Mapping[str, Any]) -> TextOptions:
    """Return the caller's options, with lists as tuples and empty strings as None.

    Raises:
        TypeError, ValueError: an option is invalid.
    """
    made = dict(given)
    for name in ("names", "na_values"):
        value = made.get(name)
        if value is not None:
            made[name] = (value,) if isinstance(value, str) else tuple(value)
            if not all(isinstance(each, str) for each in made[name]):
                raise TypeError(f"{name}={value!r}: it is a list of str")
    for name in ("quote", "escape", "thousands", "comment"):
        if made.get(name) == "":
            made[name] = None
    dates = made.get("parse_dates")
    if dates is not None and not isinstance(dates, bool | Mapping):
        made["parse_dates"] = (dates,) if isinstance(dates, str) else tuple(dates)
    return TextOptions(**made)


class BadRow(NamedTuple):
    """A row that was left out of a table by ``bad_rows="collect"``.

    Attributes:
        file: its file.
        row: its number among the rows of that file, from 1 on; the header does not count.
        text: the row as it is written there.
        reason: the reason why it is not in the table.
    """

    file: str
    row: int
    text: str
    reason: str


@dataclass
class LeftOut:
    """The rows of one file that are not in the table; ``rows`` only if they are collected."""

    count: int = 0
    first: str = ""
    rows: list[BadRow] = field(default_factory=list)


@dataclass
class Notes:
    """The messages of a successful load, and what it left out."""

    _files: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, LeftOut] = field(default_factory=dict)

    def say(self, where: str, what: str, holds: bool = True) -> None:
        """Note that ``what`` is true of the file ``where``, or no longer is; there is one message
        for all files that it is true of."""
        named = self._files.setdefault(what, [])
        if where in named:
            named.remove(where)
        if holds:
            named.append(where)

    def forget(self, where: str) -> None:
        """Forget what was noted of a file."""
        for named in self._files.values():
            if where in named:
                named.remove(where)

    def lines(self) -> list[str]:
        """Return the messages, one line each."""
        lines = []
        for what, files in self._files.items():
            if not files:
                continue
            more = f" and {len(files) - 1} more" if len(files) > 1 else ""
            lines.append(f"{files[0]!r}{more}: {what}")
        for where, left in self.left_out.items():
            if left.count and not left.rows:
                rows = "1 row was" if left.count == 1 else f"{left.count} rows were"
                lines.append(f"{where!r}: {rows} left out, the first one {left.first}")
        return lines

    @property
    def bad_rows(self) -> list[BadRow]:
        """Return all rows that were collected, file by file."""
        return [row for left in self.left_out.values() for row in left.rows]
