"""Four workers read records in an order of their own: a part of them, then all, then all again.

``python -m bench.jobs.annotations WAY NUMBER`` prints the size of the encoded data and the sum of
PSS of all processes after each step. WAY is a start method (the list is given to ``share``, and
dropped), or how it is usually done: a module's global that ``fork`` inherits, read by
``multiprocessing.Pool``; the list as an argument of joblib's, each of whose workers gets a
copy; or the list in ray's store.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import onecopy as oc

from .. import objects
from ..process import members, pss

DATA: Sequence[Any] = ()


def order(count: int, seed: int) -> Iterator[int]:
    """Every index once, all over the place, and no list of them, which would be the largest
    thing that a worker has of its own: a linear congruential generator modulo a power of two,
    whose period is full (Hull and Dobell, "Random Number Generators", 1962)."""
    mask = (1 << count.bit_length()) - 1
    at = start = seed * 0x9E3779B1 & mask
    while True:
        if at < count:
            yield at
        at = at * 1664525 + 1013904223 & mask
        if at == start:
            return


def read(data: Sequence[Any], part: float, seed: int) -> int:
    """Reads that part of the records, each pickled again: every object in it is touched."""
    some = islice(order(len(data), seed), int(part * len(data)))
    return sum(1 for at in some if pickle.dumps(data[at], 5))


def read_inherited(part: float, seed: int) -> int:
    return read(DATA, part, seed)


Tasks = list[tuple[float, int]]


def by_onecopy(data: Any, method: str) -> list[int]:
    with oc.Pool(objects.WORKERS, method=method) as pool:
        return steps(
            lambda tasks: pool.starmap(read, [(data, *task) for task in tasks], chunksize=1)
        )


def inherited() -> list[int]:
    with multiprocessing.get_context("fork").Pool(objects.WORKERS) as pool:
        return steps(lambda tasks: pool.starmap(read_inherited, tasks, chunksize=1))


def by_joblib(data: Sequence[Any]) -> list[int]:
    import joblib

    with joblib.Parallel(objects.WORKERS) as parallel:
        run = joblib.delayed(read)
        return steps(lambda tasks: parallel(run(data, *task) for task in tasks))


def by_ray(data: Sequence[Any]) -> list[int]:
    """As its documents advise: put once, passed by reference. What is no array comes out of the
    store as a copy of each worker's own."""
    import ray

    ray.init(num_cpus=objects.WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        stored = ray.put(data)
        run = ray.remote(read)
        return steps(lambda tasks: ray.get([run.remote(stored, *task) for task in tasks]))
    finally:
        ray.shutdown()


def steps(run: Callable[[Tasks], list[int]]) -> list[int]:
    """The sum of PSS after each step."""
    found = []
    for number, part in enumerate(objects.STEPS):
        seeds = range(number * objects.WORKERS, (number + 1) * objects.WORKERS)
        read = run([(part, seed) for seed in seeds])
        assert set(read) == {int(part * int(sys.argv[2]))}, "every worker has read its part"
        found.append(sum(map(pss, members(os.getsid(0)))))
    return found


def main() -> None:
    global DATA
    way, number = sys.argv[1], int(sys.argv[2])
    DATA = objects.records(number)
    if way in objects.OURS:
        shared: Any = oc.share(DATA)
        DATA = ()
        encoded = sum(segment.nbytes for segment in oc.segments())
        found = by_onecopy(shared, way)
    else:
        encoded = sum(len(pickle.dumps(record, 5)) for record in DATA)
        ways = {objects.JOBLIB: by_joblib, objects.RAY: by_ray}
        found = ways[way](DATA) if way in ways else inherited()
    print(json.dumps({"encoded": encoded, "steps": found}))


if __name__ == "__main__":
    main()
