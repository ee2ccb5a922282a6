"""Shared memory is made and never unlinked."""

from multiprocessing import Pool, shared_memory

import numpy as np


def fill(name):
    segment = shared_memory.SharedMemory(name)
    np.ndarray(1_000_000, "f8", segment.buf)[:] = 1
    segment.close()


if __name__ == "__main__":
    names = []
    for _ in range(3):
        segment = shared_memory.SharedMemory(create=True, size=8_000_000)
        names.append(segment.name)
        segment.close()
    with Pool(2) as pool:
        pool.map(fill, names)
    print("done", len(names))
