"""A large list at module level that the tasks never touch. The workers have it nevertheless.

The number of items is in the environment and not in ``sys.argv``, which Python 3.13.11 and 3.14.2
leave empty when their fork server runs this module (cpython#143706).
"""

import json
import multiprocessing
import os
import sys

numbers = list(range(int(os.environ["NUMBERS"])))


def task(item: int) -> int:
    """Work without the numbers."""
    return item + 1


if __name__ == "__main__":
    method, workers = sys.argv[1], int(sys.argv[2])
    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with context.Pool(workers, everybody.wait) as pool:
        everybody.wait()  # otherwise one that is ready sooner could do all the tasks
        pool.map(task, range(1000))
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # meanwhile the memory of all is measured from outside
