"""One item takes nearly as long as all others together, comes last, and hides in a chunk."""

import time
from multiprocessing import Pool


def work(units):
    end = time.process_time() + units * 0.02
    steps = 0
    while time.process_time() < end:
        steps += 1
    return units


if __name__ == "__main__":
    items = [1] * 60 + [50]
    with Pool(2) as pool:
        print(sum(pool.map(work, sorted(items, reverse=True), chunksize=1)))
