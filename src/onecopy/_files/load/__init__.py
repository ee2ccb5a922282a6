"""Loads files into shared memory; chooses the format. Each format has its own module.

``FORMATS`` is the table; ``interface`` defines what a format's module provides. This module finds
files (a name, a list of names, a pattern), chooses their format and checks the options; ``arrays``
and ``tables`` then load the opened files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BadFile
from . import origins, places, reopen
from .filters import conditions
from .incoming import SUFFIXES
from .interface import Arrays, Tabular, Wanted
from .options import text_options
from .places import File, Paths


class Format(NamedTuple):
    """A format: its file names, and whether a file is a table, arrays, or any object."""

    suffixes: tuple[str, ...]
    kind: str


# Each format's module has its name.
FORMATS = {
    "npy": Format((".npy",), "arrays"),
    "npz": Format((".npz",), "arrays"),
    "arrow": Format((".arrow", ".feather", ".ipc", ".arrows"), "table"),
    "parquet": Format((".parquet", ".pq"), "table"),
    "csv": Format((".csv", ".tsv"), "table"),
    "ndjson": Format((".ndjson", ".jsonl", ".json"), "table"),
    "hdf5": Format((".h5", ".hdf5"), "arrays"),
    "zarr": Format((".zarr",), "arrays"),
    "pickled": Format((".pkl", ".pickle"), "object"),
}
_BY_SUFFIX = {suffix: name for name, each in FORMATS.items() for suffix in each.suffixes}
# Text is often compressed as a whole; Arrow's readers decompress while they read.
_COMPRESSED = tuple(SUFFIXES)
# The number of files at URLs that are opened at the same time.
_AT_ONCE = 16
# The options of text that apply to NDJSON.
_OF_NDJSON = ("encoding", "parse_dates", "bad_rows")


def loaded(path: Paths, wanted: Wanted, format: str | None = None) -> Any:
    """See ``onecopy.load``; afterwards ``wanted.notes`` has the messages for the user."""
    names = files(path, wanted, format)
    found = format_of(names, wanted, format)
    require_options(found, wanted)
    kind = FORMATS[found].kind
    if kind == "object":
        from . import pickled

        return pickled.load(names, wanted)
    with opened(names, wanted, found) as sources:
        if kind == "table":
            from . import tables

            made = tables.load(sources, wanted)
        else:
            from . import arrays

            made = arrays.load(sources, wanted)
    origins.note(names, wanted, found)
    return made


def require_options(format: str, wanted: Wanted) -> None:
    """Raise ValueError if an option of text is given that does not apply to this format: it would
    be ignored silently."""
    given = wanted.text.given
    if format in ("csv", "ndjson"):
        given = [each for each in given if format == "ndjson" and each not in _OF_NDJSON]
    if wanted.filter and FORMATS[format].kind != "table":
        given = [*given, "filter"]
    if given:
        said = ", ".join(f"{each}=" for each in given)
        raise ValueError(f"{said} {'is' if len(given) == 1 else 'are'} not for {format}")


@contextmanager
def opened(
    names: Sequence[str], wanted: Wanted, format: str, open: Any = None
) -> Iterator[list[Any]]:
    """Open each file with its format's reader, or by ``open``: ``Arrays`` or ``Tabular``.

    If there are several, each is opened, described and closed again until it is read: a dataset of
    many files takes no more descriptors than one of few.
    """
    open_one: Any = open or import_module(f".{format}", __package__).open
    names = [name for name in names if name not in wanted.skipped]
    if FORMATS[format].kind == "table":
        from .parts import Dataset

        dataset = Dataset(names, wanted, open_one)
        names, open_one = dataset.names, dataset.open
    # From here on they are plain names, also when sent to other processes.
    names = [str(name) for name in names]
    if len(names) == 1:
        source: Arrays | Tabular = open_one(names[0], wanted)
        with closing(source):
            yield [source]
        return
    sources = []
    at_once = (
        _AT_ONCE if FORMATS[format].kind == "table" and any(map(places.is_remote, names)) else 1
    )
    for name, describe in _ahead(names, open_one, wanted, at_once):
        try:
            sources.append(describe())
        except (BadFile, OSError) as error:
            if wanted.errors != "skip":
                raise
            wanted.skip(name, error)
    if not sources:
        raise BadFile(f"of {len(names)} files none can be read: {'; '.join(wanted.notes.lines())}")
    yield sources


def _ahead(
    names: Sequence[str], open_one: Any, wanted: Wanted, at_once: int
) -> Iterator[tuple[str, Callable[[], Arrays | Tabular]]]:
    """Yield each file with a function that returns its description, or raises; ``at_once`` are opened
    at the same time: of files at URLs, most of the time is waited for the server."""
    opens = [(name, partial(reopen.described, partial(open_one, name, wanted))) for name in names]
    if at_once == 1:
        yield from opens
        return
    with ThreadPoolExecutor(at_once, "onecopy-open") as threads:
        futures = [(name, threads.submit(open)) for name, open in opens]
        try:
            for name, future in futures:
                yield name, future.result
        finally:
            threads.shutdown(cancel_futures=True)


def files(path: Paths, wanted: Wanted | None = None, format: str | None = None) -> list[File]:
    """Return the files; see ``places.found``."""
    return places.found(path, format_by_name, format, (wanted or Wanted()).notes)


def format_of(names: Sequence[str], wanted: Wanted | None = None, format: str | None = None) -> str:
    """Return the format of files. Of several, those that are missing or empty are left out if
    ``wanted.errors`` says so.

    Raises:
        BadFile: the format is unknown, or the files have different formats.
        FileNotFoundError: a file does not exist.
    """
    if format is not None and format not in FORMATS:
        known = ", ".join(repr(each) for each in FORMATS)
        raise BadFile(f"the format {format!r} is not known; it is one of {known}")
    found: dict[str, str] = {}
    for name in names:
        each = format or by_name(name)
        first = next(iter(found), name)
        if each != found.get(first, each):
            raise BadFile(
                f"{str(first)!r} is {found[first]} and {str(name)!r} is {each}: one at a time"
            )
        try:
            _require_content(name, each)
        except (BadFile, OSError) as error:
            if wanted is None or wanted.errors != "skip" or len(names) == 1:
                raise
            wanted.skip(name, error)
            continue
        found[name] = each
    if not found:
        raise BadFile(f"none of {len(names)} files can be read, {str(names[0])!r} among them")
    return next(iter(found.values()))


def _require_content(name: str, format: str) -> None:
    if places.is_remote(name) and format == "zarr":
        return  # a folder, which a web server may not have
    size = places.size(name)
    if size is None and format != "zarr" and not places.is_remote(name):
        raise FileNotFoundError(2, "file is not a regular file", str(name))
    if size == 0 and format not in ("npy", "npz"):
        raise BadFile(f"{str(name)!r} is empty: 0 bytes")


def format_by_name(name: str) -> str | None:
    """Return the format that a file's name shows, or None."""
    if places.is_remote(name):
        name = name.partition("?")[0].partition("#")[0]
    suffixes = Path(name.rstrip("/").lower()).suffixes
    if len(suffixes) > 1 and suffixes[-1] in _COMPRESSED:
        inner = _BY_SUFFIX.get(suffixes[-2])
        if inner in ("csv", "ndjson"):
            return inner
    found = _BY_SUFFIX.get(suffixes[-1] if suffixes else "")
    return "zarr" if found is None and places.is_store(name) else found


def by_name(name: str) -> str:
    """Return the format that a file's name shows; raise BadFile if there is none."""
    found = format_by_name(name)
    if found is None:
        known = ", ".join(_BY_SUFFIX)
        raise BadFile(f"{name!r}: the format is not known; onecopy loads {known}, or say format=")
    return found


def asked(
    columns: str | Iterable[str] | None = None,
    rows: slice | tuple[int | None, int | None] | None = None,
    dtype: Any = None,
    allow_pickle: bool = False,
    missing: str = "error",
    errors: str = "error",
    filter: Any = None,
    **text: Any,
) -> Wanted:
    """Return the checked options; ``text`` is as in ``TextOptions``.

    Raises:
        TypeError: rows are neither a slice nor a start and a stop.
        ValueError: rows are counted from the end, or with a step: a stream cannot do that.
    """
    if columns is not None:
        columns = (columns,) if isinstance(columns, str) else tuple(dict.fromkeys(columns))
    if isinstance(rows, slice):
        if rows.step not in (None, 1):
            raise ValueError(f"rows={rows}: rows are taken without a step")
        rows = (rows.start, rows.stop)
    bounds: Any = (None, None) if rows is None else rows
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        raise TypeError(f"rows={rows!r}: it is a slice, or a start and a stop")
    start, stop = bounds[0] or 0, bounds[1]
    if start < 0 or (stop is not None and stop < 0):
        raise ValueError(f"rows={rows!r}: rows are counted from the front, from 0 on")
    for name, value, known in (
        ("missing", missing, ("error", "null")),
        ("errors", errors, ("error", "skip")),
    ):
        if value not in known:
            raise ValueError(f"{name}={value!r}: it is one of {known[0]!r} and {known[1]!r}")
    return Wanted(
        columns,
        start,
        stop,
        dtype,
        allow_pickle,
        missing=missing,
        errors=errors,
        filter=conditions(filter),
        text=text_options(text),
    )
