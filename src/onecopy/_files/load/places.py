"""The location of files: on this machine, or at a URL that fsspec supports (``s3://``,
``https://``, ``memory://``).

A name, a pattern, a folder or a list of these becomes a list of files. A folder means all files of
one format in it, at any depth; names that begin with a dot or an underscore are the writing
program's bookkeeping (``_SUCCESS``, ``_metadata``) and are skipped. Folders called ``key=value``,
as Hive, Spark and pandas write them, give each file below them a value for that key; ``parts``
turns these into columns.
"""

from __future__ import annotations

import builtins
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import glob, has_magic
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from ..._system.interrupts import raised_by_handler
from ...errors import BadFile, MissingLibrary
from .interface import in_a_line, library
from .options import Notes
from .spans import Lines, Span

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
# The least that is fetched when parts of a file are read.
_BLOCK = 1 << 20
# A folder with one of these is a Zarr store, whatever its name.
_ZARR = ("zarr.json", ".zarray", ".zgroup")
_NULL = "__HIVE_DEFAULT_PARTITION__"


class File(str):
    """A file's name, and the keys and values of the folders that contain it."""

    keys: dict[str, str | None]

    def __new__(cls, name: str, keys: dict[str, str | None] | None = None) -> File:
        made = super().__new__(cls, name)
        made.keys = keys or {}
        return made


def is_remote(name: str) -> bool:
    """Return True for a URL, False for a name of this machine."""
    return "://" in name


def is_store(name: str) -> bool:
    """Return True for a folder that Zarr has written."""
    if is_remote(name) or not os.path.isdir(name):
        return False
    by_name = name.rstrip("/").lower().endswith(".zarr")
    return by_name or any(os.path.exists(os.path.join(name, each)) for each in _ZARR)


def system_of(name: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path there.

    Raises:
        MissingLibrary: fsspec, or a library that it needs for this kind of URL, is not installed.
        BadFile: it does not support this kind.
    """
    core = library("fsspec.core", "remote")
    try:
        system, path = core.url_to_fs(name)
    except ImportError as error:
        raise MissingLibrary(f"{name!r}: {error}") from error
    except ValueError as error:
        raise BadFile(f"{name!r}: {error}") from error
    return system, path


@contextmanager
def _asking(name: str) -> Iterator[None]:
    """Convert every error of a server, or of reaching it, to an OSError that names the URL.

    Servers' libraries have errors of their own, and fsspec reports those of a connection as a
    FileNotFoundError that they are the cause of.
    """
    try:
        yield
    except FileNotFoundError as error:
        cause = error.__cause__
        if cause is None or _answered(cause):
            raise FileNotFoundError(2, "file does not exist", str(name)) from None
        raise _unreachable(name, cause) from error
    except (BadFile, MissingLibrary):
        raise
    except Exception as error:
        if raised_by_handler(error):
            raise
        raise _unreachable(name, error) from error


def _answered(cause: BaseException) -> bool:
    """Return True for an error that means that a server has answered: there is no such file."""
    # A status is that of aiohttp's errors, a response that of botocore's.
    said = getattr(cause, "status", None) in (404, 410) or hasattr(cause, "response")
    return said or isinstance(cause, FileNotFoundError)


def _unreachable(name: str, error: BaseException) -> OSError:
    # Not the error's own number: the one of a TLS error is that of another error here.
    number = errno.EACCES if isinstance(error, PermissionError) else errno.EIO
    return OSError(number, f"cannot be read from the server: {in_a_line(error)}", str(name))


def open(name: str) -> Any:
    """Open a binary file for reading, or a part of one; the caller closes it."""
    if isinstance(name, Span):
        return Lines(seekable(name) if is_remote(name) else open(str(name)), name)
    if not is_remote(name):
        return builtins.open(name, "rb", buffering=0)
    system, path = system_of(name)
    with _asking(name):
        return system.open(path, "rb")


def seekable(name: str, *, exact: bool = False) -> Any:
    """Open a file at a URL of which any part can be read; the caller closes it.

    Args:
        exact: fetch what is read, and nothing ahead of it: for a reader that asks for large parts.

    Raises BadFile if the server gives only the whole file.
    """
    system, path = system_of(name)
    with _asking(name):
        options: dict[str, Any] = {"cache_type": "none"} if exact else {"block_size": _BLOCK}
        file = system.open(path, "rb", **options)
    if not file.seekable():
        file.close()
        raise BadFile(f"{str(name)!r}: the server gives no parts of the file; copy it here first")
    return file


def size(name: str) -> int | None:
    """Return its size in bytes; None for a folder, or if unknown.

    Raises:
        FileNotFoundError: it does not exist.
        OSError: the server does not say.
    """
    if isinstance(name, Span):
        return name.stop - name.start
    if not is_remote(name):
        if not os.path.isfile(name) and not is_store(name):
            reason = "is not a regular file" if os.path.exists(name) else "does not exist"
            raise FileNotFoundError(2, f"file {reason}", str(name))
        return os.path.getsize(name) if os.path.isfile(name) else None
    system, path = system_of(name)
    with _asking(name):
        info = system.info(path)
    found = info.get("size")
    return None if found is None or info.get("type") == "directory" else int(found)


def put(path: str, name: str) -> None:
    """Copy a file or a folder of this machine to a URL.

    Raises:
        OSError: the server does not take it.
    """
    system, target = system_of(name)
    try:
        system.put(path, target.rstrip("/"), recursive=os.path.isdir(path))
    except Exception as error:
        if raised_by_handler(error):
            raise
        number = errno.EACCES if isinstance(error, PermissionError) else errno.EIO
        said = f"cannot be written to the server: {in_a_line(error)}"
        raise OSError(number, said, str(name)) from error


def stamp(name: str) -> tuple[Any, ...]:
    """Return what differs once a file has been changed: its size, and its time or the server's tag.

    Empty for a folder, or if the server says neither. Raises as ``size`` does.
    """
    if not is_remote(name):
        if os.path.isdir(name):
            return ()
        status = os.stat(name)
        return status.st_size, status.st_mtime_ns
    system, path = system_of(name)
    with _asking(name):
        info = system.info(path)
    if info.get("type") == "directory":
        return ()
    tags = (info.get(each) for each in ("ETag", "etag", "LastModified", "mtime", "created"))
    return info.get("size"), str(next((each for each in tags if each is not None), None))


def found(paths: Paths, format_of: Any, format: str | None, notes: Notes) -> list[File]:
    """Return the files, in order: those of a pattern or a folder by name, those of a list as
    listed.

    Args:
        format_of: returns the format of a name, or None.
        format: take only files of this format from a folder.
        notes: collects what was left out of a folder.

    Raises:
        BadFile: a folder holds files of several formats, or none.
        FileNotFoundError: a pattern or a list has no file.
        TypeError: it is an open file, or no path.
    """
    if hasattr(paths, "read"):
        raise TypeError(f"path={paths!r}: it is the name of a file, and this is an open one")
    if isinstance(paths, str | bytes | os.PathLike):
        return _meant(os.fsdecode(paths), format_of, format, notes)
    if not isinstance(paths, Iterable):
        raise TypeError(f"a path, or several of them, is needed, not {type(paths).__name__}")
    names = [os.fsdecode(each) for each in paths]
    if not names:
        raise FileNotFoundError(2, "an empty list of files")
    return [each for name in names for each in _meant(name, format_of, format, notes)]


def _meant(name: str, format_of: Any, format: str | None, notes: Notes) -> list[File]:
    if isinstance(name, File):
        return [name]
    for scheme in ("file://", "local://"):  # so that it is mapped
        name = name.removeprefix(scheme)
    if is_remote(name):
        return _remote(name, format_of, format, notes)
    if name.startswith("~") and not os.path.exists(name):
        name = os.path.expanduser(name)
    if os.path.isdir(name) and not (is_store(name) or format == "zarr"):
        return _of_folder(name, _below(name), format_of, format, notes)
    if has_magic(name) and not os.path.exists(name):
        names = [each for each in sorted(glob(name, recursive=True)) if _is_one(each)]
        return _of_pattern(name, names)
    return [File(name)]


def _is_one(name: str) -> bool:
    """Return True for a file or store, False for a plain folder, which a pattern may match, too."""
    return not os.path.isdir(name) or is_store(name)


def _remote(url: str, format_of: Any, format: str | None, notes: Notes) -> list[File]:
    system, path = system_of(url)
    pattern = has_magic(path.partition("?")[0]) and "http" not in url.partition(":")[0]
    listed = None
    with _asking(url):
        if pattern:
            listed = system.glob(path)
        elif format_of(url) is None and format is None and system.isdir(path):
            listed = system.find(path)
    if listed is None:
        return [File(url)]
    names = [str(system.unstrip_protocol(each)) for each in sorted(listed)]
    if pattern:
        return _of_pattern(url, names)
    return _of_folder(str(system.unstrip_protocol(path)), names, format_of, format, notes)


def _of_pattern(pattern: str, names: list[str]) -> list[File]:
    if not names:
        raise FileNotFoundError(2, "no file has a name of this pattern", pattern)
    return [File(name, keys_of(name)) for name in names]


def _below(folder: str) -> list[str]:
    """Return all files in a folder, at any depth, by name."""
    names = []
    for root, folders, files in os.walk(folder):
        stores = [each for each in folders if is_store(os.path.join(root, each))]
        folders[:] = [each for each in folders if each not in stores]
        names += [os.path.join(root, each) for each in (*files, *stores)]
    return sorted(names)


def _of_folder(
    root: str, names: list[str], format_of: Any, format: str | None, notes: Notes
) -> list[File]:
    below = {name: PurePosixPath(name[len(root) :].lstrip("/")) for name in names}
    names = [name for name, path in below.items() if not any(p[0] in "._" for p in path.parts)]
    formats = {name: format_of(name) for name in names}
    wanted = {each for each in formats.values() if each} if format is None else {format}
    if len(wanted) > 1:
        raise BadFile(
            f"the folder {root!r} holds files of several formats ({', '.join(sorted(wanted))}): "
            "format= or a pattern chooses some"
        )
    taken = [name for name in names if formats[name] in wanted]
    if format is not None and not taken:
        taken = [name for name in names if formats[name] is None]  # such as part-00000
    if not taken:
        raise BadFile(f"the folder {root!r} holds no file of a format that onecopy knows")
    left = [name for name in names if name not in set(taken)]
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        notes.say(root, f"of other files in this folder nothing is read: {left[0]!r}{more}")
    return [File(name, keys_of(str(below[name]))) for name in taken]


def keys_of(path: str) -> dict[str, str | None]:
    """Return the keys and values of the folders in a path that are called ``key=value``."""
    keys: dict[str, str | None] = {}
    for part in PurePosixPath(path).parts[:-1]:
        key, equals, value = part.partition("=")
        if key and equals:
            keys[unquote(key)] = None if value == _NULL else unquote(value)
    return keys
