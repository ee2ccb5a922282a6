"""CSV (and TSV), decoded block by block; needs pyarrow.

The dialect comes from the caller and from the first lines (``dialect``). Columns are identified by
position here: two may have the same name. Types are those that Arrow finds in the first block,
widened if a later value, or an exact check of the text, requires it (``survey``). An empty value is
null, or an empty string in a column of strings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NoReturn

from ...errors import BadFile
from . import dialect, encodings, survey
from .delimited import OtherRow, Rows
from .interface import Retyped, Wanted, in_a_line, library, positions
from .tables import arrow_type
from .text import Found, Text


def open(name: str, wanted: Wanted) -> Opened:
    """Open the table in ``name``."""
    return Opened(name, wanted)


class Opened(Text):
    """A ``Tabular`` on a file of comma-separated values."""

    what = "CSV file"

    def __init__(self, name: str, wanted: Wanted) -> None:
        super().__init__(name, wanted)
        self._begun: Rows | None = None
        self._nulls = _null_values(self._options.na_values)
        self._reading = survey.Reading(
            self._nulls,
            self._options.decimal,
            self._options.thousands,
            self._options.parse_dates is not False,
        )
        self._describe()

    def _schema(self) -> Any:
        self.close()
        wanted = self._wanted
        with self._guard():
            self._dialect = self._found.dialect or dialect.described(
                self.where, self._options, wanted.notes, self._found.encoding
            )
        names = list(self._dialect.names)
        self._taken = positions(self.where, names, wanted.columns, "column")
        self._asked = self._types_asked_for(names)
        positions(self.where, names, self._options.date_names or None, "column")
        if self._options.thousands is not None:
            self._survey_once()
        self._types = self._types_of_first_block()
        pa = library("pyarrow", "arrow")
        self._say_zeros(names)
        return pa.schema([pa.field(names[at], self._types[at]) for at in self._taken])

    def _say_zeros(self, names: list[str]) -> None:
        """Note the columns of numbers that are written with leading zeros. They may become text
        later, when more of the file is known."""
        types = library("pyarrow", "arrow").types
        for at in self._dialect.zeros.intersection(self._taken) - self._asked.keys():
            kind = self._types[at]
            self._wanted.notes.say(
                self.where,
                f"numbers of column {names[at]!r} lose their leading zeros; "
                f"dtype={{{names[at]!r}: 'string'}} keeps them",
                types.is_integer(kind) or types.is_floating(kind),
            )

    def _types_asked_for(self, names: list[str]) -> dict[int, Any]:
        dtype = self._wanted.dtype
        if dtype is None:
            if self._wanted.as_text:
                return dict.fromkeys(self._taken, library("pyarrow", "arrow").string())
            return {}
        if not isinstance(dtype, Mapping):
            return dict.fromkeys(self._taken, arrow_type(dtype))
        return {
            at: arrow_type(kind)
            for name, kind in dtype.items()
            for at in positions(self.where, names, (name,), "column")
        }

    def settled(self) -> Found:
        """Return what is known of the file, with the types that its columns are read in."""
        found, dialect = self._found.copied(), self._dialect
        return replace(found, types=dict(self._types), encoding=dialect.encoding, dialect=dialect)

    # --- types ---------------------------------------------------------------

    def _types_of_first_block(self) -> dict[int, Any]:
        """Return the types of the selected columns: requested, learnt before, or Arrow's."""
        pa = library("pyarrow", "arrow")
        types = {at: self._asked.get(at, self._found.types.get(at)) for at in self._taken}
        for at in self._taken:
            if self._is_moment(at):
                types[at] = types[at] or pa.timestamp("us")
        if None not in types.values():
            return types
        rows = self._rows()
        known = {at: self._read_as(at, kind) for at, kind in types.items() if kind is not None}
        with self._guard(), ExitStack() as stack:
            stack.callback(rows.close)
            try:
                found = rows.open(known, self._taken)
            except pa.ArrowInvalid as error:
                self._refuse(error, rows)
            if found is None:
                return {at: kind or pa.null() for at, kind in types.items()}
            inferred = dict(zip(self._taken, found.types, strict=True))
            if rows.hexadecimal:
                self._require_decimal(inferred)
            unsure = [at for at in self._taken if types[at] is None]
            unsure = [at for at in unsure if self._may_be_rounded(at, inferred[at])]
            if unsure:
                self._survey(unsure)
            for at, kind in types.items():
                types[at] = self._tamed(at, inferred[at]) if kind is None else kind
            if all(self._read_as(at, kind).equals(inferred[at]) for at, kind in types.items()):
                # It has decoded the first block: the first read goes on with it.
                self._begun = rows
                stack.pop_all()
        return types

    def close(self) -> None:
        """See ``Tabular``."""
        if self._begun is not None:
            self._begun.close()
            self._begun = None

    def _may_be_rounded(self, at: int, kind: Any) -> bool:
        """Return True for a column in which Arrow has found ``kind``, and may have lost a zone
        other than UTC, or digits of integers beyond int64."""
        types = library("pyarrow", "arrow").types
        if types.is_timestamp(kind):
            return self._reading.dates and kind.tz is not None
        return types.is_floating(kind) and at in self._dialect.wide

    def _tamed(self, at: int, kind: Any) -> Any:
        """Return the type for a column in which Arrow has found ``kind``."""
        pa = library("pyarrow", "arrow")
        if pa.types.is_binary(kind):
            self._other_encoding()
        if pa.types.is_temporal(kind) and not self._reading.dates:
            return pa.string()
        return kind

    def _survey_once(self) -> None:
        """Check all values of the columns whose types the caller has not set, if that was not done
        yet; then raise Retyped."""
        wanted = [at for at in self._taken if at not in self._asked and not self._is_moment(at)]
        if any(at not in self._found.types for at in wanted):
            self._survey(wanted)

    def _survey(self, wanted: list[int]) -> NoReturn:
        """Check all values of these columns, then raise Retyped."""
        pa = library("pyarrow", "arrow")
        columns = {at: survey.Column(self._reading) for at in wanted}
        strings = dict.fromkeys(wanted, pa.string())
        for batch in self._looked_at(strings, wanted):
            for values, column in zip(batch.columns, columns.values(), strict=True):
                if not column.settled:
                    column.look(values)
        self._found.types.update({at: column.type for at, column in columns.items()})
        self._found.exact.update(wanted)
        raise Retyped(self.where)

    def _is_moment(self, at: int) -> bool:
        return self._options.date_format(self._dialect.names[at])[0]

    def _set_types(self, types: Mapping[str, Any]) -> bool:
        for at, name in enumerate(self._dialect.names):
            if name in types and at not in self._asked:
                self._found.types[at] = types[name]
                self._found.settled.add(at)
                self._found.exact.discard(at)  # its values were checked as another type
        return True

    # --- reading -------------------------------------------------------------

    def _rows(self) -> Rows:
        return Rows(self.where, self._dialect, self._options, self._nulls)

    def _read(
        self, types: Mapping[int, Any], taken: list[int], rows: Rows | None = None
    ) -> Iterator[Any]:
        """Yield batches of the columns ``taken``, as Arrow decodes them."""
        pa = library("pyarrow", "arrow")
        rows = rows or self._rows()
        with self._guard():
            try:
                yield from rows.batches(types, taken)
            except OtherRow:
                raise BadFile(
                    f"{self.where!r}: a row does not go with the others; the first such "
                    f"{rows.left_out.first}; sep= and quote= may be others, and bad_rows='skip' "
                    "leaves such rows out"
                ) from None
            except pa.ArrowInvalid as error:
                self._refuse(error, rows)

    def _looked_at(self, types: Mapping[int, Any], taken: list[int]) -> Iterator[Any]:
        """Yield the same for a read that only finds types, counted for the progress."""
        rows, meter = self._rows(), self._wanted.meter
        with meter.looking(self.where):
            for batch in self._read(types, taken, rows):
                yield batch
                meter.at(self.where, rows.taken)

    def _decoded(self) -> Iterator[Any]:
        pa = library("pyarrow", "arrow")
        native = {at: self._read_as(at, kind) for at, kind in self._types.items()}
        rows, self._begun = self._begun or self._rows(), None
        self._wanted.notes.left_out[self.where] = rows.left_out
        done = 0
        for batch in self._read(native, self._taken, rows):
            if rows.hexadecimal:
                self._require_decimal(native)
            columns = [
                self._finished(at, values, done)
                for at, values in zip(self._taken, batch.columns, strict=True)
            ]
            done += batch.num_rows
            self._wanted.meter.at(self.where, rows.taken)
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema) if columns else batch
        self.rows = done

    def _read_as(self, at: int, kind: Any) -> Any:
        """Return the type with which Arrow reads a column of ``kind``: text if it is converted
        here."""
        pa = library("pyarrow", "arrow")
        types = pa.types
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        if self._is_moment(at) or (number and self._options.thousands is not None):
            return pa.string()
        if types.is_boolean(kind) and at in self._asked:
            return pa.string()  # 0 and 1 are booleans, too
        # Arrow's CSV reader does not support these.
        if types.is_decimal256(kind) or types.is_duration(kind) or types.is_float16(kind):
            return pa.string()
        return kind

    def _finished(self, at: int, values: Any, rows: int) -> Any:
        """Return a column of a batch in its final type."""
        pa, pc = library("pyarrow", "arrow"), library("pyarrow.compute", "arrow")
        kind = self._types[at]
        try:
            if self._is_moment(at):
                _, format = self._options.date_format(self._dialect.names[at])
                values = survey.moments(values, format, self._reading)
                if values.type.tz is not None and at not in self._asked and kind.tz is None:
                    self._found.types[at] = values.type
                    raise Retyped(self.where)
                return values.cast(kind)
            if not values.type.equals(kind):
                return survey.made(values, kind, self._reading, exact=at not in self._asked)
        except (survey.Unfit, pa.ArrowInvalid) as error:
            if at not in self._asked and not self._is_moment(at):
                # A type that fits the other files: 0x1F is an integer, and no decimal.
                self._found.types[at] = pa.string()
                raise Retyped(self.where) from error
            name = self._dialect.names[at]
            raise BadFile(
                f"{self.where!r}: column {name!r} cannot be loaded as {kind}, after row {rows}: "
                f"{in_a_line(error)}"
            ) from error
        if pa.types.is_floating(kind) and at not in self._asked and at not in self._found.exact:
            self._require_exact(at, values)
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if self._options.na_values and text:
            gone = pc.is_in(values, value_set=pa.array(self._options.na_values, kind))
            return pc.if_else(gone, pa.scalar(None, kind), values)
        return values

    def _require_exact(self, at: int, values: Any) -> None:
        """Check the text of a column of doubles if one may have been rounded."""
        pc = library("pyarrow.compute", "arrow")
        ends = pc.min_max(values)
        if not any((each.as_py() or 0) >= survey.EXACT for each in _sizes(ends)):
            return
        pa = library("pyarrow", "arrow")
        column = survey.Column(self._reading)
        exact = True
        for batch in self._looked_at({at: pa.string()}, [at]):
            column.look(batch.column(0))
            try:
                survey.made(batch.column(0), values.type, self._reading)
            except survey.Unfit:
                exact = False
        # Integers that doubles happen to hold, such as 2**63, are integers all the same.
        kind = column.type
        if at in self._found.settled & self._found.offered:
            # The other files' types were considered, and this type too: only text holds more.
            kind = values.type if exact else pa.string()
        self._found.exact.add(at)
        self._found.offered.add(at)
        if not kind.equals(values.type):
            self._found.settled.discard(at)
            self._found.types[at] = kind
            raise Retyped(self.where)

    def _require_decimal(self, kinds: Mapping[int, Any]) -> None:
        """Make text of the columns of integers that have a value such as 0x00FF: Arrow reads it as
        an integer, and what was written would be lost."""
        pa = library("pyarrow", "arrow")
        checked = self._asked.keys() | self._found.decimal
        columns = [
            at for at, kind in kinds.items() if pa.types.is_integer(kind) and at not in checked
        ]
        if not columns:
            return
        other: set[int] = set()
        for batch in self._looked_at(dict.fromkeys(columns, pa.string()), columns):
            values = zip(columns, batch.columns, strict=True)
            other.update(at for at, each in values if survey.has_hexadecimal(each))
        self._found.decimal.update(columns)
        if other:
            self._found.settled -= other
            self._found.types.update(dict.fromkeys(other, pa.string()))
            raise Retyped(self.where)

    # --- errors ------------------------------------------------------------

    def _refuse(self, error: Exception, rows: Rows) -> NoReturn:
        """Learn from an error and raise Retyped; or raise an error that says what is wrong and what
        helps."""
        said = in_a_line(error)
        if "invalid UTF8" in said:
            self._other_encoding()
        if said.startswith("In CSV column #"):
            # Arrow numbers the columns of the file, whichever it was told to read.
            self._unfit(int(said.partition("column #")[2].partition(":")[0]), error)
        raise BadFile(f"{self.where!r} is not valid CSV, after row {rows.done}: {said}") from error

    def _unfit(self, at: int, error: Exception) -> NoReturn:
        """Handle a value that does not have the type of its column."""
        if at not in self._asked:
            if at in self._found.types:
                self._found.types[at] = library("pyarrow", "arrow").string()
                raise Retyped(self.where) from error
            self._survey_once()
        raise BadFile(
            f"{self.where!r}: column {self._dialect.names[at]!r} cannot be loaded as "
            f"{self._asked.get(at)}: {in_a_line(error).partition(': ')[2]}"
        ) from error

    def _other_encoding(self) -> NoReturn:
        """Find the encoding of text that is not UTF-8 after all, then raise Retyped."""
        if self._options.encoding is not None or self._found.encoding is not None:
            raise BadFile(
                f"{self.where!r} is not text of {self._dialect.encoding}; encoding= names another"
            )
        stream = dialect.rows_stream(self.where, self._options, "utf-8", 0)
        try:
            self._found.encoding = encodings.guessed(dialect.pieces(stream))
        finally:
            stream.close()
        dialect.say_encoding(self.where, self._found.encoding, self._wanted.notes)
        raise Retyped(self.where)


def _sizes(ends: Any) -> list[Any]:
    pc = library("pyarrow.compute", "arrow")
    return [pc.abs(ends["min"]), pc.abs(ends["max"])]


def _null_values(more: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the texts that mean null in a column that is not of text, for Arrow and for the
    caller."""
    usual = library("pyarrow.csv", "arrow").ConvertOptions().null_values
    return tuple(dict.fromkeys((*usual, *(more or ()))))
