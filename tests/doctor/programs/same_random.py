"""Forked workers inherit the state of NumPy's generator, and draw the same numbers."""

import multiprocessing
import time

import numpy as np


def estimate(_):
    points = np.random.rand(50_000, 2)
    time.sleep(0.02)
    return float((np.hypot(*points.T) < 1).mean() * 4)


if __name__ == "__main__":
    np.random.rand()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(len(set(pool.map(estimate, range(8), chunksize=1))))
