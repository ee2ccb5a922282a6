"""Workers keep what they have seen, and grow with every task."""

import time
from multiprocessing import Pool

import numpy as np

_seen = []


def remember(number):
    _seen.append(np.ones(500_000))
    time.sleep(0.01)
    return number


if __name__ == "__main__":
    with Pool(2) as pool:
        print(sum(pool.imap(remember, range(120))))
