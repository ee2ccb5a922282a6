"""Tables: Parquet by row groups, Arrow files by record batches, CSV and NDJSON by ranges of bytes.

``described`` opens each file once, for its types and its parts. ``read`` reads one part, through the
reader that ``onecopy.load`` uses, and converts it to the types of the whole dataset.

Text is cut without being read, and each part is read up to a line end (``load.spans``). A line end
within a quoted value would be the wrong place. It is never taken silently: a part that begins at a
row shows whether it ends at one (``load.delimited``), so the first part that does not is an error,
and the parts before it are right.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from typing import Any

from ...errors import BadFile, LoadWarning, printable
from ..load import incoming, opened, parquet, places
from ..load import tables as load_tables
from ..load.dialect import rows_stream
from ..load.interface import Retyped, Tabular, Wanted, in_a_line, library
from ..load.options import Notes
from ..load.parts import Keys, Part
from ..load.spans import Span
from . import far
from .forward import Forward, Kept
from .recipe import Asked, Cut, FileRecipe, Most, Recipe, joined, size_of_blocks

TEXT = ("csv", "ndjson")
# Encodings in which the byte of a line end is part of no other character.
_CUT_AT_LINE_ENDS = ("utf-8", "ascii", "iso8859-1", "cp1252")


def described(
    names: list[Any], wanted: Wanted, format: str, asked: Asked
) -> tuple[Recipe, list[tuple[FileRecipe, Cut]]]:
    """Return the table of these files, and its parts of about the size that is asked for.

    Raises as ``onecopy.load`` does for what can be seen without reading the files' rows.
    """
    names = [name for name in names if name not in wanted.skipped]
    total = sum(places.size(name) or 0 for name in names)
    opener = _Opener(format, size_of_blocks(total, asked))
    with opened(names, wanted, format, opener) as sources:
        while True:
            try:
                schema = load_tables.agreed(sources, wanted)
                break
            except Retyped:
                continue
        where = [source.where for source in sources]
    names = [name for name in names if name not in wanted.skipped]
    keys = Keys(names, wanted)
    recipe = Recipe(format, wanted.plain(), schema)
    parts = []
    for name in where:
        of = opener.recipe(name, keys.of(name))
        parts += [(of, cut) for cut in opener.cuts[name]]
    return recipe, parts


class _Opener:
    """Opens files for their description, and keeps what blocks need of it.

    Attributes:
        cuts: the parts of each file.
    """

    def __init__(self, format: str, most: Most) -> None:
        self._format, self._most = format, most
        self._wanted: dict[str, Wanted] = {}
        self._stamps: dict[str, tuple[Any, ...]] = {}
        self._text: dict[str, Any] = {}
        self._last = Wanted().plain()
        self.cuts: dict[str, list[Cut]] = {}

    def __call__(self, name: str, wanted: Wanted) -> Any:
        name = str(name)
        self._stamps.setdefault(name, places.stamp(name))
        raw = _open(self._format, name, wanted)
        own = wanted.plain()
        self._last = self._last if own == self._last else own
        self._wanted[name] = self._last
        if self._format in TEXT:
            self._text[name] = raw
        try:
            self.cuts[name] = self._cut(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    def recipe(self, name: str, keys: Mapping[str, Any]) -> FileRecipe:
        """Return how a file is read, after its types are known for certain."""
        found = self._text[name].settled() if name in self._text else None
        return FileRecipe(name, self._stamps[name], self._wanted[name], dict(keys), found)

    def _cut(self, raw: Any) -> list[Cut]:
        if self._format == "parquet":
            groups = [Cut(at, at + 1, rows, size, "") for at, rows, size in raw.groups()]
            return joined(groups, self._most, "row group")
        if self._format == "arrow":
            sizes = raw.sizes()
            unknown = sizes is None or any(rows is None for rows, _ in sizes)
            if self._most.rows is not None and unknown:
                raise BadFile(
                    f"{raw.where!r}: how many rows a batch has is not known before it is decoded, as "
                    "this file is compressed, a stream, or at a URL: rows= cannot cut it"
                )
            if sizes is None:
                return [Cut(0, -1, None, places.size(raw.where) or 0, "")]
            batches = [Cut(at, at + 1, rows, size, "") for at, (rows, size) in enumerate(sizes)]
            return joined(batches, self._most, "record batch")
        return self._cut_text(raw)

    def _cut_text(self, raw: Any) -> list[Cut]:
        name = raw.where
        size = places.size(name)
        found = raw.settled()
        parts = 1 if size is None else round(size / self._most.nbytes)
        if parts < 2 or found.encoding not in _CUT_AT_LINE_ENDS or not _is_plain(name):
            return [Cut(0, -1, None, size or 0, "")]
        assert size is not None
        first = _before_rows(name, found, self._wanted[name]) if self._format == "csv" else 0
        bounds = [size * at // parts for at in range(1, parts)]
        bounds = [0, *(at for at in bounds if at > first), size]
        return [
            Cut(start, stop, None, stop - start, f"bytes {start} to {stop}")
            for start, stop in pairwise(bounds)
        ]


def _open(format: str, name: str, wanted: Wanted) -> Any:
    """Open a file with its format's reader."""
    if format == "arrow" and places.is_remote(name):
        return far.open_table(name, wanted)
    module: Any = import_module(f"..load.{format}", __package__)
    return module.open(name, wanted)


def _is_plain(name: str) -> bool:
    """Return True for text of which any part can be read."""
    if places.is_remote(name):
        try:
            file = places.seekable(name)
        except BadFile:
            return False
    else:
        file = places.open(name)
    with closing(file):
        return incoming.compression(file.read(8), name) is None


def _before_rows(name: str, found: Any, wanted: Wanted) -> int:
    """Return a number of bytes that holds all that is before the first row."""
    stream = rows_stream(name, wanted.text, found.encoding, found.dialect.start)
    try:
        return int(stream.raw.taken)
    finally:
        stream.close()


def read(recipe: Recipe, of: FileRecipe, cut: Cut, kept: Kept | None) -> Any:
    """Return a block as a table; ``kept``: of this thread."""
    if recipe.format == "parquet" and cut.last >= 0:
        return _read_forward(recipe, of, cut, kept)
    notes = Notes()
    with closing(_opened(recipe, of, cut, notes)) as raw:
        table = _table(recipe, of, raw, _Within(raw, cut))
    for line in notes.lines():
        warnings.warn(printable(line), LoadWarning, stacklevel=2)
    return table


def _table(recipe: Recipe, of: FileRecipe, raw: Any, within: _Within) -> Any:
    source: Any = within
    wanted = recipe.wanted
    if of.keys or wanted.filter or wanted.missing == "null":
        source = Part(source, of.keys, wanted)
    batches = _settled(raw, source, recipe)
    return library("pyarrow", "arrow").Table.from_batches(batches, recipe.schema)


def _read_forward(recipe: Recipe, of: FileRecipe, cut: Cut, kept: Kept | None) -> Any:
    """Read some rows of a row group."""
    key = of.name, of.stamp, cut.start, of.wanted.columns
    group = kept.take(key, cut.first) if kept is not None else None
    if group is None:
        raw = _with_footer(of, replace(of.wanted, notes=Notes(), found={}), in_pieces=True)
        group = Forward(raw, raw.forward(cut.start), key)
    try:
        table = _table(recipe, of, group.raw, _Within(group.raw, cut, group))
    except BaseException:
        group.close()
        raise
    if kept is not None and of.stamp and group.at < group.raw.rows_of(cut.start):
        kept.keep(group)
    else:
        group.close()
    return table


def _opened(recipe: Recipe, of: FileRecipe, cut: Cut, notes: Notes) -> Any:
    name: str = of.name
    wanted = replace(of.wanted, notes=notes, found={})
    if recipe.format == "parquet":
        return _with_footer(of, wanted)
    if recipe.format not in TEXT:
        return _open(recipe.format, name, wanted)
    found = deepcopy(of.found)
    text = replace(wanted.text, encoding=found.encoding)
    if not cut.whole:
        name = Span(name, cut.start, cut.stop)
        if cut.start:
            text = replace(text, skip_rows=0)
            found.dialect = found.dialect and replace(found.dialect, start=0)
    wanted = replace(wanted, text=text, found={name: found})
    raw = _open(recipe.format, name, wanted)
    notes.forget(name)  # what is said of the file itself was said when it was scanned
    return raw


# The description of the Parquet file that was read last, by its name and stamp. The next block is
# often of the same file, and reading the description of a large one takes longer than some blocks.
_footer: tuple[tuple[Any, ...], Any] = ((), None)


def _with_footer(of: FileRecipe, wanted: Wanted, *, in_pieces: bool = False) -> Any:
    global _footer
    key, footer = _footer
    known = footer if of.stamp and key == (of.name, of.stamp) else None
    raw = parquet.open_again(of.name, wanted, known, in_pieces=in_pieces)
    if known is not None:
        return raw
    _footer = (of.name, of.stamp), raw.footer
    return raw


def _settled(raw: Any, source: Tabular, recipe: Recipe) -> list[Any]:
    """Return the rows in the types of the dataset. Raises BadFile for text that has other types than
    the beginning of its file."""
    before = raw.schema
    while True:
        try:
            return list(load_tables.converted([source], recipe.schema, recipe.wanted))
        except Retyped as error:
            if not raw.schema.equals(before):
                raise _other_types(raw, before, error.__cause__) from None
            # It goes on with larger pieces, or after a check of values.


def _other_types(raw: Any, before: Any, cause: BaseException | None) -> BadFile:
    found = {field.name: field.type for field in raw.schema}
    for field in before:
        kind = found.get(field.name)
        if kind is not None and not kind.equals(field.type):
            said = f"{kind} here" if cause is None else f"not here: {in_a_line(cause)}"
            return BadFile(
                f"{raw.where!r}: column {field.name!r} is {field.type} by the beginning of the file, "
                f"and {said}; dtype={{{field.name!r}: ...}} sets the type of all of it"
            )
    more = [name for name in found if name not in before.names]
    return BadFile(f"{raw.where!r}: {', '.join(more)}: not in the beginning of the file")


class _Within:
    """A ``Tabular`` on a part of a file."""

    rows = None

    def __init__(self, raw: Any, cut: Cut, group: Forward | None = None) -> None:
        self._raw, self._cut, self._group = raw, cut, group
        self.where = raw.where

    @property
    def schema(self) -> Any:
        """See ``Tabular``."""
        return self._raw.schema

    def part(self) -> None:
        """Return None: it is read batch by batch."""

    def batches(self, start: int, stop: int | None) -> Iterator[Any]:
        """Yield all rows of the part."""
        cut = self._cut
        if self._group is not None:
            return self._group.rows(cut.first, cut.last)
        if cut.whole or not hasattr(self._raw, "some"):
            return self._raw.batches(0, None)  # type: ignore[no-any-return]
        some: Iterator[Any] = self._raw.some(cut.start, cut.stop)
        return some if cut.last < 0 else load_tables.window(some, cut.first, cut.last)

    def retype(self, types: Mapping[str, Any]) -> bool:
        """Return False: the types are those of the scan."""
        return False

    def close(self) -> None:
        """Nothing to do: the caller that opened the file closes it."""
