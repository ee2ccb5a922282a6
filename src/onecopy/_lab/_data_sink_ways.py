"""One way of doing ``data_sink``'s job, in its own interpreter.

``main`` adds up a column of the records in a file and prints its measurements as lines of JSON
while its workers are still there; then it waits for a line on standard input (meanwhile its memory
is read from outside) and ends. Other lines are narration.

Every way is driven alike: ``loop.run_in_executor``, with as many batches as workers. They differ in
the place of the records and the content of a batch: the records themselves, or their place. A batch
notes when it was packed and when it had arrived, so that a worker's time can be split into
receiving, computing and returning. The clock is the machine's, for all processes.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from multiprocessing.shared_memory import SharedMemory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .._system.procfs import mappings
from ._frame import narrate

Records = np.ndarray[Any, Any]


class Job(NamedTuple):
    """A job; see ``data_sink.plan``."""

    way: str
    method: Any  # a word from the command line
    source: str
    workers: int
    file: str
    segment: str


class Batch:
    """The argument of a task.

    Attributes:
        content: a slice of records, or its place (see ``Slice``).
        packed, arrived: when pickling it started, and when it was unpickled; both zero if it never
            was.
    """

    def __init__(self, content: Any) -> None:
        self.content = content
        self.packed = self.arrived = 0.0

    def __getstate__(self) -> tuple[Any, float]:
        return self.content, perf_counter()

    def __setstate__(self, state: tuple[Any, float]) -> None:
        self.content, self.packed = state
        self.arrived = perf_counter()


class Slice(NamedTuple):
    """Some of the records in a segment of shared memory."""

    segment: str
    length: int
    dtype: np.dtype[Any]
    start: int
    stop: int


_ready = threading.local()


def ready() -> None:
    """Tell, as an initializer, that from here on this worker can receive."""
    _ready.at = perf_counter()


def total(batch: Batch) -> dict[str, float]:
    """Return the sum of a batch's values, and when it was started and done; the task."""
    began = perf_counter()
    if isinstance(batch.content, Slice):
        result = total_of_shared(batch.content)
    else:
        result = float(np.nansum(batch.content["val"]))
    times = {"packed": batch.packed or began, "arrived": batch.arrived or began}
    times |= {"ready": _ready.at, "began": began, "ended": perf_counter()}
    return {"worker": threading.get_native_id(), **times, "sum": result}


def total_of_shared(where: Slice) -> float:
    """Attach the segment by its name, and add up."""
    memory = SharedMemory(where.segment)
    records: Records = np.ndarray((where.length,), where.dtype, memory.buf)
    result = float(np.nansum(records["val"][where.start : where.stop]))
    del records  # otherwise the memory cannot be closed
    memory.close()
    return result


# Driving it.


async def drive(executor: Any, batches: list[Batch]) -> list[dict[str, float]]:
    """Submit all batches at once; return each result with the time at which it arrived."""
    loop = asyncio.get_running_loop()

    async def one(batch: Batch) -> dict[str, float]:
        answer: dict[str, float] = await loop.run_in_executor(executor, total, batch)
        return {**answer, "got": perf_counter()}

    return list(await asyncio.gather(*(one(batch) for batch in batches)))


class Stopwatch:
    """A stopwatch that splits time into named parts, in seconds.

    Attributes:
        parts: the seconds.
        last: when the last part ended.
        held: bytes of memory at a moment when PSS does not show them; 0 if it does.
    """

    def __init__(self) -> None:
        self.last = perf_counter()
        self.held = 0
        self.parts: dict[str, float] = {"load": 0.0, "copy": 0.0, "compute": 0.0}

    def lap(self, part: str) -> None:
        """Count the time since the last lap as ``part``."""
        now = perf_counter()
        self.parts[part] = now - self.last
        narrate.say(f"{part}: {now - self.last:.3f} s", memory=True)
        self.last = perf_counter()


def cuts(count: int, workers: int) -> list[tuple[int, int]]:
    """Return as many equal parts as workers."""
    return list(pairwise(count * part // workers for part in range(workers + 1)))


def pickled(job: Job, watch: Stopwatch, done: Callable[..., None]) -> None:
    """Use an executor whose batches are slices: every record goes through a pipe."""
    records = np.load(job.file)
    watch.lap("load")
    context = multiprocessing.get_context(job.method)
    with ProcessPoolExecutor(job.workers, context, ready) as executor:
        batches = [Batch(records[start:stop]) for start, stop in cuts(len(records), job.workers)]
        with _written() as written:
            answers = asyncio.run(drive(executor, batches))
        done(answers, written())


def shared_memory(job: Job, watch: Stopwatch, done: Callable[..., None]) -> None:
    """Use an executor whose batches name the records' place in shared memory."""
    records = np.load(job.file)
    watch.lap("load")
    memory = SharedMemory(job.segment, create=True, size=records.nbytes)
    try:
        shared: Records = np.ndarray(records.shape, records.dtype, memory.buf)
        shared[:] = records
        count, dtype = len(records), records.dtype
        del shared, records
        watch.lap("copy")
        context = multiprocessing.get_context(job.method)
        with ProcessPoolExecutor(job.workers, context, ready) as executor:
            batches = [
                Batch(Slice(job.segment, count, dtype, start, stop))
                for start, stop in cuts(count, job.workers)
            ]
            with _written() as written:
                answers = asyncio.run(drive(executor, batches))
            done(answers, written())
    finally:
        memory.close()
        memory.unlink()


def onecopy(job: Job, watch: Stopwatch, done: Callable[..., None]) -> None:
    """Run the lines of ``pickled``, with a pool of this library as the executor."""
    from .. import Pool, load, share  # not at the top: workers of the others import this module

    if job.source == "file":
        records = load(job.file)
        watch.lap("load")
    else:
        plain = np.load(job.file)
        watch.lap("load")
        records = share(plain)
        watch.held = _held(records.nbytes)
        del plain
        watch.lap("copy")
    with Pool(job.workers, ready, method=job.method) as executor:
        batches = [Batch(records[start:stop]) for start, stop in cuts(len(records), job.workers)]
        answers = asyncio.run(drive(executor, batches))
        stats = executor.stats()
        done(answers, stats.bytes_sent + stats.bytes_received)


def _held(segment: int) -> int:
    """Return the memory of this process, and of a segment whose pages it has written but not
    mapped: PSS does not include these until a process reads them."""
    found = mappings()
    return found.own + segment if found else 0


VARIANTS = {"pickled": pickled, "SharedMemory": shared_memory, "onecopy": onecopy}


@contextmanager
def _written() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the bytes that this process has since written to pipes and
    files (proc(5), io)."""
    before = _characters()
    yield lambda: _characters() - before


def _characters() -> int:
    with open("/proc/self/io", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"wchar"))


def main(*words: str) -> None:
    """Run one way; the words are the fields of ``Job``."""
    way, method, source, workers, file, segment = words
    job = Job(way, method, source, int(workers), file, segment)
    multiprocessing.current_process().name = f"{job.way} {job.method}"
    if way == "onecopy":
        for name in ("data", "pool"):  # start-up, as the imports above are
            import_module(f"onecopy.{name}")
    narrate.trace()
    watch = Stopwatch()

    def done(answers: list[dict[str, float]], through_pipes: int) -> None:
        watch.parts["compute"] = perf_counter() - watch.last
        origin = watch.last
        lanes = [
            {key: value - origin for key, value in answer.items() if key not in ("worker", "sum")}
            | {"worker": answer["worker"]}
            for answer in answers
        ]
        result = sum(answer["sum"] for answer in answers)
        said = {"result": result, "through_pipes": through_pipes, "lanes": lanes, **watch.parts}
        said["held"] = watch.held
        print(json.dumps(said), flush=True)
        sys.stdin.readline()

    VARIANTS[way](job, watch, done)
