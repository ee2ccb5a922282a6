"""The same with the list in a module of its own, which only the parent imports."""

import json
import multiprocessing
import sys


def task(item: int) -> int:
    """Does not need the numbers."""
    return item + 1


def main(method: str, workers: int) -> None:
    """What the program is for; here it needs the numbers."""
    # It stands beside this file, where the main program's imports are looked for first.
    import unrelated_global_numbers as data  # type: ignore[import-not-found]  # mypy has no main

    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with context.Pool(workers, everybody.wait) as pool:
        everybody.wait()  # one that is ready sooner could do all the tasks
        pool.map(task, data.numbers[:1000])
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # the memory of all is looked at from outside meanwhile


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
