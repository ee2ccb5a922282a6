"""The same list, with workers of onecopy, and no guard: this module's body runs once.

    python module_state_onecopy.py fork|forkserver|spawn

The function is sent to the workers with the globals that it names, with their present values. A
worker returns what it learns; numbers that all of them write are in shared memory.
"""

import json
import os
import sys
from typing import Any

import onecopy as oc


def tell(fact: dict[str, Any]) -> None:
    """Write a line at once: several processes write to one output."""
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


tell({"body": __name__, "pid": os.getpid()})

seen = ["source"]
counts = oc.zeros(2, "i8")


def append(number: int) -> dict[str, Any]:
    """Task: append to the list, count in shared memory, tell what was seen."""
    before = list(seen)
    seen.append("worker")
    counts[number] = 1
    return look(f"onecopy {number + 1}", before)


def look(who: str, before: list[str]) -> dict[str, Any]:
    """Tell what this process sees of the list."""
    return {"who": who, "pid": os.getpid(), "id": id(seen), "before": before, "after": list(seen)}


seen.append("parent")
tell(look("parent first", ["source"]))
method: Any = sys.argv[1]
with oc.Pool(2, method=method) as pool:
    for future in [pool.submit(append, number) for number in range(2)]:
        tell(future.result())
tell(look("parent last", ["source", "parent"]))
tell({"counts": counts.tolist()})
