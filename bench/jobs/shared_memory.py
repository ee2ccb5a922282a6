"""The main job with ``ProcessPoolExecutor`` and hand-made ``SharedMemory``.

As the documents of ``multiprocessing.shared_memory`` show: make a segment, copy the data
into it, attach to it by name in each worker (once, in the initializer), send ranges. The
file is read straight into the segment, which is the one copy that this way cannot avoid.
The ranges are the blocks that everybody gets, sent in as many chunks as ``multiprocessing``
would make.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from ..records import BLOCK, DTYPE, ranges
from . import finish

_attached: list[tuple[SharedMemory, np.ndarray]] = []


def attach(name: str, records: int) -> None:
    segment = SharedMemory(name)
    _attached.append((segment, np.ndarray(records, DTYPE, segment.buf)))


def sum_block(block: tuple[int, int]) -> float:
    return float(np.nansum(_attached[0][1]["val"][block[0] : block[1]]))


def copied(path: str) -> tuple[SharedMemory, int]:
    """The file's records in a new segment."""
    source = np.load(path, mmap_mode="r")
    segment = SharedMemory(create=True, size=source.nbytes)
    with open(path, "rb", buffering=0) as file:
        file.seek(source.offset)
        done = 0
        while done < source.nbytes:
            done += file.readinto(segment.buf[done : source.nbytes])
    return segment, len(source)


def main() -> None:
    path, workers, method = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    segment, records = copied(path)
    try:
        blocks = ranges(records, BLOCK)
        chunk = -(-len(blocks) // (4 * workers))
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(workers, context, attach, (segment.name, records)) as pool:
            finish(sum(pool.map(sum_block, blocks, chunksize=chunk)))
    finally:
        segment.close()
        segment.unlink()


if __name__ == "__main__":
    main()
