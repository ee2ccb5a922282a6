"""Zarr stores, of version 2 and 3: an array, or a group with all arrays below it; needs zarr.

A store is a directory (or a zip file of one); chunks are decoded block by block. A store without
some chunks is not damaged: missing chunks hold the fill value, by the format's definition. If the
server of a group at a URL lists no folders, the group's consolidated metadata name the arrays.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

from . import places
from .arrays import Sliced
from .interface import Array, Arrays, Wanted, library, reading
from .members import of_objects

WHAT = "Zarr store"


def open(name: str, wanted: Wanted) -> Arrays:
    """Open the array or the arrays of ``name``."""
    zarr = library("zarr", "zarr")
    guard = partial(reading, name, WHAT)
    with guard():
        store = _store(library("zarr.storage", "zarr"), name)
        try:
            node = zarr.open(store=store, mode="r")
            single = isinstance(node, zarr.Array)
            members = (
                {"": _member(node, name, guard)} if single else _arrays(zarr, node, name, guard)
            )
        except BaseException:
            store.close()
            raise
    return Arrays(name, members, single=single, close=store.close)


def _store(storage: Any, name: str) -> Any:
    if places.is_remote(name):
        system, path = places.system_of(name)
        # A file system that is made asynchronous would never close its connections.
        wrapper = library("fsspec.implementations.asyn_wrapper", "remote")
        asynchronous = wrapper.AsyncFileSystemWrapper(system, asynchronous=True)
        return storage.FsspecStore(asynchronous, read_only=True, path=path)
    kind = storage.LocalStore if os.path.isdir(name) else storage.ZipStore
    return kind(name, read_only=True)


def _arrays(zarr: Any, group: Any, name: str, guard: Any) -> dict[str, Array]:
    members: dict[str, Array] = {}
    # A directory lists them in an arbitrary order.
    for path, node in sorted(group.members(max_depth=None), key=lambda each: each[0]):
        if isinstance(node, zarr.Array):
            members[path] = _member(node, f"{name}:{path}", guard)
    return members


def _member(array: Any, where: str, guard: Any) -> Array:
    """Return an array, which may contain strings of any length."""
    # Version 2 of the format stores them as objects, which a filter turns into strings.
    filters = getattr(array, "filters", ())
    text = any(type(each).__name__ in ("VLenUTF8", "VLenUTF8Codec") for each in filters)

    def is_text(dtype: np.dtype[Any]) -> bool:
        return dtype.kind == "T" or (text and dtype.hasobject)

    return of_objects(Sliced(array, where, guard), is_text)
