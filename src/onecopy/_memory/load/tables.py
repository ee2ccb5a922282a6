"""Tables of files into shared memory: Arrow, Parquet, CSV, NDJSON.

What stands in its file as in memory (Arrow, uncompressed) is mapped. Everything else is
decoded some rows at a time, and each such batch goes into one segment, in Arrow's own stream
format, before the next is decoded: the peak is the data and one batch. The table is then
opened on the segment (``kinds.loaded``). Several files become one table of several chunks;
many files are copied together even if they could be mapped, for each takes a descriptor here
and in every worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ...errors import BadFile
from ..growing import Growing
from .face import PIECE, Tabular, Wanted, chosen, in_a_line, library, reading

# So many files are mapped side by side.
_MAPPED = 48
# A batch may be a view of a mapped file: so many are held before they are copied together.
_AT_ONCE = 16


def load(sources: list[Tabular], wanted: Wanted) -> Any:
    """The pyarrow Table of the files.

    Raises:
        BadFile: the files do not go together, are damaged, or do not fit the types asked for.
        NotEnoughMemory: what has to be copied does not fit.
    """
    from ..kinds import loaded  # pyarrow is here: it has opened the files

    schema = agreed(sources, wanted)
    if len(sources) <= _MAPPED and all(source.schema.equals(schema) for source in sources):
        parts = [part for part in (source.part() for source in sources) if part is not None]
        if len(parts) == len(sources):
            rows = None
            if not wanted.all_rows:
                rows = wanted.window(sum(source.rows or 0 for source in sources))
            return _checked(loaded.open_table(tuple(parts), rows), sources[0].where)
    pa = library("pyarrow", "arrow")
    with Growing(sources[0].where) as growing:
        with pa.ipc.new_stream(growing, schema) as writer:
            for batch in gathered(converted(sources, schema, wanted)):
                writer.write_batch(batch)
        segment = growing.finish()
    # What was decoded has been copied and given back; Arrow's heap would keep it for later.
    pa.default_memory_pool().release_unused()
    return loaded.open_table(((segment.view(0, segment.size), False, None),))


def _checked(table: Any, where: str) -> Any:
    """A mapped table whose buffers are as long as its columns say; its values are not read."""
    with reading(where, "Arrow file"):
        table.validate()
    return table


def agreed(sources: list[Tabular], wanted: Wanted) -> Any:
    """The schema of the result, which all files have to have."""
    first = sources[0]
    schema = with_types(first, wanted)
    for source in sources[1:]:
        other = with_types(source, wanted)
        if not other.equals(schema):
            raise BadFile(
                f"{first.where!r} and {source.where!r} do not make one table: "
                f"{_difference(schema, other)}; columns= and dtype= may help"
            )
    return schema


def _difference(one: Any, other: Any) -> str:
    """In what two schemas differ first."""
    for a, b in zip(one, other, strict=False):
        if not a.equals(b):
            return f"{_field(a)}, {_field(b)}"
    extra = list(one)[len(other) :] or list(other)[len(one) :]
    return f"{_field(extra[0])} is in one of them alone"


def _field(field: Any) -> str:
    return f"{field.name!r} of {field.type}{'' if field.nullable else ' not null'}"


def with_types(source: Tabular, wanted: Wanted) -> Any:
    """The schema of a file with the types that are asked for."""
    schema, dtype = source.schema, wanted.dtype
    if dtype is None:
        return schema
    by_name = dtype if isinstance(dtype, Mapping) else dict.fromkeys(schema.names, dtype)
    if wanted.columns is None:
        chosen(source.where, schema.names, tuple(by_name), "column")
    for name in schema.names:
        if name in by_name:
            at = schema.get_field_index(name)
            schema = schema.set(at, schema.field(at).with_type(arrow_type(by_name[name])))
    return schema


def arrow_type(kind: Any) -> Any:
    """A pyarrow type of one, of its name, or of what ``np.dtype`` takes.

    Raises:
        TypeError: it is none of them.
    """
    pa = library("pyarrow", "arrow")
    if isinstance(kind, pa.DataType):
        return kind
    if isinstance(kind, str):
        try:
            return pa.type_for_alias(kind)
        except ValueError:
            pass  # NumPy has names of its own
    if kind is str:
        return pa.string()
    try:
        return pa.from_numpy_dtype(np.dtype(kind))
    except (pa.ArrowNotImplementedError, TypeError) as error:
        raise TypeError(f"dtype {kind!r} is no type of a column: {in_a_line(error)}") from error


def total_rows(sources: Iterable[Tabular], wanted: Wanted) -> int | None:
    """How many of the rows are wanted; None where that cannot be told before they are read."""
    rows = 0
    for source in sources:
        if source.rows is None:
            source.part()  # a mapped one then knows
        if source.rows is None:
            return None
        rows += source.rows
    start, stop = wanted.window(rows)
    return stop - start


def joined(sources: Iterable[Tabular], wanted: Wanted) -> Iterator[Any]:
    """The wanted rows of the files, one after another, batch by batch."""
    start, stop = wanted.start, wanted.stop
    for source in sources:
        if stop is not None and stop <= start:
            return
        if source.rows is None or start < source.rows:
            yield from source.batches(start, stop)
        rows = source.rows
        if rows is None:
            return  # it was left before its end: the last wanted row was in it
        start = max(0, start - rows)
        stop = None if stop is None else max(0, stop - rows)


def converted(sources: list[Tabular], schema: Any, wanted: Wanted) -> Iterator[Any]:
    """The wanted rows in the types of ``schema``; what would lose something is refused."""
    pa = library("pyarrow", "arrow")
    for batch in joined(sources, wanted):
        if batch.schema.equals(schema):
            yield batch.replace_schema_metadata(schema.metadata)
            continue
        columns = []
        for column, field in zip(batch.columns, schema, strict=True):
            try:
                columns.append(column.cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise BadFile(
                    f"{sources[0].where!r}: column {field.name!r} cannot be loaded as "
                    f"{field.type}: {in_a_line(error)}"
                ) from error
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def readable(schema: Any) -> Any:
    """The schema itself; raises UnicodeDecodeError for names that are no UTF-8, which would be
    found by whoever prints the table."""
    fields = list(schema)
    while fields:
        field = fields.pop()
        str(field.name)
        fields += [field.type.field(at) for at in range(field.type.num_fields)]
    return schema


def window(batches: Iterable[Any], start: int, stop: int | None) -> Iterator[Any]:
    """Rows ``start`` to ``stop`` of batches; no batch behind the last one is asked for."""
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
    """Small batches made into ones of about ``PIECE`` bytes: each costs whoever opens the table
    some microseconds a column, and a scan of many small ones is slow."""
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
