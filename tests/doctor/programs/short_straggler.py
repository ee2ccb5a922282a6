"""One of many tasks of half a millisecond takes half a second, and comes last."""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool

TASKS = 1500


def work(number):
    end = time.perf_counter() + (0.5 if number == TASKS - 10 else 0.0005)
    steps = 0
    while time.perf_counter() < end:
        steps += 1
    return steps > 0


if __name__ == "__main__":
    if "executor" in sys.argv:
        with ProcessPoolExecutor(2) as executor:
            print(sum(executor.map(work, range(TASKS))))
    else:
        with Pool(2) as pool:
            print(sum(pool.imap(work, range(TASKS))))
