"""HDF5 files: every dataset by its path, decoded block by block; needs h5py.

Only what stands in the file itself: soft and external links are not followed, so that a file
cannot make another one be read (an external link is a path; see the HDF5 reference,
``H5Lcreate_external``). Datasets whose elements are Python objects in memory (strings of any
length, references) are left out of what is loaded unless they are asked for by name, which
is an error that says so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ...errors import BadFile
from .arrays import Sliced
from .face import Arrays, Wanted, library, reading

WHAT = "HDF5 file"


def open(name: str, wanted: Wanted) -> Arrays:
    """The datasets of ``name``."""
    h5py = library("h5py", "hdf5")
    guard = partial(reading, name, WHAT)
    with guard():
        file = h5py.File(name, "r")
        try:
            members = _datasets(h5py, file, name, wanted, guard)
        except BaseException:
            file.close()
            raise
    return Arrays(members, single=False, close=file.close)


def _datasets(h5py: Any, file: Any, name: str, wanted: Wanted, guard: Any) -> dict[str, Sliced]:
    found: dict[str, Any] = {}

    def note(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[path] = item

    file.visititems(note)
    members = {}
    for path, dataset in found.items():
        if dataset.shape is None:
            continue  # a "null dataspace": no elements, and no shape either
        if dataset.external:
            raise BadFile(f"{name!r}: the data of {path!r} are in other files")
        if dataset.dtype.hasobject and path not in (wanted.columns or ()):
            continue
        members[path] = Sliced(dataset, f"{name}:{path}", guard)
    return members
