"""Items of an instant, then sixteen that take 0.25 s, by 8 workers: seconds for all.

Run as ``python -m bench.jobs.quick_slow CALL POOL INSTANTS``, in a process of its own: what a pool
has learnt from another run of the same function would help it. The workers have all answered
before. The slow ones sleep, so the number of cores does not matter. No chunk size is given.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import onecopy as oc

from .tasks import all_ready

WORKERS, SLOW, SECONDS = 8, 16, 0.25

CALLS: dict[str, Callable[[Any, list[float]], list[None]]] = {
    "map": lambda pool, items: list(pool.map(time.sleep, items)),
    "imap": lambda pool, items: list(pool.imap(time.sleep, items)),
    "imap_unordered": lambda pool, items: list(pool.imap_unordered(time.sleep, items)),
    "executor.map": lambda pool, items: list(pool.map(time.sleep, items)),
}


def main() -> None:
    call, kind, instants = sys.argv[1], sys.argv[2], int(sys.argv[3])
    by_executor = call.startswith("executor")
    if kind == "onecopy":
        make: Any = oc.ProcessPoolExecutor if by_executor else oc.Pool
    else:
        make = ProcessPoolExecutor if by_executor else multiprocessing.Pool
    items = [0.0] * instants + [SECONDS] * SLOW
    with make(WORKERS) as pool:
        all_ready(pool, WORKERS)
        start = time.perf_counter()
        done = CALLS[call](pool, items)
        print(time.perf_counter() - start)
        assert len(done) == len(items)


if __name__ == "__main__":
    main()
