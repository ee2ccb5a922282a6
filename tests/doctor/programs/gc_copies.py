"""Forked workers collect garbage after each task, among the parent's objects, which no task touches."""

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
    with get_context("fork").Pool(2) as pool:
        print(sum(pool.map(work, range(8), chunksize=1)), len(people))
