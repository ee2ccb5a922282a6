"""The same with the pool first and the list afterwards: there is nothing to inherit."""

import json
import multiprocessing
import os
import sys


def task(item: int) -> int:
    """Work without the numbers."""
    return item + 1


if __name__ == "__main__":
    method, workers = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with context.Pool(workers, everybody.wait) as pool:
        everybody.wait()  # otherwise one that is ready sooner could do all the tasks
        numbers = list(range(int(os.environ["NUMBERS"])))
        pool.map(task, range(1000))
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # meanwhile the memory of all is measured from outside
