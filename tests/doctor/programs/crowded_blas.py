"""Each worker's BLAS has as many threads as there are CPUs."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "4"

from multiprocessing import Pool

import numpy as np


def multiply(size):
    a = np.ones((size, size))
    for _ in range(12):
        a = a @ a / size
    return float(a[0, 0])


if __name__ == "__main__":
    with Pool(3) as pool:
        print(sum(pool.map(multiply, [900] * 9, chunksize=1)))
