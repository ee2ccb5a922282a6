"""A thread of the program runs while it forks."""

import multiprocessing
import threading
import time

stop = threading.Event()


def beat():
    while not stop.wait(0.01):
        pass


def work(number):
    time.sleep(0.05)
    return number


if __name__ == "__main__":
    threading.Thread(target=beat, name="heart-beat").start()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(sum(pool.map(work, range(8), chunksize=1)))
    stop.set()
