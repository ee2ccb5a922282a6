"""Newline-delimited JSON, one object per line, decoded block by block; needs pyarrow.

Blocks are cut at line ends here, and Arrow decodes each. The fields and types of the first block
apply while later blocks fit. If one does not, the whole file is checked once (``jsontypes``) and
read again. Strings stay strings, even if they look like times, unless ``parse_dates=`` or
``dtype=`` requests times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from copy import deepcopy
from typing import Any, NamedTuple

from ...errors import BadFile
from . import dialect, survey, text
from .incoming import Text as Incoming
from .interface import Retyped, Wanted, chosen, in_a_line, library
from .jsontypes import Clash, Kind, as_text, may_be_fatal, may_be_rounded, objects, without_nulls
from .options import BadRow, LeftOut
from .spans import Span
from .tables import arrow_type, valid
from .text import Found, Text

# The bytes that Arrow parses at a time, on one core of several.
_PARSED = 1 << 20


def open(name: str, wanted: Wanted) -> Opened:
    """Open the table in ``name``."""
    library("pyarrow.json", "arrow")
    return Opened(name, wanted)


class Block(NamedTuple):
    """Some whole lines of a file.

    Attributes:
        first: the number of the first line, from 1 on.
        taken: the bytes of the file that have been read up to their end.
    """

    data: bytes
    first: int
    taken: int


class Opened(Text):
    """A ``Tabular`` on a file of one JSON object per line."""

    what = "NDJSON file"

    def __init__(self, name: str, wanted: Wanted) -> None:
        super().__init__(name, wanted)
        self._describe()

    def _schema(self) -> Any:
        pa = library("pyarrow", "arrow")
        found = self._found
        with self._guard():
            found.encoding = (
                found.encoding
                or self._options.encoding
                or dialect.encoding_of(self.where, self._wanted.notes)
            )
            if not found.types:
                self._look(whole=False)
        names = list(found.types)
        self._asked = self._types_asked_for(names)
        names += [each for each in self._asked if each not in names]
        chosen(self.where, names, self._options.date_names, "column")
        self._names = chosen(self.where, names, self._wanted.columns, "column")
        self._types = {each: self._type_of(each) for each in self._names}
        return pa.schema(list(self._types.items()))

    def _types_asked_for(self, names: list[str]) -> dict[str, Any]:
        dtype = self._wanted.dtype
        if dtype is None:
            return {}
        by_name = dtype if isinstance(dtype, Mapping) else dict.fromkeys(names, dtype)
        return {name: arrow_type(kind) for name, kind in by_name.items()}

    def _type_of(self, name: str) -> Any:
        found = self._asked.get(name, self._found.types.get(name))
        if isinstance(found, Clash):
            raise BadFile(
                f"{self.where!r}: {found}; dtype={{{name!r}: 'string'}} takes all of it as text"
            )
        if name not in self._asked and self._is_moment(name):
            return self._found.moments.get(name, library("pyarrow", "arrow").timestamp("us"))
        return found

    def _is_moment(self, name: str) -> bool:
        if self._options.parse_dates is True:
            return name in self._found.times
        return self._options.date_format(name)[0]

    def _set_types(self, types: Mapping[str, Any]) -> bool:
        """Set types. JSON values have types; only numbers can be read as other numbers."""
        pa = library("pyarrow", "arrow")
        if any(pa.types.is_string(kind) for kind in types.values()):
            return False
        self._found.types.update(types)
        self._found.settled.update(types)
        return True

    def settled(self) -> Found:
        """Return what is known of the file."""
        return self._found.copied()

    # --- types ---------------------------------------------------------------

    def _look(self, whole: bool) -> None:
        """Find the types of the fields in the first block, or in all blocks."""
        found, meter = self._found, self._wanted.meter
        # A part of a file: its values come on top of what the beginning has shown.
        within = isinstance(self.where, Span) and found.seen is not None
        kept = {name: found.types[name] for name in found.settled} if within else {}
        all_fields = deepcopy(found.seen) if within else Kind(fields={})
        with meter.looking(self.where) if whole else nullcontext():
            for block in self._blocks():
                seen = Kind(fields={})
                if self._see(block, seen):
                    all_fields.merge(seen)
                else:
                    for value in self._values(block, LeftOut()):
                        all_fields.see(value)
                if not whole:
                    break
                meter.at(self.where, block.taken)
        found.seen = all_fields
        found.types, found.times = {}, set()
        for name, kind in (all_fields.fields or {}).items():
            found.times |= {name} if kind.time else set()
            try:
                found.types[name] = kind.type(name)
            except Clash as clash:
                found.types[name] = clash
        found.types.update(kept)
        found.whole = whole

    def _see(self, block: Block, kind: Kind) -> bool:
        """Add the types that Arrow finds; return False if they cannot be trusted."""
        pa = library("pyarrow", "arrow")
        if may_be_fatal(block.data):
            return False
        try:
            table = _parsed(block.data, None, "infer")
        except pa.ArrowInvalid:
            return False
        assert kind.fields is not None
        return all(
            kind.fields.setdefault(name, Kind()).see_column(column)
            for name, column in zip(table.column_names, table.columns, strict=True)
        )

    def _look_again(self) -> None:
        """Check all values, if that was not done yet, and then raise Retyped."""
        if not self._found.whole:
            self._look(whole=True)
            raise Retyped(self.where)

    # --- reading -------------------------------------------------------------

    def _blocks(self) -> Iterator[Block]:
        """Yield the file in blocks of whole lines."""
        stream = Incoming(self.where, self._found.encoding)
        try:
            kept, line = b"", 1
            while data := stream.read(text.BLOCK):
                end = data.rfind(b"\n") + 1
                if not end:
                    kept += data
                    if len(kept) > text.LARGEST_BLOCK:
                        raise BadFile(f"{self.where!r}: line {line} is longer than 1 GB")
                    continue
                block = Block(kept + data[:end], line, stream.raw.taken)
                kept = data[end:]
                if block.data.strip():
                    yield block
                line += block.data.count(b"\n")
            if kept.strip():
                yield Block(kept, line, stream.raw.taken)
        finally:
            stream.close()

    def _decoded(self) -> Iterator[Any]:
        left = self._wanted.notes.left_out[self.where] = LeftOut()
        rows = 0
        with self._guard():
            for block in self._blocks():
                for batch in self._table(block, left).to_batches():
                    rows += batch.num_rows
                    yield valid(batch)  # strings may not be UTF-8
                self._wanted.meter.at(self.where, block.taken)
        self.rows = rows

    def _table(self, block: Block, left: LeftOut) -> Any:
        """Return the wanted columns of a block."""
        pa = library("pyarrow", "arrow")
        texts = [name for name in self._names if self._is_text_of_all(name)]
        given = {
            name: pa.string() if self._is_time(name) else without_nulls(kind)
            for name, kind in self._types.items()
            if name not in texts
        }
        # A skipped field might also be a new field of a wanted object.
        unknown = "ignore" if self._found.whole else "infer"
        if may_be_fatal(block.data):
            block = self._without_bad_lines(block, left)
        try:
            table = _parsed(block.data, pa.schema(list(given.items())), unknown)
        except pa.ArrowInvalid as error:
            whole = self._without_bad_lines(block, left)
            if whole.data != block.data:
                return self._table(whole, left)
            self._look_again()
            table = self._without_texts(block, given, error)
        self._require_known(table, given)
        columns = {name: table[name] for name in given}
        if texts:
            columns.update(self._as_text(block, texts))
        return pa.table([self._finished(n, columns[n], block) for n in self._names], self.schema)

    def _is_text_of_all(self, name: str) -> bool:
        """Return True if text is requested where the values are of another type."""
        pa = library("pyarrow", "arrow")
        if not pa.types.is_string(self._asked.get(name, pa.null())):
            return False
        found = self._found.types.get(name, pa.null())
        return isinstance(found, Clash) or not (
            pa.types.is_string(found) or pa.types.is_null(found)
        )

    def _is_time(self, name: str) -> bool:
        """Return True if it is read as a string and converted to a time here: Arrow would drop the
        zone."""
        pa = library("pyarrow", "arrow")
        return self._is_moment(name) or pa.types.is_temporal(self._types[name])

    def _as_text(self, block: Block, names: list[str]) -> dict[str, Any]:
        pa = library("pyarrow", "arrow")
        columns: dict[str, list[str | None]] = {name: [] for name in names}
        for value in self._values(block, LeftOut()):
            if not self._found.types.keys() >= value.keys():
                self._look_again()
            for name, column in columns.items():
                column.append(as_text(value.get(name)))
        return {name: pa.chunked_array([column], pa.string()) for name, column in columns.items()}

    def _finished(self, name: str, column: Any, block: Block) -> Any:
        """Return a column in its final type."""
        pa = library("pyarrow", "arrow")
        kind = self._types[name]
        if not self._is_time(name):
            if name not in self._asked and may_be_rounded(column):
                self._require_exact(name)
            if not column.type.equals(kind):
                return pa.array(column.to_pylist(), kind)
            return column
        try:
            _, format = self._options.date_format(name)
            made = survey.moments(column.combine_chunks(), format, _READING)
            if (made.type.tz is None) != (getattr(kind, "tz", None) is None):
                if name in self._asked:
                    raise survey.Unfit("zones are there in one of them alone")
                self._found.moments[name] = made.type
                raise Retyped(self.where)
            return made.cast(kind)
        except (survey.Unfit, pa.ArrowInvalid) as error:
            if self._options.parse_dates is True and name not in self._asked:
                self._found.times.discard(name)
                raise Retyped(self.where) from error
            raise BadFile(
                f"{self.where!r}: field {name!r} cannot be loaded as {kind}, from line "
                f"{block.first} on: {in_a_line(error)}"
            ) from error

    def _require_exact(self, name: str) -> None:
        """Check that no double of this field is a rounded integer."""
        if name in self._found.settled:
            raise BadFile(
                f"{self.where!r}: field {name!r} holds whole numbers beyond 2**53, and fractions "
                f"in other files; dtype={{{name!r}: 'string'}} takes all of it as text"
            )
        self._look_again()

    # --- errors ------------------------------------------------------------

    def _values(self, block: Block, left: LeftOut) -> Iterator[dict[str, Any]]:
        """Yield the objects of a block, from Python's reader; lines without one are left out if
        requested."""
        for _, values in self._lines(block, left):
            yield from values

    def _lines(self, block: Block, left: LeftOut) -> Iterator[tuple[bytes, list[dict[str, Any]]]]:
        for number, line in enumerate(block.data.split(b"\n"), block.first):
            try:
                values = list(objects(line))
            except (ValueError, RecursionError) as error:
                self._leave_out(number, line, in_a_line(error, 100), left)
                continue
            yield line, values

    def _leave_out(self, number: int, line: bytes, reason: str, left: LeftOut) -> None:
        text = line[:200].decode("utf-8", "replace")
        if number == 1 and text.lstrip().startswith("["):
            reason = "it begins a JSON array, and NDJSON is an object a line"
        if self._options.bad_rows == "error":
            raise BadFile(
                f"{self.where!r}: line {number} is not valid NDJSON: {reason}: "
                f"{text[:80]!r}; bad_rows='skip' leaves such lines out"
            )
        left.count += 1
        left.first = left.first or f"is line {number}: {reason}: {text[:80]!r}"
        if self._options.bad_rows == "collect":
            whole = line.decode("utf-8", "replace").rstrip("\r")
            left.rows.append(BadRow(self.where, number, whole, reason))

    def _without_bad_lines(self, block: Block, left: LeftOut) -> Block:
        """Return the block without bad lines; or raise BadFile for the first line that is not an
        object."""
        lines = [line for line, _ in self._lines(block, left)]
        return block._replace(data=b"\n".join(lines))

    def _without_texts(self, block: Block, given: Mapping[str, Any], error: Exception) -> Any:
        """Return the columns ``given`` of a block that Arrow cannot read completely: the values
        that it refuses may be in other columns."""
        pa = library("pyarrow", "arrow")
        lines = [
            as_text({name: value[name] for name in given if name in value})
            for value in self._values(block, LeftOut())
        ]
        try:
            return _parsed(
                "\n".join(map(str, lines)).encode(), pa.schema([*given.items()]), "ignore"
            )
        except pa.ArrowInvalid:
            raise BadFile(
                f"{self.where!r}: from line {block.first} on, a value is not as {self._what()}: "
                f"{in_a_line(error)}"
            ) from error

    def _require_known(self, table: Any, given: Mapping[str, Any]) -> None:
        """Check the whole file if fields appear that were not in its beginning, at the top or
        within objects."""
        known = {**self._found.types, **given}
        for field in table.schema:
            same = field.name in known and (
                field.name not in given or field.type.equals(given[field.name])
            )
            if not same and (self._wanted.columns is None or field.name in given):
                self._look_again()
                raise BadFile(f"{self.where!r}: field {field.name!r} is {field.type} all at once")

    def _what(self) -> str:
        asked = ", ".join(f"{name!r}: {kind}" for name, kind in self._asked.items())
        return f"dtype= says ({asked})" if asked else "it was before"


_READING = survey.Reading(("",))


def _parsed(data: bytes, schema: Any, unknown: str) -> Any:
    """Parse a block with Arrow's reader.

    Args:
        unknown: the treatment of fields that ``schema`` does not name: "infer" or "ignore".
    """
    pa, json = library("pyarrow", "arrow"), library("pyarrow.json", "arrow")
    options = json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unknown)
    for size in (_PARSED, len(data) + 1):
        try:
            return json.read_json(pa.BufferReader(data), json.ReadOptions(block_size=size), options)
        except pa.ArrowInvalid as error:
            if "straddling object" not in str(error) or size > len(data):
                raise
    raise AssertionError("unreachable")
