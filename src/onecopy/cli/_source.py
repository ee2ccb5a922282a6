"""The data that a command works on: a file, a pattern, a member of an archive, a column.

``FILE`` is an argument of ``onecopy.load``. A member of an archive (``.npz``, HDF5, Zarr) is chosen
as ``archive.npz:member``, or by ``--field`` if the archive has a member of that name; an archive
with one member needs no choice. ``--field`` names a column of a table, or a field of records,
otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from glob import has_magic
from typing import Any, NamedTuple

from ..errors import BadFile, MissingLibrary, NotEnoughMemory
from ._errors import FAILED, CommandError, unread
from ._messages import in_options, say

_MEMBERS = ("npz", "hdf5", "zarr")
HINT = "hint: "
# The number of fields that a hint names.
_NAMED = 10
_ARCHIVES = (".npz", ".h5", ".hdf5", ".zarr")


class Source(NamedTuple):
    """The data that blocks are cut from, and the bytes of its file's data in memory.

    For a field of records these differ: whole records are in memory, and the pages of the other
    fields are mapped with those of the one that is read.
    """

    data: Any
    data_bytes: int


def split(file: str) -> tuple[str, str | None]:
    """Split ``archive.npz:member`` into a path and a member; return any other name unchanged.

    Raises:
        CommandError: there is no such file.
    """
    if "://" in file:
        return file, None
    path, colon, member = file.rpartition(":")
    if os.path.exists(file) or not (colon and path.lower().endswith(_ARCHIVES)):
        path, member = file, ""
    pattern = has_magic(path) and not os.path.exists(path)
    if not (os.path.isfile(path) or os.path.isdir(path) or pattern):
        what = "is not a file" if os.path.exists(path) else "does not exist"
        raise CommandError(f"{path!r} {what}")
    return path, member or None


def load(
    file: str,
    field: str | None,
    reading: Mapping[str, Any] | None = None,
    progress: bool = False,
    format: str | None = None,
) -> Source:
    """Load the data that the command line names, as ``onecopy.load`` does.

    Args:
        reading: the options of reading, from ``_reading``.
        progress: show the progress of reading.
        format: the file's format, if its name does not say.

    Raises:
        CommandError: says what is wrong with the file, member, field or shape.
    """
    path, member = split(file)
    try:
        loaded, field = _load(path, member, field, reading or {}, progress, format)
    except (BadFile, MissingLibrary, TypeError, ValueError) as error:
        raise CommandError(in_options(str(error))) from error
    except NotEnoughMemory as error:
        raise CommandError(f"{path!r}: {error}", FAILED) from error
    except OSError as error:
        raise CommandError(unread(path, error)) from error
    if isinstance(loaded, Mapping):
        (loaded,) = loaded.values()
    elif member is not None:
        raise CommandError(f"{path!r} has no members")
    if hasattr(loaded, "schema"):  # a table: only the field was loaded
        data = loaded if field is None else loaded.column(0)
        return Source(data, data.nbytes)
    data = loaded if field is None else _field(path, loaded, field)
    if data.ndim == 0:
        raise CommandError(f"{file!r} holds a single value (shape ()): there are no rows to cut")
    return Source(data, loaded.nbytes)


def hint(file: str, data: Any, field: str | None) -> str:
    """Return a hint if a function could not work with the data, or an empty string."""
    if field is not None:
        return ""
    names = getattr(getattr(data, "dtype", None), "names", None)
    what = "records of" if names else "a table of"
    names = names or getattr(data, "column_names", None)
    if not names:
        return ""
    shown = ", ".join([*names[:_NAMED], "..."] if len(names) > _NAMED else names)
    return f"{HINT}{file!r} holds {what} {shown}: --field {names[0]} gives one of them"


def _load(
    path: str,
    member: str | None,
    field: str | None,
    reading: Mapping[str, Any],
    progress: bool,
    format: str | None,
) -> tuple[Any, str | None]:
    """Return the data, and the field that is still to be selected."""
    from .._files import load as loading
    from ..data import metered

    wanted = loading.asked(**reading)
    names = loading.files(path, wanted, format)
    format = loading.format_of(names, wanted, format)
    if format == "pickled":
        raise CommandError(
            f"{path!r} is a pickle, and loading one can run any code: the command line reads none; "
            "in Python, onecopy.load(..., allow_pickle=True) does"
        )
    if wanted.columns is not None and (field is not None or format in _MEMBERS):
        raise CommandError("--columns is of a table without --field; of an archive choose a member")
    if loading.FORMATS[format].kind == "table":
        wanted = wanted if field is None else replace(wanted, columns=(field,))
    elif format in _MEMBERS:
        with loading.opened(names, wanted, format) as sources:
            if not sources[0].single:
                # Only the selection is loaded.
                member, field = _member(path, list(sources[0].members), member, field)
                wanted = replace(wanted, columns=(member,))
    with metered(wanted, progress and f"reading {os.path.basename(path)}") as watched:
        loaded = loading.loaded(names, watched, format)
    say(wanted.notes)
    return loaded, field


def _member(
    path: str, names: list[str], member: str | None, field: str | None
) -> tuple[str, str | None]:
    """Return the chosen array, and the field that is still to be selected."""
    if member is None and field in names:
        member, field = field, None
    if member is None and len(names) == 1:
        member = names[0]
    has = f"it has {', '.join(names) or 'none'}"
    if member is None and field is None:
        raise CommandError(f"{path!r}: choose a member, as {path}:NAME or by --field; {has}")
    if member is None or member not in names:
        raise CommandError(f"{path!r} has no member {member or field!r}; {has}")
    return member, field


def _field(path: str, records: Any, field: str) -> Any:
    names = records.dtype.names
    if names is None:
        raise CommandError(
            f"{path!r} has no field {field!r}: it holds plain {records.dtype}, not records"
        )
    if field not in names:
        raise CommandError(f"{path!r} has no field {field!r}; it has {', '.join(names)}")
    return records[field]
