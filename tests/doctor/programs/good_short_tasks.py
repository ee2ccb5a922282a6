"""Many tasks of a millisecond in two workers, in batches between which the program has work of its own."""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool

TASKS = 800


def work(number):
    end = time.perf_counter() + 0.001
    steps = 0
    while time.perf_counter() < end:
        steps += 1
    return steps > 0


def batches(map_of):
    for _ in range(3):
        print(sum(map_of(work, range(TASKS))))
        if "pausing" in sys.argv:
            time.sleep(0.2)


if __name__ == "__main__":
    if "executor" in sys.argv:
        with ProcessPoolExecutor(2) as executor:
            batches(executor.map)
    else:
        with Pool(2) as pool:
            batches(pool.imap)
