"""Types of JSON values, merged over the blocks of a file, and exact even where Arrow's are not.

Arrow finds the types of a block fast, but rounds integers beyond 64 bits to doubles. A block in
which that may have happened, or which Arrow refuses, is checked value by value with Python's own
reader, which keeps numbers as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import survey
from .interface import library, plain

_SPACE = b" \t\r\n"
_BARE_NULL = re.compile(rb"\}\s*+null")
_NO_BRACKETS = bytes(each for each in range(256) if each not in b"[]{}\n")
# More deeply nested values are not passed to Arrow, whose stack might overflow.
DEEPEST = 200


class Clash(Exception):
    """Values of one field have no type that holds all of them exactly."""


class Number(str):
    """A number, as it is written."""

    __slots__ = ()


class Duplicate(ValueError):
    """An object has a field twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Duplicate(f"the field {twice!r} is there twice")
    return made


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=Number, parse_int=Number, parse_constant=Number
)


def objects(line: bytes) -> Iterator[dict[str, Any]]:
    """Yield the objects of a line, nearly always one.

    Raises ValueError for anything but an object, RecursionError for one that is nested too deeply.
    """
    text = line.decode()
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in " \t\r\n":
            at += 1
        if at == end:
            return
        value, at = _DECODER.raw_decode(text, at)
        if _depth(value) > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        if not isinstance(value, dict):
            raise ValueError(f"it is no object: {plain(text[:60])}")
        yield value


def may_be_fatal(data: bytes) -> bool:
    """Return True if Arrow might crash the process on this. It does so on a null outside of an
    object, and if objects and lists are nested so deeply that its stack overflows.

    A match may be part of a string: True means that ``objects`` must check it.
    """
    if _BARE_NULL.search(data) or data.lstrip(_SPACE).startswith(b"null"):
        return True
    # Brackets alone. Each round removes one level from everything that is nested. Deeper nesting
    # than there are rounds goes on, or leaves that many brackets in its line, whatever else strings
    # contribute.
    brackets = data.translate(None, _NO_BRACKETS)
    for _ in range(DEEPEST // 2):
        size = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(brackets) == size:
            return max(map(len, brackets.split(b"\n"))) > DEEPEST // 2
    return True


def _depth(value: Any) -> int:
    """Return the nesting depth of objects and lists."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        parts = (each.values() if isinstance(each, dict) else each for each in level)
        level = [part for each in parts for part in each]
    return depth


@dataclass
class Kind:
    """The kinds of values of a field.

    Attributes:
        names: the simple types that were seen: bool, whole, fraction, str, and huge for fractions
            that no double holds.
        low, high: the bounds of integers.
        inexact: an integer that no double holds.
        time: True if its strings look like times to Arrow.
        fields: of objects; None if there was none.
        items: of lists; None if there was none.
    """

    names: set[str] = field(default_factory=set)
    low: int = 0
    high: int = 0
    inexact: str = ""
    time: bool = False
    fields: dict[str, Kind] | None = None
    items: Kind | None = None

    def see(self, value: Any) -> None:
        """Add one value, as returned by ``objects``."""
        if value is None:
            return
        if isinstance(value, dict):
            self.fields = {} if self.fields is None else self.fields
            for name, each in value.items():
                self.fields.setdefault(name, Kind()).see(each)
        elif isinstance(value, list):
            self.items = Kind() if self.items is None else self.items
            for each in value:
                self.items.see(each)
        elif isinstance(value, Number):
            self._see_number(value)
        else:
            self.names.add("bool" if isinstance(value, bool) else "str")

    def _see_number(self, text: Number) -> None:
        digits = text.removeprefix("-")
        if not digits.isdigit():
            huge = digits[:1].isdigit() and abs(float(text)) == float("inf")
            self.names.add("huge" if huge else "fraction")
            return
        self.names.add("whole")
        # Python refuses to parse numbers with more digits, and no type holds them.
        number = int(text) if len(digits) < 400 else 10**400
        self.low, self.high = min(self.low, number), max(self.high, number)
        if abs(number) > survey.EXACT and (number >= 10**300 or int(float(number)) != number):
            self.inexact = self.inexact or str(text)[:80]

    def see_column(self, column: Any) -> bool:
        """Add all values of a column that Arrow has decoded; return False if it may have rounded
        some."""
        pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
        types, kind = pa.types, column.type
        if types.is_struct(kind):
            self.fields = {} if self.fields is None else self.fields
            return all(
                self.fields.setdefault(each.name, Kind()).see_column(pc.struct_field(column, [at]))
                for at, each in enumerate(kind)
            )
        if types.is_list(kind):
            self.items = Kind() if self.items is None else self.items
            return self.items.see_column(pc.list_flatten(column))
        if types.is_null(kind) or column.null_count == len(column):
            return True
        if types.is_floating(kind):
            self.names.add("fraction")
            return not may_be_rounded(column)
        if types.is_integer(kind):
            self.names.add("whole")
            ends = pc.min_max(column)
            self.low = min(self.low, ends["min"].as_py())
            self.high = max(self.high, ends["max"].as_py())
            if max(-self.low, self.high) > survey.EXACT and not self.inexact:
                self.inexact = "whole numbers beyond 2**53"
            return True
        self.time = self.time or types.is_timestamp(kind)
        self.names.add("bool" if types.is_boolean(kind) else "str")
        return True

    def merge(self, other: Kind) -> None:
        """Add the values of another one."""
        self.names |= other.names
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.inexact = self.inexact or other.inexact
        self.time = self.time or other.time
        if other.fields is not None:
            self.fields = {} if self.fields is None else self.fields
            for name, each in other.fields.items():
                self.fields.setdefault(name, Kind()).merge(each)
        if other.items is not None:
            self.items = self.items or Kind()
            self.items.merge(other.items)

    def type(self, where: str) -> Any:
        """Return the Arrow type that holds all values exactly.

        Args:
            where: the path of the field, for the message.

        Raises:
            Clash: there is none.
        """
        pa = library("pyarrow", "arrow")
        seen = [*sorted(self.names)]
        seen += ["object"] if self.fields is not None else []
        seen += ["list"] if self.items is not None else []
        if seen == ["fraction", "whole"]:
            if self.inexact:
                raise Clash(f"field {where!r} holds fractions and {self.inexact}")
            seen = ["fraction"]
        if len(seen) > 1 or seen == ["huge"]:
            named = [_NAMED[each] for each in seen]
            raise Clash(f"field {where!r} holds {' and '.join(dict.fromkeys(named))}")
        if self.fields is not None:
            made = [pa.field(n, each.type(f"{where}.{n}")) for n, each in self.fields.items()]
            return pa.struct(made)
        if self.items is not None:
            return pa.list_(self.items.type(f"{where}[]"))
        simple = {"bool": pa.bool_(), "str": pa.string(), "fraction": pa.float64()}
        if seen == ["whole"]:
            return self._whole(where)
        return simple[seen[0]] if seen else pa.null()

    def _whole(self, where: str) -> Any:
        pa = library("pyarrow", "arrow")
        if self.low >= -(2**63) and self.high < 2**63:
            return pa.int64()
        if self.low >= 0 and self.high < 2**64:
            return pa.uint64()
        for digits, kind in ((38, pa.decimal128), (76, pa.decimal256)):
            if max(-self.low, self.high) < 10**digits:
                return kind(digits, 0)
        raise Clash(f"field {where!r} holds a number of more than 76 digits")


_NAMED = {
    "bool": "true or false",
    "whole": "numbers",
    "huge": "numbers beyond all doubles",
    "fraction": "numbers",
    "str": "strings",
    "object": "objects",
    "list": "lists",
}


def may_be_rounded(column: Any) -> bool:
    """Return True if a column of Arrow's, or a part of it, may hold rounded integers."""
    pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
    kind = column.type
    if pa.types.is_struct(kind):
        parts = (pc.struct_field(column, [at]) for at in range(kind.num_fields))
        return any(map(may_be_rounded, parts))
    if pa.types.is_list(kind):
        return may_be_rounded(pc.list_flatten(column))
    if not pa.types.is_floating(kind):
        return False
    ends = pc.min_max(column)
    return any(abs(each.as_py() or 0) >= survey.EXACT for each in (ends["min"], ends["max"]))


def without_nulls(kind: Any) -> Any:
    """Return the type as which Arrow should read values of ``kind``. If only nulls are known of a
    list's type, Arrow makes lists that are shorter than their declared length."""
    pa = library("pyarrow", "arrow")
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(without_nulls(each.type)) for each in kind])
    if pa.types.is_list(kind):
        inner = kind.value_type
        return pa.list_(pa.string() if pa.types.is_null(inner) else without_nulls(inner))
    return kind


def as_text(value: Any) -> str | None:
    """Return a value as text: a string itself, anything else as JSON."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        inner = (f"{json.dumps(name)}:{_inner(each)}" for name, each in value.items())
        return f"{{{','.join(inner)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_inner, value))}]"
    return json.dumps(value)


def _inner(value: Any) -> str:
    if type(value) is str:
        return json.dumps(value, ensure_ascii=False)
    return as_text(value) or "null"
