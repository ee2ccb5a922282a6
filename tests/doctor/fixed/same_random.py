"""A generator for each task."""

import multiprocessing
import time

import numpy as np


def estimate(seed):
    points = np.random.default_rng(seed).random((50_000, 2))
    time.sleep(0.02)
    return float((np.hypot(*points.T) < 1).mean() * 4)


if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        seeds = np.random.SeedSequence(1).spawn(8)
        print(len(set(pool.map(estimate, seeds, chunksize=1))))
