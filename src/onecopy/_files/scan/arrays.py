"""Arrays, cut into rows: npy, Zarr, and one array of an archive (HDF5, npz).

A mapped array is cut anywhere. One that is decoded is cut at its chunks, so that no chunk is decoded
twice. Compressed members of npz can only be inflated from their beginning: one block.
"""

from __future__ import annotations

from contextlib import closing
from importlib import import_module
from math import prod
from typing import Any

import numpy as np

from ...errors import BadFile
from ..load import arrays as load_arrays
from ..load import opened, places
from ..load.arrays import Sliced
from ..load.interface import Wanted
from ..load.members import Refused, Strings
from ..load.npy import Mapped
from .far import Ranges, open_array
from .recipe import Asked, Cut, FileRecipe, Most, Recipe, size_of_blocks


def described(
    names: list[Any], wanted: Wanted, format: str, asked: Asked
) -> tuple[Recipe, list[tuple[FileRecipe, Cut]]]:
    """Return the array of these files, and its parts of about the size that is asked for.

    Raises as ``onecopy.load`` does; BadFile for an archive of which no array was chosen.
    """
    own = wanted.plain()
    with opened(names, wanted, format, _opener(format)) as sources:
        member = _member(sources[0], wanted)
        fields = wanted.columns if sources[0].single else None
        parts = [source.members[member] for source in sources]
        first = parts[0]
        if isinstance(first, Refused):
            first.refuse()
        if isinstance(first, Strings):
            raise BadFile(f"{first.where!r}: strings of any length are loaded, not scanned")
        if not first.shape:
            raise BadFile(f"{first.where!r} is a single value: there are no rows to cut")
        whole = load_arrays.streamed(parts, wanted, fields)
        recipe = Recipe(format, own, whole.dtype, first.shape[1:], member)
        where = [source.where for source in sources]
        shapes = [part.shape for part in parts]
    most = size_of_blocks(whole.nbytes, asked)
    found = []
    for name, shape in zip(where, shapes, strict=True):
        of = FileRecipe(name, places.stamp(name), own, {})
        found += [(of, cut) for cut in _cuts(of, recipe, shape, most)]
    return recipe, found


def _opener(format: str) -> Any:
    module: Any = import_module(f"..load.{format}", __package__)

    def open(name: str, wanted: Wanted) -> Any:
        if format == "npy" and places.is_remote(name):
            return open_array(name)
        return module.open(name, wanted)

    return open


def _member(source: Any, wanted: Wanted) -> str:
    """Return the name of the array that is cut."""
    if source.single:
        return ""
    names: list[str] = [n for n, each in source.members.items() if not isinstance(each, Refused)]
    names = list(wanted.columns) if wanted.columns is not None else names
    if len(names) != 1:
        raise BadFile(
            f"{source.where!r} holds several arrays ({', '.join(names[:5])}...): columns= names the "
            "one whose rows are wanted"
        )
    if names[0] not in source.members:
        raise BadFile(f"{source.where!r} has no member {names[0]!r}")
    return names[0]


def _cuts(of: FileRecipe, recipe: Recipe, shape: tuple[int, ...], most: Most) -> list[Cut]:
    row = max(1, prod(recipe.row or ()) * recipe.schema.itemsize)
    with closing(_opener(recipe.format)(of.name, of.wanted)) as source:
        array = source.members[recipe.member]
        if isinstance(array, Sliced):
            chunk = array.chunk
        elif isinstance(array, Mapped) or (isinstance(array, Ranges) and array.in_rows):
            chunk = 1
        elif most.rows is None:
            return [Cut(0, -1, shape[0], shape[0] * row, "")]
        else:
            chunk = shape[0] or 1
    step = max(chunk, most.nbytes // row // chunk * chunk)
    if most.rows is not None and step > most.rows:
        step = most.rows // chunk * chunk or most.rows
    return [
        Cut(at, stop, stop - at, (stop - at) * row, f"rows {at} to {stop}")
        for at in range(0, shape[0], step)
        for stop in [min(at + step, shape[0])]
    ]


def read(recipe: Recipe, of: FileRecipe, cut: Cut) -> Any:
    """Return a block as an array."""
    with closing(_opener(recipe.format)(of.name, of.wanted)) as source:
        array = source.members.get(recipe.member)
        if array is None or array.shape[1:] != recipe.row:
            raise BadFile(f"{of.name!r} has been changed since it was scanned")
        start, stop = (0, int(array.shape[0])) if cut.whole else (cut.start, cut.stop)
        fields = recipe.wanted.columns if source.single else None
        if recipe.wanted.dtype is None:
            whole = array.whole() if isinstance(array, Mapped) or cut.whole else None
            if whole is not None:
                found = whole[start:stop]
                return found if fields is None else found[list(fields)]
        made = np.empty((stop - start, *(recipe.row or ())), recipe.schema)
        at = 0
        for block in array.blocks(start, stop):
            made[at : at + len(block)] = load_arrays.converted(block, recipe.schema, array.where)
            at += len(block)
    if at != stop - start:
        raise BadFile(f"{of.name!r} is cut short: {at} of {stop - start} rows")
    return made
