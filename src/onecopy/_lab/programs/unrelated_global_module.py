"""The same with the list in its own module, which only the parent imports."""

import json
import multiprocessing
import sys


def task(item: int) -> int:
    """Work without the numbers."""
    return item + 1


def main(method: str, workers: int) -> None:
    """Run the program's own work, which needs the numbers."""
    # It is beside this file, in the main program's directory, which is searched first.
    import unrelated_global_numbers as data  # type: ignore[import-not-found]  # mypy has no main

    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with context.Pool(workers, everybody.wait) as pool:
        everybody.wait()  # otherwise one that is ready sooner could do all the tasks
        pool.map(task, data.numbers[:1000])
        print(json.dumps([child.pid for child in multiprocessing.active_children()]), flush=True)
        input()  # meanwhile the memory of all is measured from outside


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
