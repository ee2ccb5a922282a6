"""Makes a pool and prints the seconds until every worker has answered.

Run as ``python -m bench.jobs.ready {onecopy|standard} METHOD WORKERS``. A worker that is up
early could answer for all, so ``map`` is repeated, with one item per worker, until there is
an answer from each; a task takes a millisecond, which leaves the others a turn.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time

import onecopy as oc


def who(_: int) -> int:
    time.sleep(0.001)
    return os.getpid()


def main() -> None:
    which, method, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    make = oc.Pool if which == "onecopy" else multiprocessing.get_context(method).Pool
    start = time.perf_counter()
    with make(workers, method=method) if which == "onecopy" else make(workers) as pool:
        answered: set[int] = set()
        while len(answered) < workers:
            answered.update(pool.map(who, range(workers), chunksize=1))
        print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
