"""A segment that /dev/shm, of 16 MB here, has no room for: who writes to it is killed."""

import sys
from multiprocessing import Process
from multiprocessing.shared_memory import SharedMemory

import numpy as np

COUNT = 5_000_000


def fill(name):
    segment = SharedMemory(name)
    values = np.ndarray(COUNT, "f8", segment.buf)
    values[:] = 1.0


if __name__ == "__main__":
    segment = SharedMemory(create=True, size=8 * COUNT)
    if sys.argv[1:] == ["worker"]:
        worker = Process(target=fill, args=(segment.name,))
        worker.start()
        worker.join()
        print(worker.exitcode)
    else:
        fill(segment.name)
    segment.close()
    segment.unlink()
