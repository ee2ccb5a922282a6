"""The list at module level, no guard, and a pool of onecopy: workers neither inherit the program's
data nor run the program again."""

import json
import multiprocessing
import os
import sys
from typing import Any

import onecopy as oc

method: Any = sys.argv[1]
workers = int(sys.argv[2])
numbers = list(range(int(os.environ["NUMBERS"])))


def task(item: int) -> int:
    """Work without the numbers."""
    return item + 1


everybody = multiprocessing.get_context(method).Barrier(workers + 1)
with oc.Pool(workers, everybody.wait, method=method) as pool:
    everybody.wait()  # otherwise one that is ready sooner could do all the tasks
    pool.map(task, range(1000))
    print(json.dumps(pool.pids()), flush=True)
    input()  # meanwhile the memory of all is measured from outside
