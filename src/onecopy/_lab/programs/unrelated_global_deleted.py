"""The same, and each worker deletes what it does not need as its first deed."""

import json
import multiprocessing
import os
import sys
from threading import Barrier

numbers = list(range(int(os.environ["NUMBERS"])))


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
