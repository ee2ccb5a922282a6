"""HDF5 files: every dataset by its path, decoded block by block; needs h5py.

Only data in the file itself is read: external links, and datasets whose elements are in other
files, are left out, so that a file cannot cause another one to be read (an external link is a path;
see the HDF5 reference, ``H5Lcreate_external``). A dataset has a name for each hard and soft link to
it. Strings of variable length become strings of one width; other Python objects (references, lists
of variable length) are left out.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from ...errors import BadFile
from . import places
from .arrays import Sliced
from .interface import Array, Arrays, Wanted, library, reading
from .members import Refused, of_objects

WHAT = "HDF5 file"
# A file with links to groups of links may have an infinite number of paths.
_MOST = 100_000
_OTHER_FILE = "its data are in another file, which is not read"


def open(name: str, wanted: Wanted) -> Arrays:
    """Open the datasets of ``name``."""
    h5py = library("h5py", "hdf5")
    guard = partial(reading, name, WHAT)
    with guard(), ExitStack() as stack:
        # The library opens a local file itself.
        remote = stack.enter_context(places.seekable(name)) if places.is_remote(name) else None
        file = stack.enter_context(h5py.File(remote or name, "r"))
        members = dict(_members(h5py, file, name, guard))
        close = stack.pop_all().close
    return Arrays(name, members, single=False, close=close)


def _members(h5py: Any, file: Any, name: str, guard: Any) -> Iterator[tuple[str, Array]]:
    for count, (path, found) in enumerate(_walked(h5py, file, file, "", ())):
        if count > _MOST:
            raise BadFile(f"{name!r} has more than {_MOST} paths to datasets")
        yield path, _member(h5py, found, f"{name}:{path}", guard)


def _walked(
    h5py: Any, file: Any, group: Any, path: str, above: tuple[Any, ...]
) -> Iterator[tuple[str, Any]]:
    """Yield the datasets below a group by their paths; a str for a dataset that is left out."""
    here = _address(h5py, group)
    if here in above:
        return  # a link to a group that contains it
    for name in group:
        each = f"{path}/{name}".lstrip("/")
        found = _linked(h5py, file, each)
        if isinstance(found, h5py.Group):
            yield from _walked(h5py, file, found, each, (*above, here))
        elif isinstance(found, h5py.Dataset | str):
            yield each, found


def _address(h5py: Any, found: Any) -> Any:
    info = h5py.h5o.get_info(found.id)
    return info.fileno, info.addr


def _linked(h5py: Any, file: Any, path: str) -> Any:
    """Return the object at a path, without following an external link; otherwise a str with the
    reason."""
    left, found, steps = path.split("/"), file, 0
    walked: list[str] = []
    while left:
        part = left.pop(0)
        if part in ("", "."):
            continue
        if not isinstance(found, h5py.Group):
            return "its link leads nowhere"
        link = found.get(part, getlink=True) if part in _names(found) else None
        if isinstance(link, h5py.SoftLink):
            steps += 1
            if steps > 40:
                return "its link leads in circles"
            target = posixpath.join("/", *walked, link.path)
            left, found, walked = [*target.split("/"), *left], file, []
            continue
        if isinstance(link, h5py.ExternalLink):
            return "it is a link to another file, which is not followed"
        if link is None:
            return "its link leads nowhere"
        found = found[part]
        walked.append(part)
    return found


def _names(group: Any) -> Any:
    return group.keys()


def _member(h5py: Any, found: Any, where: str, guard: Any) -> Array:
    if isinstance(found, str):
        return Refused(where, found)
    if found.external or (
        found.is_virtual and any(each.file_name != "." for each in found.virtual_sources())
    ):
        return Refused(where, _OTHER_FILE)
    if found.shape is None:
        return _Empty(where, found.dtype)

    def is_text(dtype: np.dtype[Any]) -> bool:
        return h5py.check_string_dtype(dtype) is not None and dtype.hasobject

    return of_objects(Sliced(found, where, guard), is_text)


class _Empty:
    """An ``Array`` without a shape (a "null dataspace"): it has no elements."""

    def __init__(self, where: str, dtype: np.dtype[Any]) -> None:
        self.where = where
        self.shape = (0,)
        self.dtype = np.dtype("U1") if dtype.hasobject else dtype

    def whole(self) -> None:
        """See ``Array``."""

    def blocks(self, start: int, stop: int) -> Iterator[np.ndarray[Any, Any]]:
        """See ``Array``."""
        yield np.empty(0, self.dtype)
