"""The main job with mpire, given the mapped file.

As its documents advise ("Shared objects" in the user guide): ``start_method="fork"``, the
data as ``shared_objects``, which forked workers inherit without a copy, and ranges as
arguments. Blocks are those that everybody gets; chunks are mpire's default.
"""

from __future__ import annotations

import sys

import numpy as np
from mpire import WorkerPool

from ..records import ranges
from . import finish


def sum_block(values: np.ndarray, first: int, end: int) -> float:
    return float(np.nansum(values[first:end]))


def main() -> None:
    path, workers, method = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    values = np.asarray(np.load(path, mmap_mode="r"))["val"]
    with WorkerPool(workers, shared_objects=values, start_method=method) as pool:
        finish(sum(pool.map(sum_block, ranges(len(values)))))


if __name__ == "__main__":
    main()
