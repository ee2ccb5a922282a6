"""Writers of arrays, block by block: npy, npz, HDF5, Zarr.

Each takes a path and the arrays by name (``Stream``), and writes one after another. Files are
written so that they load well: members of an ``.npz`` are stored, not compressed, so that they can
be mapped.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from ...errors import BadFile
from ..load.arrays import rows_a_piece
from ..load.interface import Stream, library

Streams = Mapping[str, Stream]


def npy(path: str, arrays: Streams) -> None:
    """Write one array; its elements in C order."""
    if len(arrays) != 1:
        raise BadFile(
            f"a .npy file holds one array, and there are {len(arrays)}: "
            f"choose one of {', '.join(arrays) or 'none'}"
        )
    (array,) = arrays.values()
    with open(path, "wb") as file:
        _npy_into(file, array)


def npz(path: str, arrays: Streams) -> None:
    """Write an archive like that of ``np.savez``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name or 'arr_0'}.npy", "w", force_zip64=True) as member:
                _npy_into(member, array)


def _npy_into(file: Any, array: Stream) -> None:
    described = {
        "shape": array.shape,
        "fortran_order": False,
        "descr": npy_format.dtype_to_descr(array.dtype),
    }
    file.write(_header(described))
    _elements_into(file, array)


def _elements_into(file: Any, array: Stream) -> None:
    for block in array.blocks():
        if block.nbytes:
            file.write(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)


def _header(described: dict[str, Any]) -> bytes:
    """Return the head of a .npy file (NEP 1): version 3 if it is too long for the first, or has
    names that are not Latin-1."""
    made = io.BytesIO()
    try:
        npy_format.write_array_header_1_0(made, described)
    except ValueError:
        text = repr(described).encode()
        # The elements begin at a multiple of 64 bytes, after a magic string and a length.
        text += b" " * (-(len(text) + 13) % 64) + b"\n"
        return npy_format.magic(3, 0) + struct.pack("<I", len(text)) + text
    return made.getvalue()


def hdf5(path: str, arrays: Streams) -> None:
    """Write a dataset for each, by its path.

    HDF5 lays the file out, and the elements are written into their places by system call. If the
    disk is full, the library cannot close its file, and later crashes the process with a
    segmentation fault. For the same reason the room is checked first.
    """
    h5py = library("h5py", "hdf5")
    for array in arrays.values():
        try:
            h5py.h5t.py_create(array.dtype, logical=True)
        except TypeError as error:
            raise BadFile(
                f"{array.where!r}: HDF5 has no type for {array.dtype}; .npz and .zarr have one, or "
                "name the columns without it"
            ) from error
    _require_room(path, sum(each.nbytes for each in arrays.values()))
    places = {}
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            dcpl = early if array.shape and array.nbytes else None
            data = file.create_dataset(name or "data", array.shape, array.dtype, dcpl=dcpl)
            if not array.shape:
                data[()] = next(array.blocks())[()]
            elif array.nbytes:
                places[name] = data.id.get_offset()
    with open(path, "r+b") as raw:
        for name, place in places.items():
            raw.seek(place)
            _elements_into(raw, arrays[name])


def _require_room(path: str, nbytes: int) -> None:
    """Raise OSError if a file of that size does not fit."""
    with open(path, "wb") as probe:
        if nbytes and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(probe.fileno(), 0, nbytes + (1 << 16))


def zarr(path: str, arrays: Streams) -> None:
    """Write an array for a file that was one; otherwise a group with an array for each."""
    library_ = library("zarr", "zarr")
    storage = library("zarr.storage", "zarr")
    store = storage.LocalStore(path)
    try:
        # Version 3 of the format does not specify these types.
        old = any(each.dtype.names or each.dtype.kind in "MmSUV" for each in arrays.values())
        version = 2 if old else 3
        if list(arrays) != [""]:
            library_.open_group(store, mode="w", zarr_format=version)
        for name, array in arrays.items():
            # Chunks of whole rows, of about 4 MB, some of them written at a time.
            rows = max(1, rows_a_piece(array.shape, array.dtype) // 4)
            chunks = tuple(max(1, length) for length in (rows, *array.shape[1:]))
            chunks = chunks if array.shape else ()
            data = library_.create_array(
                store,
                name=name or None,
                shape=array.shape,
                dtype=array.dtype,
                chunks=chunks,
                zarr_format=version,
            )
            _slices(data, array, 4 * rows)
    finally:
        store.close()


def _slices(data: Any, array: Stream, step: int | None = None) -> None:
    """Fill a dataset; by ``step`` rows, if its chunks should not be cut in two."""
    if not array.shape:
        data[()] = next(array.blocks())[()]
        return
    at = 0
    for block in array.blocks() if step is None else evenly(array.blocks(), step):
        data[at : at + len(block)] = block
        at += len(block)


def evenly(blocks: Iterator[np.ndarray[Any, Any]], step: int) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the same rows in blocks of ``step``, the last one shorter."""
    kept: list[np.ndarray[Any, Any]] = []
    rows = 0
    for block in blocks:
        while len(block):
            taken = block[: step - rows]
            kept.append(taken)
            rows += len(taken)
            block = block[len(taken) :]
            if rows == step:
                yield kept[0] if len(kept) == 1 else np.concatenate(kept)
                kept, rows = [], 0
    if kept:
        yield np.concatenate(kept)


WRITERS: dict[str, Callable[[str, Streams], None]] = {
    "npy": npy,
    "npz": npz,
    "hdf5": hdf5,
    "zarr": zarr,
}
