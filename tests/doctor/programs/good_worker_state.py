"""Good: a cache and a connection for each worker, set up by the initializer; seeds for each task."""

import time
from multiprocessing import Pool

import numpy as np

_cache = {}
_calls = []
_scale = 0


def set_up(scale):
    global _scale
    _scale = scale
    _calls.append("ready")


def work(number):
    if number % 4 not in _cache:
        _cache[number % 4] = number % 4 * _scale
    np.random.seed(number)
    time.sleep(0.01)
    return _cache[number % 4] + np.random.randint(3)


if __name__ == "__main__":
    with Pool(2, initializer=set_up, initargs=(3,)) as pool:
        print(sum(pool.map(work, range(100), chunksize=5)))
