"""A worker is killed in a task: Pool waits for its result for ever, an executor breaks."""

import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool


def work(number):
    time.sleep(0.05)
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


if __name__ == "__main__":
    if sys.argv[1:] == ["executor"]:
        with ProcessPoolExecutor(2) as pool:
            print(list(pool.map(work, range(10))))
    else:
        with Pool(2) as pool:
            print(pool.map(work, range(10), chunksize=1))
