"""Pictures of 8 MB each go through a queue."""

import multiprocessing

import numpy as np


def brightest(frames, results):
    while (frame := frames.get()) is not None:
        results.put(int(frame[0, 0]))


if __name__ == "__main__":
    frames, results = multiprocessing.Queue(4), multiprocessing.Queue()
    worker = multiprocessing.Process(target=brightest, args=(frames, results))
    worker.start()
    for number in range(80):
        frames.put(np.full((1000, 1000), number, "f8"))
    frames.put(None)
    print(sum(results.get() for _ in range(80)))
    worker.join()
