"""The same with numbers that are not in memory in the order of the list, as in a list that has been
sorted or shuffled. Each worker first deletes it."""

import json
import multiprocessing
import os
import sys
from threading import Barrier

numbers = list(range(int(os.environ["NUMBERS"])))
numbers = numbers[::2] + numbers[1::2]


def forget(everybody: Barrier) -> None:
    """Free each number, which writes to its page."""
    global numbers
    del numbers
    everybody.wait()


def task(item: int) -> int:
    """Work without the numbers."""
    return item + 1


if __name__ == "__main__":
    method, workers = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with context.Pool(workers, forget, (everybody,)) as pool:
        everybody.wait()
        pool.map(task, range(1000))
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # meanwhile the memory of all is measured from outside
