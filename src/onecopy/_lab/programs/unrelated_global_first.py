"""The same with the pool first and the list afterwards: nothing is there to be inherited."""

import json
import multiprocessing
import os
import sys


def task(item: int) -> int:
    """Does not need the numbers."""
    return item + 1


if __name__ == "__main__":
    method, workers = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with context.Pool(workers, everybody.wait) as pool:
        everybody.wait()  # one that is ready sooner could do all the tasks
        numbers = list(range(int(os.environ["NUMBERS"])))
        pool.map(task, range(1000))
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # the memory of all is looked at from outside meanwhile
