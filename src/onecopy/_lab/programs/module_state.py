"""A list of this module: its parent appends to it, and so do two workers. Who sees what?

    python module_state.py fork|forkserver|spawn

The first statement after ``tell`` counts how often the body of this module is run: once for each
interpreter that imports it. Prints JSON, a line for each fact.
"""

import json
import multiprocessing
import os
import sys
from threading import Barrier
from typing import Any


def tell(fact: dict[str, Any]) -> None:
    """Write a line at once: several processes write to one output."""
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


tell({"body": __name__, "pid": os.getpid()})

seen = ["source"]
barrier: Barrier


def keep(two: Barrier) -> None:
    """Initializer: what both workers wait at, so that each gets one task."""
    global barrier
    barrier = two


def append(word: str) -> dict[str, Any]:
    """Task: append to the list, and tell what it was before and is now."""
    barrier.wait()
    before = list(seen)
    seen.append(word)
    return look(multiprocessing.current_process().name, before)


def look(who: str, before: list[str]) -> dict[str, Any]:
    """Tell what this process sees of the list."""
    return {"who": who, "pid": os.getpid(), "id": id(seen), "before": before, "after": list(seen)}


def main(method: str) -> None:
    """Append, start two workers that append, and look again; the parent."""
    context: Any = multiprocessing.get_context(method)
    seen.append("parent")
    tell(look("parent first", ["source"]))
    with context.Pool(2, keep, (context.Barrier(2),)) as pool:
        for answer in pool.map(append, ["worker", "worker"], chunksize=1):
            tell(answer)
        pool.close()
        pool.join()
    tell(look("parent last", ["source", "parent"]))


if __name__ == "__main__":
    main(sys.argv[1])
