"""The same, but each worker first deletes what it does not need."""

import json
import multiprocessing
import os
import sys
from threading import Barrier

numbers = list(range(int(os.environ["NUMBERS"])))


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
