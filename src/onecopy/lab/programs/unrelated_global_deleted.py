"""The same, and each worker deletes what it does not need as its first deed."""

import json
import multiprocessing
import os
import sys

numbers = list(range(int(os.environ["NUMBERS"])))


def forget() -> None:
    """Frees each number, which is a write into the page that it stands on."""
    global numbers
    del numbers


def task(item: int) -> int:
    """Does not need the numbers."""
    return item + 1


if __name__ == "__main__":
    method, workers = sys.argv[1], int(sys.argv[2])
    with multiprocessing.get_context(method).Pool(workers, initializer=forget) as pool:
        pool.map(task, range(1000))
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # the memory of all is looked at from outside meanwhile
