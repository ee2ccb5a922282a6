"""The data of ``onecopy demo`` and of the lab: a file of records, written in pieces.

A record is an index, a timestamp and a value out of {0, 1, nan}, 24 bytes in all. The sum of such
values is exact in any order, so every way of adding them must return the same.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.lib import format as npy

DTYPE = np.dtype([("index", "i8"), ("timestamp", "M8[ns]"), ("val", "f8")])
# Rows per piece: 24 MB, so writing the file takes almost no memory.
_PIECE = 1_000_000
_SEED = 20


def write(path: str, records: int) -> float:
    """Write ``records`` records to a new ``.npy`` file; return the sum of the values.

    Returns when the file is on the disk, so that writing it does not slow down the next
    measurement; its pages stay in the page cache.
    """
    random = np.random.default_rng(_SEED)
    piece = np.empty(min(records, _PIECE), DTYPE)
    total = 0.0
    with open(path, "xb") as file:
        header = {"descr": npy.dtype_to_descr(DTYPE), "fortran_order": False, "shape": (records,)}
        npy.write_array_header_1_0(file, header)
        for start in range(0, records, _PIECE):
            part = piece[: records - start]
            index = np.arange(start, start + len(part))
            part["index"] = index
            part["timestamp"] = np.datetime64("2020-01-01", "ns") + index * 1_000_000
            part["val"] = random.choice([0.0, 1.0, np.nan], len(part))
            total += float(np.nansum(part["val"]))
            file.write(part.view("u1").data)
        file.flush()
        os.fsync(file.fileno())
    return total
