"""Tasks of half a millisecond, each of which is waited for before the next is given out."""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool

TASKS = 1500


def work(number):
    end = time.process_time() + 0.0005
    steps = 0
    while time.process_time() < end:
        steps += 1
    return number


if __name__ == "__main__":
    if "executor" in sys.argv:
        with ProcessPoolExecutor(2) as executor:
            print(sum(executor.submit(work, number).result() for number in range(TASKS)))
    else:
        with Pool(2) as pool:
            print(sum(pool.apply(work, (number,)) for number in range(TASKS)))
