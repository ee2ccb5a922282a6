"""The file of the main job: records of (index, timestamp, value), 24 bytes each, as .npy.

Written in pieces, once, to a directory that is kept between runs; its sum is kept beside
it, so that every job's result is checked. Before each sample the file is read through, so
that it is in the page cache for all contenders alike: a neighbour that takes most of the
memory pushes it out.
"""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np

from .face import Size

DTYPE = np.dtype([("index", "i8"), ("timestamp", "M8[ns]"), ("val", "f8")])
_PIECE = 1_000_000
_SEED = 20_240_229

# Records per task for every contender that works in blocks: 6 MiB, what map_blocks takes
# for these records by itself. In the cache, so best for all of them.
BLOCK = (6 << 20) // DTYPE.itemsize


def path(size: Size) -> Path:
    return size.directory / f"records-{size.records}.npy"


def expected(size: Size) -> float:
    """The sum that every job has to find."""
    return float(json.loads(_notes(size).read_text())["sum"])


def nbytes(size: Size) -> int:
    return size.records * DTYPE.itemsize


def _notes(size: Size) -> Path:
    return path(size).with_suffix(".json")


def _piece(random: np.random.Generator, first: int, count: int) -> np.ndarray:
    piece = np.empty(count, DTYPE)
    piece["index"] = np.arange(first, first + count)
    piece["timestamp"] = np.datetime64("2024-01-01", "ns") + piece["index"]
    piece["val"] = random.choice([0.0, 1.0, np.nan], count)
    return piece


def make(size: Size) -> None:
    """Writes the file unless it is there already; it gets its name when it is whole."""
    if _notes(size).exists() and path(size).exists():
        return
    size.directory.mkdir(parents=True, exist_ok=True)
    unfinished = path(size).with_suffix(".unfinished")
    random = np.random.default_rng(_SEED)
    total = 0.0
    with unfinished.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(DTYPE), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (size.records,)})
        for first in range(0, size.records, _PIECE):
            piece = _piece(random, first, min(_PIECE, size.records - first))
            total += float(np.nansum(piece["val"]))
            file.write(piece.view("u1").data)
        # Written out now, not while the first contenders are being timed.
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path(size))
    _notes(size).write_text(json.dumps({"sum": total}) + "\n")


def warm(size: Size) -> None:
    """Reads the file through once."""
    buffer = bytearray(16 << 20)
    with path(size).open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def ranges(records: int, block: int = BLOCK) -> list[tuple[int, int]]:
    """The blocks: (first, end) each."""
    return [(first, min(first + block, records)) for first in range(0, records, block)]


def slices(records: int, count: int) -> list[tuple[int, int]]:
    """``count`` ranges of nearly the same length."""
    edges = [records * number // count for number in range(count + 1)]
    return list(pairwise(edges))
