"""A counter of the module, which each worker counts up for itself."""

import time
from multiprocessing import Pool

done = 0


def work(number):
    global done
    done += 1
    time.sleep(0.01)
    return number


if __name__ == "__main__":
    with Pool(2) as pool:
        pool.map(work, range(40), chunksize=1)
    print("done:", done)
