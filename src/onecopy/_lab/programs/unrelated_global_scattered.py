"""The same with numbers that do not lie in memory in the order of the list, as those of a list
that has been sorted or shuffled do not. Each worker deletes it as its first deed."""

import json
import multiprocessing
import os
import sys
from threading import Barrier

numbers = list(range(int(os.environ["NUMBERS"])))
numbers = numbers[::2] + numbers[1::2]


def forget(everybody: Barrier) -> None:
    """Frees each number, which is a write into the page that it stands on."""
    global numbers
    del numbers
    everybody.wait()


def task(item: int) -> int:
    """Does not need the numbers."""
    return item + 1


if __name__ == "__main__":
    method, workers = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with context.Pool(workers, forget, (everybody,)) as pool:
        everybody.wait()
        pool.map(task, range(1000))
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # the memory of all is looked at from outside meanwhile
