"""A large list at module level that the tasks never touch. The workers have it all the same."""

import json
import multiprocessing
import sys

method, count, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
numbers = list(range(count))


def task(item: int) -> int:
    """Does not need the numbers."""
    return item + 1


if __name__ == "__main__":
    with multiprocessing.get_context(method).Pool(workers) as pool:
        pool.map(task, range(1000))
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # the memory of all is looked at from outside meanwhile
