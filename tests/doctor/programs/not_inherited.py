"""A table and a limit are set under the guard: workers that begin afresh do not have them."""

import multiprocessing
import sys
from multiprocessing import Pool

LIMIT = 0
TABLE = {}


def total(number):
    return sum(value for value in TABLE.values() if value > LIMIT) + number


def price(number):
    return prices[number]


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2] if sys.argv[2:] else "forkserver")
    LIMIT = 50
    TABLE.update((number, number % 100) for number in range(1000))
    if sys.argv[1:2] == ["error"]:
        prices = [number * 3 for number in range(100)]
        with Pool(2) as pool:
            try:
                print(pool.map(price, range(10)))
            except NameError as error:
                print(error)
    elif sys.argv[1:2] == ["process"]:
        prices = [number * 3 for number in range(100)]
        process = multiprocessing.Process(target=price, args=(5,))
        process.start()
        process.join()
    else:
        with Pool(2) as pool:
            print(sum(pool.map(total, range(10))))
