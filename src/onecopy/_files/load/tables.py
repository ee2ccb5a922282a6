"""Loads tables of files into shared memory: Arrow, Parquet, CSV, NDJSON.

A file with the layout of memory (Arrow, uncompressed) is mapped. Everything else is decoded some
rows at a time, and each batch is written to one segment, in Arrow's own stream format, before the
next is decoded: the peak is the data and one batch. The table is then opened on the segment
(``adapters.tables``). Several files become one table of several chunks. Many files are copied
together even if they could be mapped: each takes a descriptor here and in every worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..._memory.segment_writer import Growing
from ...errors import BadFile
from .interface import PIECE, Damaged, Retyped, Tabular, Wanted, chosen, in_a_line, library, reading

# At most this many files are mapped side by side.
_MAPPED = 48
# A batch may be a view of a mapped file: this many are held before they are copied together.
_AT_ONCE = 16


def load(sources: list[Tabular], wanted: Wanted) -> Any:
    """Return the pyarrow Table of the files.

    Raises:
        BadFile: the files do not match, are damaged, or do not fit the requested types.
        NotEnoughMemory: the data that must be copied does not fit.
    """
    while True:
        if not sources:
            raise BadFile(f"none of the files can be read: {'; '.join(wanted.notes.lines())}")
        try:
            return _loaded(sources, wanted)
        except Retyped:
            continue  # a file has other types than its beginning: they are known now
        except Damaged as error:
            wanted.skip(error.where, error)
            sources = [source for source in sources if source.where != error.where]


def _loaded(sources: list[Tabular], wanted: Wanted) -> Any:
    from ..._codec.adapters import tables  # pyarrow is imported: it has opened the files

    schema = agreed(sources, wanted)
    if len(sources) <= _MAPPED and all(source.schema.equals(schema) for source in sources):
        parts = [part for part in (source.part() for source in sources) if part is not None]
        if len(parts) == len(sources):
            rows = None
            if not wanted.all_rows:
                rows = wanted.window(sum(source.rows or 0 for source in sources))
            return _checked(tables.open_table(tuple(parts), rows), sources[0].where)
    pa = library("pyarrow", "arrow")
    wanted.meter.start(source.where for source in sources)
    with Growing(sources[0].where) as growing:
        with pa.ipc.new_stream(growing, schema) as writer:
            for batch in gathered(converted(sources, schema, wanted)):
                writer.write_batch(batch)
        segment = growing.finish()
    wanted.made.append(segment)
    wanted.meter.whole(1)
    # The decoded data has been copied and freed; Arrow's heap would keep it for later.
    pa.default_memory_pool().release_unused()
    return tables.open_table(((segment.view(0, segment.size), False, None),))


def _checked(table: Any, where: str) -> Any:
    """Check that a mapped table's buffers are as long as its columns require; its values are not
    read."""
    with reading(where, "Arrow file"):
        table.validate()
    return table


def agreed(sources: list[Tabular], wanted: Wanted) -> Any:
    """Return the schema of the result: the columns of the first file, which all files must have, in
    any order; or the columns of all files, if missing ones become null.

    Text has no types of its own: it gets a type that fits all text files.
    """
    while True:
        schemas = [with_types(source, wanted) for source in sources]
        _require_all(sources, schemas, wanted)
        first = schemas[0]
        odd = [at for at, each in enumerate(schemas) if not each.equals(first)]
        if not odd:
            return first
        if all(len(set(each.names)) == len(each.names) for each in schemas):
            schema = _united(sources, schemas, wanted)
            if schema is not None:
                return schema
            continue  # some files are read with other types now
        said = f"their columns are {', '.join(first.names)}; {', '.join(schemas[odd[0]].names)}"
        raise _not_one(sources[0], sources[odd[0]], said)


def _require_all(sources: list[Tabular], schemas: list[Any], wanted: Wanted) -> None:
    """Raise BadFile for a requested column that is in no file at all."""
    there = list(dict.fromkeys(name for each in schemas for name in each.names))
    for name in wanted.columns or ():
        if name not in there:
            raise BadFile(f"{sources[0].where!r} and the others have no column {name!r}")
    if wanted.missing != "error" and wanted.columns is None and isinstance(wanted.dtype, Mapping):
        chosen(sources[0].where, there, tuple(wanted.dtype), "column")


def _united(sources: list[Tabular], schemas: list[Any], wanted: Wanted) -> Any:
    """Return one schema for several without duplicate names; None if text files were given other
    types, so that there are new schemas."""
    pa = library("pyarrow", "arrow")
    there = dict.fromkeys(name for each in schemas for name in each.names)
    names = [name for name in wanted.columns or there if name in there]
    fields, retyped = [], False
    for name in names:
        having = [each.field(name) for each in schemas if name in each.names]
        if len(having) < len(schemas) and wanted.missing == "error":
            raise _apart(sources, schemas, name)
        kinds = {each.type for each in having} - {pa.null()} or {pa.null()}
        nullable = len(having) < len(schemas) or any(each.nullable for each in having)
        kind = common_type(kinds) if len(kinds) > 1 else next(iter(kinds))
        wider = widest(kinds) if len(kinds) > 1 else None
        for at, each in enumerate(schemas):
            if name not in each.names or each.field(name).type == kind:
                continue
            # An empty value is null, or an empty string in a column of text.
            empty = pa.types.is_null(each.field(name).type)
            if empty and not pa.types.is_string(kind):
                continue
            done = sources[at].retype({name: kind})
            if not (done or empty or wider is not None):
                raise _apart(sources, schemas, name)
            retyped = retyped or done
        kind = next(iter(kinds)) if wider is None else wider
        fields.append(having[0].with_type(kind).with_nullable(nullable))
    return None if retyped else pa.schema(fields, schemas[0].metadata)


def common_type(kinds: set[Any]) -> Any:
    """Return the type for text whose values look like several types: numbers stay numbers, times
    stay times, the rest is text."""
    pa = library("pyarrow", "arrow")
    if all(pa.types.is_integer(each) or pa.types.is_decimal(each) for each in kinds):
        return pa.decimal256(76, 0) if pa.decimal256(76, 0) in kinds else pa.decimal128(38, 0)
    if all(pa.types.is_integer(each) or pa.types.is_floating(each) for each in kinds):
        return pa.float64()
    if all(pa.types.is_date(each) or pa.types.is_timestamp(each) for each in kinds):
        zones = {each.tz for each in kinds if pa.types.is_timestamp(each)}
        if zones == {None} and pa.timestamp("ns") not in kinds:
            return pa.timestamp("us") if pa.timestamp("us") in kinds else pa.timestamp("s")
    if all(pa.types.is_nested(each) for each in kinds):
        with suppress(pa.ArrowTypeError, pa.ArrowInvalid):
            schemas = [pa.schema([("", each)]) for each in kinds]
            return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    return pa.string()


def widest(kinds: Iterable[Any]) -> Any:
    """Return the type among these that holds every value of the others, or None: for files whose
    types are their own."""
    pa = library("pyarrow", "arrow")
    types = pa.types
    plain = {each.value_type if types.is_dictionary(each) else each for each in kinds}
    for alike in (types.is_signed_integer, types.is_unsigned_integer, types.is_floating):
        if all(map(alike, plain)):
            return max(plain, key=lambda each: each.bit_width)
    if all(map(types.is_timestamp, plain)) and len({each.tz for each in plain}) == 1:
        return max(plain, key=lambda each: ("s", "ms", "us", "ns").index(each.unit))
    for narrow, wide in ((pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())):
        if plain <= {narrow, wide}:
            return wide if wide in plain else narrow
    return None


def _apart(sources: list[Tabular], schemas: list[Any], name: str) -> BadFile:
    """Return the error for two files that differ in the column ``name``."""
    fields = [each.field(name) if name in each.names else None for each in schemas]
    one, field = next((at, each) for at, each in enumerate(fields) if each is not None)
    other = next((at for at, each in enumerate(fields) if each is None), None)
    if other is not None:
        said = (
            f"{_field(field)} is in one of them alone; missing='null' makes it null in the "
            "other, columns= leaves it out"
        )
        return _not_one(sources[min(one, other)], sources[max(one, other)], said)
    other = next(at for at, each in enumerate(schemas) if not each.field(name).equals(field))
    said = f"{_field(field)}, {_field(schemas[other].field(name))}; columns= and dtype= may help"
    return _not_one(sources[one], sources[other], said)


def _not_one(one: Tabular, other: Tabular, said: str) -> BadFile:
    return BadFile(f"{one.where!r} and {other.where!r} do not make one table: {said}")


def _field(field: Any) -> str:
    return f"{field.name!r} of {field.type}{'' if field.nullable else ' not null'}"


def with_types(source: Tabular, wanted: Wanted) -> Any:
    """Return the schema of a file with the requested types."""
    schema, dtype = source.schema, wanted.dtype
    if dtype is None:
        return schema
    by_name = dtype if isinstance(dtype, Mapping) else dict.fromkeys(schema.names, dtype)
    if wanted.columns is None and wanted.missing == "error":
        chosen(source.where, schema.names, tuple(by_name), "column")
    for at, name in enumerate(schema.names):
        if name in by_name:
            schema = schema.set(at, schema.field(at).with_type(arrow_type(by_name[name])))
    return schema


def arrow_type(kind: Any) -> Any:
    """Return a pyarrow type from one, from its name, or from an argument of ``np.dtype``.

    Raises:
        TypeError: it is none of these.
    """
    pa = library("pyarrow", "arrow")
    if isinstance(kind, pa.DataType):
        return kind
    if isinstance(kind, str):
        try:
            return pa.type_for_alias(kind)
        except ValueError:
            pass  # NumPy has its own names
    if kind is str:
        return pa.string()
    try:
        return pa.from_numpy_dtype(np.dtype(kind))
    except (pa.ArrowNotImplementedError, TypeError) as error:
        raise TypeError(f"dtype {kind!r} is no type of a column: {in_a_line(error)}") from error


def total_rows(sources: Iterable[Tabular], wanted: Wanted) -> int | None:
    """Return how many of the rows are wanted; None if that is unknown before they are read."""
    rows = 0
    for source in sources:
        if source.rows is None:
            source.part()  # a mapped one knows it after this
        if source.rows is None:
            return None
        rows += source.rows
    start, stop = wanted.window(rows)
    return stop - start


def joined(sources: Sequence[Tabular], wanted: Wanted) -> Iterator[Any]:
    """Yield the wanted rows of the files, one after another, batch by batch."""
    start, stop = wanted.start, wanted.stop
    for source in sources:
        if stop is not None and stop <= start:
            return
        if source.rows is None or start < source.rows:
            try:
                yield from source.batches(start, stop)
            except BadFile as error:
                if wanted.errors == "skip" and len(sources) > 1:
                    raise Damaged(str(error), source.where) from error
                raise
        wanted.meter.share(source.where, 1)
        rows = source.rows
        if rows is None:
            return  # it was left before its end: it contained the last wanted row
        start = max(0, start - rows)
        stop = None if stop is None else max(0, stop - rows)


def converted(sources: list[Tabular], schema: Any, wanted: Wanted) -> Iterator[Any]:
    """Yield the wanted rows in the types of ``schema``; a conversion that would lose something is
    refused."""
    pa = library("pyarrow", "arrow")
    where = sources[0].where
    for batch in joined(sources, wanted):
        if batch.schema.equals(schema):
            yield batch.replace_schema_metadata(schema.metadata)
            continue
        found = dict(zip(batch.schema.names, batch.columns, strict=True))
        by_name = len(found) == len(batch.columns)
        columns = []
        for at, field in enumerate(schema):
            column = found.get(field.name) if by_name else batch.column(at)
            if column is None:
                column = pa.nulls(batch.num_rows, field.type)
            columns.append(_cast(column, field, where))
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: Any, field: Any, where: str) -> Any:
    pa = library("pyarrow", "arrow")
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadFile(
            f"{where!r}: column {field.name!r} cannot be loaded as {field.type}: {in_a_line(error)}"
        ) from error


def readable(schema: Any) -> Any:
    """Return the schema; raise UnicodeDecodeError for names that are not valid UTF-8, which would
    otherwise fail only when the table is printed."""
    fields = list(schema)
    while fields:
        field = fields.pop()
        str(field.name)
        fields += [field.type.field(at) for at in range(field.type.num_fields)]
    return schema


def valid(batch: Any) -> Any:
    """Return the batch; raise ArrowInvalid if a value does not have its type: a string that is not
    UTF-8, an offset beyond the data.

    Arrow looks at each string, a tenth of the time that decoding takes. All bytes of a column are
    looked at together first: ASCII, which most text is, is valid wherever it is cut.
    """
    types = library("pyarrow", "arrow").types
    for column in batch.columns:
        if types.is_string(column.type) and _is_ascii(column):
            column.view("binary").validate(full=True)
        elif types.is_large_string(column.type) and _is_ascii(column):
            column.view("large_binary").validate(full=True)
        else:
            column.validate(full=True)
    return batch


def _is_ascii(strings: Any) -> bool:
    data = strings.buffers()[2]
    return data is None or bool(np.frombuffer(data, np.uint8).max(initial=0) < 0x80)


def window(batches: Iterable[Any], start: int, stop: int | None) -> Iterator[Any]:
    """Yield rows ``start`` to ``stop`` of batches; no batch after the last one is requested."""
    seen = 0
    for batch in batches:
        first, end = max(start - seen, 0), batch.num_rows
        if stop is not None:
            end = min(end, stop - seen)
        if first < end:
            yield batch.slice(first, end - first)
        seen += batch.num_rows
        if stop is not None and seen >= stop:
            return


def gathered(batches: Iterable[Any]) -> Iterator[Any]:
    """Join small batches to ones of about ``PIECE`` bytes: opening a table costs some microseconds
    per batch and column, and a scan of many small ones is slow."""
    joined: list[Any] = []
    kept: list[Any] = []
    size = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        kept.append(batch)
        size += batch.nbytes
        if len(kept) == _AT_ONCE:
            joined += _together(kept)
            kept = []
        if size >= PIECE // 2:
            yield from _together(joined + kept)
            joined, kept, size = [], [], 0
    yield from _together(joined + kept)


def _together(batches: list[Any]) -> list[Any]:
    if len(batches) < 2:
        return batches
    pa = library("pyarrow", "arrow")
    try:
        made: list[Any] = pa.Table.from_batches(batches).combine_chunks().to_batches()
    except pa.ArrowNotImplementedError:
        return batches  # a type that Arrow cannot concatenate
    return made
