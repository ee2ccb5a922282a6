"""Files into shared memory, one file per format: the choice is made here, once.

``FORMATS`` is the table; ``face`` says what a format's module has to answer. Here files are
found (a name, a list of names, a pattern), their format is chosen and what is asked of them is
put in order; ``arrays`` and ``tables`` then load what was opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from glob import glob, has_magic
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import BadFile
from . import again
from .face import Arrays, Tabular, Wanted
from .incoming import SUFFIXES
from .options import text_options

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


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
    "ndjson": Format((".ndjson", ".jsonl"), "table"),
    "hdf5": Format((".h5", ".hdf5"), "arrays"),
    "zarr": Format((".zarr",), "arrays"),
    "pickled": Format((".pkl", ".pickle"), "object"),
}
_BY_SUFFIX = {suffix: name for name, each in FORMATS.items() for suffix in each.suffixes}
# Text is often compressed as a whole; Arrow's readers undo that as they read.
_COMPRESSED = tuple(SUFFIXES)
# What may be said of NDJSON.
_OF_NDJSON = ("encoding", "parse_dates", "bad_rows")


def loaded(path: Paths, wanted: Wanted, format: str | None = None) -> Any:
    """See ``onecopy.load``; ``wanted.notes`` has what there is to say at the end."""
    names = files(path)
    found = format_of(names, format)
    require_options(found, wanted)
    kind = FORMATS[found].kind
    if kind == "object":
        from . import pickled

        return pickled.load(names, wanted)
    with opened(names, wanted, format) as sources:
        if kind == "table":
            from . import tables

            return tables.load(sources, wanted)
        from . import arrays

        return arrays.load(sources, wanted)


def require_options(format: str, wanted: Wanted) -> None:
    """Raises ValueError when something is said of text that does not go for this format: it
    would be passed over in silence."""
    given = wanted.text.given
    if format == "ndjson":
        given = [each for each in given if each not in _OF_NDJSON]
    if format != "csv" and given:
        said = ", ".join(f"{each}=" for each in given)
        raise ValueError(f"{said} {'is' if len(given) == 1 else 'are'} not for {format}")


@contextmanager
def opened(names: list[str], wanted: Wanted, format: str | None = None) -> Iterator[list[Any]]:
    """What ``open`` of the files' format says of each of them: ``Arrays`` or ``Tabular``.

    Of several files each is opened, described and closed again until it is read: a dataset of
    many files takes no more descriptors than one of few.
    """
    module = import_module(f".{format_of(names, format)}", __package__)
    if len(names) == 1:
        source: Arrays | Tabular = module.open(names[0], wanted)
        with closing(source):
            yield [source]
    else:
        yield [again.described(partial(module.open, name, wanted)) for name in names]


def files(path: Paths) -> list[str]:
    """The files that are meant, in order: a pattern's by name, a list's as they are listed.

    Raises FileNotFoundError for one that is not there, and for a pattern without a file.
    """
    if not isinstance(path, str | os.PathLike):
        names = [os.fspath(each) for each in path]
        if not names:
            raise FileNotFoundError(2, "an empty list of files")
    else:
        names = [os.fspath(path)]
        if has_magic(names[0]) and not os.path.exists(names[0]):
            pattern, names = names[0], sorted(glob(names[0], recursive=True))
            if not names:
                raise FileNotFoundError(2, "no file has a name of this pattern", pattern)
    return names


def format_of(names: list[str], format: str | None = None) -> str:
    """The format of files that are there.

    Raises BadFile for one that is not known, and for files of different formats.
    """
    if format is not None and format not in FORMATS:
        known = ", ".join(repr(each) for each in FORMATS)
        raise BadFile(f"the format {format!r} is not known; it is one of {known}")
    found = [format or by_name(name) for name in names]
    for name, each in zip(names, found, strict=True):
        if each != found[0]:
            raise BadFile(f"{names[0]!r} is {found[0]} and {name!r} is {each}: one at a time")
        if not (os.path.isfile(name) or (each == "zarr" and os.path.isdir(name))):
            reason = "is not a regular file" if os.path.exists(name) else "does not exist"
            raise FileNotFoundError(2, f"file {reason}", name)
        if os.path.isfile(name) and not os.path.getsize(name) and each not in ("npy", "npz"):
            raise BadFile(f"{name!r} is empty: 0 bytes")
    return found[0]


def by_name(name: str) -> str:
    """The format that a file's name speaks of; raises BadFile for any other."""
    suffixes = Path(name.rstrip("/").lower()).suffixes
    if len(suffixes) > 1 and suffixes[-1] in _COMPRESSED:
        inner = _BY_SUFFIX.get(suffixes[-2])
        if inner in ("csv", "ndjson"):
            return inner
    found = _BY_SUFFIX.get(suffixes[-1] if suffixes else "")
    if found is None:
        known = ", ".join(_BY_SUFFIX)
        raise BadFile(f"{name!r}: the format is not known; onecopy loads {known}, or say format=")
    return found


def asked(
    columns: str | Iterable[str] | None = None,
    rows: slice | tuple[int | None, int | None] | None = None,
    dtype: Any = None,
    allow_pickle: bool = False,
    **text: Any,
) -> Wanted:
    """What is wanted, checked; ``text`` is as in ``TextOptions``.

    Raises:
        TypeError: rows that are neither a slice nor a start and a stop.
        ValueError: rows that are counted from the end, or with a step: a stream cannot know.
    """
    if columns is not None:
        columns = (columns,) if isinstance(columns, str) else tuple(columns)
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
    return Wanted(columns, start, stop, dtype, allow_pickle, text=text_options(text))
