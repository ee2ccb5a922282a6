"""Workers append to a list of the module; the parent's stays as it was."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

FOUND = ["first"]


def add(number):
    FOUND.append(f"child {number}")
    return len(FOUND)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1] if sys.argv[1:] else "fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(add, range(4)))
    print(FOUND)
