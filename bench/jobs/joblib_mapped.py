"""The main job with joblib, given the mapped file.

As its documents advise ("Working with numerical data in shared memory (memmapping)"): the
array comes from ``np.load(..., mmap_mode="r")``, and slices of it are passed to tasks, which
joblib sends as a file name and an offset. Blocks are those that everybody gets; batches are
joblib's default. METHOD is not used: its workers are loky's.
"""

from __future__ import annotations

import sys

import numpy as np
from joblib import Parallel, delayed

from ..records import ranges
from . import finish


def sum_block(records: np.ndarray) -> float:
    return float(np.nansum(records["val"]))


def main() -> None:
    path, workers = sys.argv[1], int(sys.argv[2])
    records = np.load(path, mmap_mode="r")
    with Parallel(n_jobs=workers) as parallel:
        tasks = (delayed(sum_block)(records[a:b]) for a, b in ranges(len(records)))
        finish(sum(parallel(tasks)))


if __name__ == "__main__":
    main()
