"""One way of doing the demo's job, in an interpreter of its own; see ``demo``.

``main`` adds up a column of the records in a file. It says the result and the time while its
workers still run, waits for a line on standard input (its memory is read meanwhile, from outside),
and then says how many bytes went through pipes: two lines of JSON. The time is from the file to the
result, with the start of the workers and without the imports here.

Written as one finds it in programs, and as short. What is not imported at the top is not
imported by the spawned workers of the other ways, which import this module.
"""

from __future__ import annotations

import json
import multiprocessing
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing.reduction import ForkingPickler
from multiprocessing.shared_memory import SharedMemory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

Records = np.ndarray[Any, Any]
Done = Callable[[float], None]
Call = tuple[Any, ...]
"""A function and its arguments."""


class Job(NamedTuple):
    """What is to be done; ``segment`` is the name of the shared memory, where one is made."""

    method: Any  # a word from the command line
    workers: int
    file: str
    segment: str


def total(records: Records) -> float:
    """The task of both ways below."""
    return float(np.nansum(records["val"]))


def total_of_shared(
    segment: str, shape: tuple[int, ...], dtype: np.dtype[Any], start: int, stop: int
) -> float:
    """The same on a part of shared memory, attached by its name."""
    memory = SharedMemory(segment)
    records: Records = np.ndarray(shape, dtype, memory.buf)
    result = total(records[start:stop])
    del records  # or the memory cannot be closed
    memory.close()
    return result


def pickled(job: Job, done: Done) -> int:
    """An executor whose tasks get their slice of the records."""
    records = np.load(job.file)
    calls: list[Call] = [(total, part) for part in np.array_split(records, job.workers)]
    with ProcessPoolExecutor(job.workers, multiprocessing.get_context(job.method)) as pool:
        futures = [pool.submit(*call) for call in calls]
        done(sum(future.result() for future in futures))
    return _through_pipes(calls)


def shared_memory(job: Job, done: Done) -> int:
    """An executor whose tasks attach a segment that the records were copied into."""
    records = np.load(job.file)
    memory = SharedMemory(job.segment, create=True, size=records.nbytes)
    try:
        shared: Records = np.ndarray(records.shape, records.dtype, memory.buf)
        shared[:] = records
        del shared
        cuts = [len(records) * part // job.workers for part in range(job.workers + 1)]
        calls: list[Call] = [
            (total_of_shared, job.segment, records.shape, records.dtype, start, stop)
            for start, stop in pairwise(cuts)
        ]
        with ProcessPoolExecutor(job.workers, multiprocessing.get_context(job.method)) as pool:
            futures = [pool.submit(*call) for call in calls]
            done(sum(future.result() for future in futures))
    finally:
        memory.close()
        memory.unlink()
    return _through_pipes(calls)


def onecopy(job: Job, done: Done) -> int:
    """A pool of this library on the file as it is."""
    import onecopy as oc

    records = oc.load(job.file)
    with oc.Pool(job.workers, method=job.method) as pool:
        done(float(pool.map_blocks(np.nansum, records["val"], reduce="sum")))
        stats = pool.stats()
    return stats.bytes_sent + stats.bytes_received


VARIANTS: dict[str, Callable[[Job, Done], int]] = {
    "pickled": pickled,
    "SharedMemory": shared_memory,
    "onecopy": onecopy,
}


class _Counter:
    """A file that only counts, so that counting 480 MB takes no 480 MB."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, data: Any) -> int:
        """As of any file."""
        count = memoryview(data).nbytes
        self.size += count
        return count


def _through_pipes(calls: list[Call]) -> int:
    """Bytes that the executors pickled: each call, and each result, a float."""
    counter = _Counter()
    for function, *arguments in calls:
        # As the executor's own _CallItem and _ResultItem, without their few bytes of names.
        items: tuple[Any, ...] = ((function, tuple(arguments), {}), 0.0)
        for item in items:
            ForkingPickler(counter, pickle.DEFAULT_PROTOCOL).dump(item)
    return counter.size


def main(way: str, method: str, workers: str, file: str, segment: str) -> None:
    """Runs one way; the arguments come from the command line, see the module and ``Job``."""
    if way == "onecopy":
        # What the other ways use is imported above. The pool's engine is not, since their
        # workers, which import this module again, would pay for it.
        from onecopy import Pool, load

        del Pool, load
    began = perf_counter()

    def done(result: float) -> None:
        seconds = perf_counter() - began
        print(json.dumps({"seconds": seconds, "result": result}), flush=True)
        sys.stdin.readline()

    through_pipes = VARIANTS[way](Job(method, int(workers), file, segment), done)
    print(json.dumps({"through_pipes": through_pipes}), flush=True)
