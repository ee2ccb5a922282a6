"""Good: a pool of threads that wait for others, and one whose NumPy code releases the GIL."""

import time
from multiprocessing.pool import ThreadPool

import numpy as np


def fetch(number):
    time.sleep(0.02)
    return number


def order(seed):
    numbers = np.random.default_rng(seed).random(400_000)
    numbers.sort()
    return float(numbers[0])


if __name__ == "__main__":
    with ThreadPool(8) as pool:
        print(sum(pool.imap_unordered(fetch, range(120))))
        try:
            pool.map(int, ["1", "two"])
        except ValueError as error:
            print(error)
    with ThreadPool(2) as pool:
        print(len(pool.map(order, range(12))))
