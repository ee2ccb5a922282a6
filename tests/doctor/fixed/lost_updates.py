"""The results are collected where they are needed."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

FOUND = ["first"]


def add(number):
    return f"child {number}"


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1] if sys.argv[1:] else "fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        FOUND.extend(pool.map(add, range(4)))
    print(FOUND)
