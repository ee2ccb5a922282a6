"""The main job on threads of one process: what the machine can do, no process at all.

NumPy releases the interpreter lock while it sums, so two threads on two cores are the
mark to come near. The file is mapped, the blocks are those that everybody gets. METHOD is
not used.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..records import ranges
from . import finish


def main() -> None:
    path, workers = sys.argv[1], int(sys.argv[2])
    values = np.asarray(np.load(path, mmap_mode="r"))["val"]

    def sum_block(block: tuple[int, int]) -> float:
        return float(np.nansum(values[block[0] : block[1]]))

    with ThreadPoolExecutor(workers) as pool:
        finish(sum(pool.map(sum_block, ranges(len(values)))))


if __name__ == "__main__":
    main()
