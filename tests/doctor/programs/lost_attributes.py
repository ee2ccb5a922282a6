"""Processes count in a class, in a table of numbers and in an array; main prints what it has itself."""

import multiprocessing
import sys

import numpy as np

grid = np.zeros(4)
totals = {"odd": 0, "even": 0}


class Statistics:
    done = 0

    @classmethod
    def count(cls):
        cls.done += 1


def worker(number):
    if sys.argv[1:] == ["array"]:
        grid[number] = number
    elif sys.argv[1:] == ["table"]:
        totals["odd" if number % 2 else "even"] += 1
    else:
        Statistics.count()


def main():
    workers = [multiprocessing.Process(target=worker, args=(number,)) for number in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    print(Statistics.done, totals, grid.sum())


if __name__ == "__main__":
    main()
