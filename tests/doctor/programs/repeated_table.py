"""The same large table goes along with every task."""

from functools import partial
from multiprocessing import Pool

import numpy as np


def look_up(table, number):
    return float(table[number * 7 % len(table)])


if __name__ == "__main__":
    weights = np.arange(3_000_000, dtype="f8")
    with Pool(2) as pool:
        print(sum(pool.map(partial(look_up, weights), range(40), chunksize=1)))
