"""Pages come one by one from somewhere slow, and map wants all of them first."""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool

import numpy as np


def pages():
    for number in range(240):
        time.sleep(0.005)
        yield f"page {number} " * 100


def count(page):
    found = 0
    for _ in range(400):
        found += sum(len(word) for word in page.split())
    return found


def frames():
    for number in range(150):
        yield np.full(250_000, number, "f8")


def mean(frame):
    time.sleep(0.02)
    return float(frame.mean())


if __name__ == "__main__":
    if sys.argv[1:] == ["executor"]:
        with ProcessPoolExecutor(2) as executor:
            print(sum(executor.map(mean, frames())))
    else:
        with Pool(2) as pool:
            print(sum(pool.map(count, pages())))
