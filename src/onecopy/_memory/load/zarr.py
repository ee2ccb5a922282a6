"""Zarr stores, of version 2 and 3: an array, or a group with all arrays below it; needs zarr.

A store is a directory (or a zip file of one); chunks are decoded block by block. A store that
lacks chunks is not damaged: they hold the fill value, as the format says.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from .arrays import Sliced
from .face import Arrays, Wanted, library, reading

WHAT = "Zarr store"


def open(name: str, wanted: Wanted) -> Arrays:
    """The array or the arrays of ``name``."""
    zarr = library("zarr", "zarr")
    guard = partial(reading, name, WHAT)
    with guard():
        storage = library("zarr.storage", "zarr")
        kind = storage.LocalStore if os.path.isdir(name) else storage.ZipStore
        store = kind(name, read_only=True)
        try:
            node = zarr.open(store=store, mode="r")
            single = isinstance(node, zarr.Array)
            members = (
                {"": Sliced(node, name, guard)} if single else _arrays(zarr, node, name, guard)
            )
        except BaseException:
            store.close()
            raise
    return Arrays(members, single=single, close=store.close)


def _arrays(zarr: Any, group: Any, name: str, guard: Any) -> dict[str, Sliced]:
    members: dict[str, Sliced] = {}
    # A directory lists them in any order.
    for path, node in sorted(group.members(max_depth=None), key=lambda each: each[0]):
        if isinstance(node, zarr.Array):
            members[path] = Sliced(node, f"{name}:{path}", guard)
    return members
