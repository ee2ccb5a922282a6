"""Files into shared memory, one file per format: the choice is made here, once.

``FORMATS`` is the table; ``face`` says what a format's module has to answer. Here files are
found (a name, a list of names, a pattern), their format is chosen and what is asked of them is
put in order; ``arrays`` and ``tables`` then load what was opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BadFile
from . import places, reopen
from .filters import conditions
from .incoming import SUFFIXES
from .interface import Arrays, Tabular, Wanted
from .options import text_options
from .places import File, Paths


class Format(NamedTuple):
    """A format: how its files are named; is a file a table, arrays, or any object?"""

    suffixes: tuple[str, ...]
    kind: str


# The module of each has its name.
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
# Text is often compressed as a whole; Arrow's readers undo that as they read.
_COMPRESSED = tuple(SUFFIXES)
# What is read from URLs.
_REMOTE = tuple(name for name in FORMATS if name != "pickled")
# What may be said of NDJSON.
_OF_NDJSON = ("encoding", "parse_dates", "bad_rows")


def loaded(path: Paths, wanted: Wanted, format: str | None = None) -> Any:
    """See ``onecopy.load``; ``wanted.notes`` has what there is to say at the end."""
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

            return tables.load(sources, wanted)
        from . import arrays

        return arrays.load(sources, wanted)


def require_options(format: str, wanted: Wanted) -> None:
    """Raises ValueError when something is said of text that does not go for this format: it
    would be passed over in silence."""
    given = wanted.text.given
    if format in ("csv", "ndjson"):
        given = [each for each in given if format == "ndjson" and each not in _OF_NDJSON]
    if wanted.filter and FORMATS[format].kind != "table":
        given = [*given, "filter"]
    if given:
        said = ", ".join(f"{each}=" for each in given)
        raise ValueError(f"{said} {'is' if len(given) == 1 else 'are'} not for {format}")


@contextmanager
def opened(names: Sequence[str], wanted: Wanted, format: str) -> Iterator[list[Any]]:
    """What ``open`` of the files' format says of each of them: ``Arrays`` or ``Tabular``.

    Of several files each is opened, described and closed again until it is read: a dataset of
    many files takes no more descriptors than one of few.
    """
    open_one: Any = import_module(f".{format}", __package__).open
    names = [name for name in names if name not in wanted.skipped]
    if FORMATS[format].kind == "table":
        from .parts import Dataset

        dataset = Dataset(names, wanted, open_one)
        names, open_one = dataset.names, dataset.open
    # From here on they are mere names, and travel to other processes as such.
    names = [str(name) for name in names]
    if len(names) == 1:
        source: Arrays | Tabular = open_one(names[0], wanted)
        with closing(source):
            yield [source]
        return
    sources = []
    for name in names:
        try:
            sources.append(reopen.described(partial(open_one, name, wanted)))
        except (BadFile, OSError) as error:
            if wanted.errors != "skip":
                raise
            wanted.skip(name, error)
    if not sources:
        raise BadFile(f"of {len(names)} files none can be read: {'; '.join(wanted.notes.lines())}")
    yield sources


def files(path: Paths, wanted: Wanted | None = None, format: str | None = None) -> list[File]:
    """The files that are meant; see ``places.found``."""
    return places.found(path, format_by_name, format, (wanted or Wanted()).notes)


def format_of(names: Sequence[str], wanted: Wanted | None = None, format: str | None = None) -> str:
    """The format of files that are there; of several, those that are not, or are empty, are
    left out where ``wanted.errors`` says so.

    Raises:
        BadFile: for one that is not known, and for files of different formats.
        FileNotFoundError: for one that is not there.
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
    if places.is_remote(name) and format not in _REMOTE:
        raise BadFile(f"{str(name)!r}: {format} is not read from a URL; copy it here first")
    if places.is_remote(name) and format == "zarr":
        return  # a folder, which a web server may not have
    size = places.size(name)
    if size is None and format != "zarr" and not places.is_remote(name):
        raise FileNotFoundError(2, "file is not a regular file", str(name))
    if size == 0 and format not in ("npy", "npz"):
        raise BadFile(f"{str(name)!r} is empty: 0 bytes")


def format_by_name(name: str) -> str | None:
    """The format that a file's name speaks of, or None."""
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
    """The format that a file's name speaks of; raises BadFile for any other."""
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
    """What is wanted, checked; ``text`` is as in ``TextOptions``.

    Raises:
        TypeError: rows that are neither a slice nor a start and a stop.
        ValueError: rows that are counted from the end, or with a step: a stream cannot know.
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
