"""Good: shared memory by hand, closed and unlinked as it should be."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.shared_memory import SharedMemory

import numpy as np

ROWS = 30_000_000


def total(name, at, rows):
    segment = SharedMemory(name)
    data = np.ndarray(ROWS, "f8", segment.buf)
    found = float(np.nansum(data[at : at + rows]))
    del data
    segment.close()
    return found


if __name__ == "__main__":
    segment = SharedMemory(create=True, size=ROWS * 8)
    try:
        data = np.ndarray(ROWS, "f8", segment.buf)
        data[:] = 1
        context = multiprocessing.get_context(sys.argv[1] if sys.argv[1:] else "fork")
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            step = ROWS // 8
            jobs = [pool.submit(total, segment.name, at, step) for at in range(0, ROWS, step)]
            print(sum(job.result() for job in jobs))
        del data
    finally:
        segment.close()
        segment.unlink()
