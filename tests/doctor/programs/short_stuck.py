"""One of many tasks of half a millisecond never ends, or its worker is killed in it."""

import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool

TASKS = 1500


def work(number):
    if number == TASKS - 500:
        if "killed" in sys.argv:
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)
        while True:
            time.sleep(1)
    end = time.perf_counter() + 0.0005
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
