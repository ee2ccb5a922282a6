"""The file of the main job: records of (index, timestamp, value), 24 bytes each, as .npy.

Written in pieces, once, to a directory that is kept between runs; its sum is kept beside
it, so that every job's result is checked. Before each sample the file is read through, so
that it is in the page cache for all contenders alike: a neighbour that takes most of the
memory pushes it out.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from .face import Size

DTYPE = np.dtype([("index", "i8"), ("timestamp", "M8[ns]"), ("val", "f8")])

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


def make(size: Size) -> None:
    """Write the file unless it exists; it gets its name when it is whole."""
    # Not at the top: the jobs of peers, which import this module, do without onecopy.
    from onecopy._lab._records import write

    if _notes(size).exists() and path(size).exists():
        return
    size.directory.mkdir(parents=True, exist_ok=True)
    unfinished = path(size).with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    total = write(str(unfinished), size.records)
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
