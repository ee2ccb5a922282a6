"""Each worker gets the table and the limit from the initializer."""

import multiprocessing
from multiprocessing import Pool

LIMIT = 0
TABLE = {}


def set_up(limit, table):
    global LIMIT, TABLE
    LIMIT, TABLE = limit, table


def total(number):
    return sum(value for value in TABLE.values() if value > LIMIT) + number


if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    LIMIT = 50
    TABLE.update((number, number % 100) for number in range(1000))
    with Pool(2, initializer=set_up, initargs=(LIMIT, TABLE)) as pool:
        print(sum(pool.map(total, range(10))))
