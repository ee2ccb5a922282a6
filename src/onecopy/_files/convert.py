"""Converts files of one format to a file of another, piece by piece.

Tables are converted batch by batch, arrays block by block; ``tables_arrays`` turns columns into
arrays and back. Nothing is ever whole in memory. Writers of arrays must know the length beforehand,
and write one array after another. So if the source is text, it is first converted to an Arrow file
beside the target, and is read only once.

Reading is in ``load``, writing in ``save``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BadFile
from . import load, tables_arrays
from .load import arrays as load_arrays
from .load import filters, places
from .load import tables as load_tables
from .load.interface import Arrays, Damaged, Retyped, Stream, Wanted
from .load.meter import Meter
from .load.options import Notes
from .save import appearing, writing
from .save.arrays import WRITERS as ARRAYS
from .save.tables import WRITERS as TABLES
from .save.tables import PlainCsv

Begin = Callable[[int | None], Callable[[int], None]]
"""Called with the number of rows (None: unknown); returns a counter."""

_TEXT = ("csv", "ndjson")


def convert(
    names: Sequence[str],
    out: str,
    wanted: Wanted,
    begin: Begin,
    source: str | None = None,
    target: str | None = None,
) -> None:
    """Write ``out``, which appears whole or not at all.

    Args:
        names: the files to read.
        wanted: the options of reading.
        begin: called with the progress.
        source, target: formats, if the names do not show them.

    Raises:
        BadFile: a source is damaged, or the target's format cannot hold its data.
        OSError: a file cannot be read or written, or the disk is full.
    """
    source = load.format_of(names, wanted, source)
    load.require_options(source, wanted)
    target = target or load.format_by_name(out)
    if target is None:
        known = ", ".join((*ARRAYS, *TABLES))
        raise BadFile(f"{out!r}: the format is not known by the name; target= is one of {known}")
    if source == "pickled":
        raise BadFile(f"{names[0]!r} is a pickle, which cannot be converted")
    if target not in {*ARRAYS, *TABLES}:
        known = ", ".join((*ARRAYS, *TABLES))
        raise BadFile(f"{out!r}: no file is written as {target!r}; target= is one of {known}")
    for name in names:
        there = os.path.exists(out) and os.path.exists(name)
        if there and os.path.samefile(name, out):
            raise BadFile(f"{out!r} is what is read")
    with ExitStack() as stack:
        if load.FORMATS[source].kind == "arrays":
            streams = _streams(stack.enter_context(load.opened(names, wanted, source)), wanted)
            if target in ARRAYS:
                _write_arrays(out, target, streams, begin)
            else:
                schema, batches, rows = tables_arrays.table_of(streams, out)
                _write_table(out, target, schema, batches, begin(rows))
            return
        if target in TABLES:
            _table_to_table(names, out, wanted, begin, (source, target))
            return
        where = str(names[0])
        if source in _TEXT:
            _require_arrays(names, wanted, source)
            names = stack.enter_context(_as_arrow(names, out, wanted, begin, source))
            source, wanted = "arrow", Wanted()
        records = target == "npy"
        streams = tables_arrays.arrays_of(names, source, wanted, where, records=records)
        _write_arrays(out, target, streams, begin)


def _streams(sources: list[Arrays], wanted: Wanted) -> dict[str, Stream]:
    parts, fields = load_arrays.matched(sources, wanted)
    return {name: load_arrays.streamed(each, wanted, fields) for name, each in parts.items()}


def _table_to_table(
    names: Sequence[str], out: str, wanted: Wanted, begin: Begin, formats: tuple[str, str]
) -> None:
    source, target = formats
    compared = None
    if source == target == "csv" and wanted.dtype is None and not wanted.text.typed:
        wanted, compared = _as_text(wanted)
    while True:
        try:
            _copy_table(names, out, wanted, begin, (source, target), compared)
            return
        except Retyped:
            continue  # the output is gone; the files are read again with other types
        except Damaged as error:
            wanted.skip(error.where, error)


class _Compared(NamedTuple):
    """The rows of text that are wanted: its values are compared in their types."""

    typed: Wanted
    filter: tuple[Any, ...]
    start: int
    stop: int | None


def _as_text(wanted: Wanted) -> tuple[Wanted, _Compared | None]:
    """Return the request for all values as text; with a filter, also the one for the compared
    columns in their types, and the rows that are left to choose."""
    if not wanted.filter:
        return replace(wanted, as_text=True), None
    columns = tuple(dict.fromkeys(each.column for each in wanted.filter))
    plain = replace(wanted, filter=(), start=0, stop=None)
    # Its notes and its progress would be those of the same files once more.
    typed = replace(plain, columns=columns, notes=Notes(), found={}, meter=Meter())
    compared = _Compared(typed, wanted.filter, wanted.start, wanted.stop)
    return replace(plain, as_text=True), compared


def _copy_table(
    names: Sequence[str],
    out: str,
    wanted: Wanted,
    begin: Begin,
    formats: tuple[str, str],
    compared: _Compared | None,
) -> None:
    source, target = formats
    with ExitStack() as stack:
        sources = stack.enter_context(load.opened(names, wanted, source))
        schema = load_tables.agreed(sources, wanted)
        batches = load_tables.converted(sources, schema, wanted)
        rows = load_tables.total_rows(sources, wanted)
        if compared is not None:
            rows = None
            others = stack.enter_context(load.opened(names, compared.typed, source))
            types = load_tables.agreed(others, compared.typed)
            typed = load_tables.converted(others, types, compared.typed)
            met = filters.where_met(batches, typed, compared.filter, sources[0].where)
            batches = load_tables.window(met, compared.start, compared.stop)
        count: Callable[[int], None] = _uncounted
        if rows is None:  # it is counted in bytes read
            wanted.meter.start(source.where for source in sources)
        else:
            count = begin(rows)
        _write_table(out, target, schema, batches, count, as_text=wanted.as_text)


def _require_arrays(names: Sequence[str], wanted: Wanted, source: str) -> None:
    """Raise BadFile for a column that no array can hold, as far as the first rows show: before all
    of the files is converted in vain."""
    with load.opened(names, wanted, source) as sources:
        for field in load_tables.agreed(sources, wanted):
            tables_arrays.numpy_type(field, sources[0].where)


@contextmanager
def _as_arrow(
    names: Sequence[str], out: str, wanted: Wanted, begin: Begin, source: str
) -> Iterator[Sequence[str]]:
    """Yield the name of an Arrow file with the table, which is removed afterwards."""
    beside = None if places.is_remote(out) else Path(out).parent
    with tempfile.TemporaryDirectory(prefix=".onecopy-", dir=beside) as folder:
        path = os.path.join(folder, "all.arrow")
        _table_to_table(names, path, wanted, begin, (source, "arrow"))
        yield [path]


def _uncounted(rows: int) -> None:
    """Count nothing: it is counted elsewhere."""


def _write_table(
    out: str,
    target: str,
    schema: Any,
    batches: Iterable[Any],
    count: Callable[[int], None],
    as_text: bool = False,
) -> None:
    with writing(out), appearing(out) as path:
        writer = PlainCsv(path, schema) if as_text else TABLES[target](path, schema)
        try:
            for batch in load_tables.gathered(batches):
                writer.write(batch)
                count(batch.num_rows)
        except BaseException:
            # Its file must be closed; a second error on that way adds nothing.
            with suppress(Exception):
                writer.close()
            raise
        writer.close()


def _write_arrays(out: str, target: str, streams: dict[str, Stream], begin: Begin) -> None:
    count = begin(sum(each.shape[0] if each.shape else 1 for each in streams.values()))
    with writing(out), appearing(out) as path:
        ARRAYS[target](path, _counted(streams, count))


def _counted(streams: dict[str, Stream], count: Callable[[int], None]) -> dict[str, Stream]:
    """Return the same arrays; each block is counted when the next one is requested."""

    def blocks(stream: Stream) -> Iterator[Any]:
        for block in stream.blocks():
            yield block
            count(len(block) if stream.shape else 1)

    return {
        name: Stream(each.where, each.shape, each.dtype, partial(blocks, each))
        for name, each in streams.items()
    }
