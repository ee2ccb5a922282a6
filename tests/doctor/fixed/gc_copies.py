"""The objects from before the fork are frozen: collections in the workers do not look at it."""

import gc
from multiprocessing import get_context


class Person:
    def __init__(self, number):
        self.number = number
        self.friends = [number]


def work(number):
    found = [str(each) for each in range(20_000)]
    gc.collect()
    return len(found) + number


if __name__ == "__main__":
    people = [Person(number) for number in range(400_000)]
    gc.collect()
    gc.freeze()
    with get_context("fork").Pool(2) as pool:
        print(sum(pool.map(work, range(8), chunksize=1)), len(people))
