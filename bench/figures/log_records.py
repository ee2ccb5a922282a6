"""Log records from two workers to a handler of the owner: 40,000 of them, and all are counted.

The standard library's way is the one of the logging cookbook ("Logging to a single file from
multiple processes"): a ``QueueHandler`` on each worker's root logger, set by the initializer, a
``multiprocessing.Queue``, and a ``QueueListener`` in the owner. onecopy needs no set-up. What a
single process takes for as many is measured beside them.
"""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Sense, Size

RECORDS, WORKERS = 40_000, 2
ALONE = "one process"

log = logging.getLogger("bench.log_records")


class Counting(logging.Handler):
    """A handler that counts records and drops them."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        Counting.count += 1


def speak(records: int) -> None:
    """The task."""
    for number in range(records):
        log.info("record %d of %s", number, records)


def to_queue(queue: Any) -> None:
    """A worker's set-up in the standard library's way."""
    root = logging.getLogger()
    root.handlers[:] = [logging.handlers.QueueHandler(queue)]
    root.setLevel(logging.INFO)


@contextmanager
def _counting() -> Iterator[logging.Handler]:
    root, handler = logging.getLogger(), Counting()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def _sample(run: Any) -> float:
    Counting.count = 0
    start = time.perf_counter()
    run()
    while Counting.count < RECORDS:
        time.sleep(0.0005)  # the listener's thread gives no sign
    return time.perf_counter() - start


@contextmanager
def _standard() -> Iterator[Sample]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with _counting() as handler, context.Pool(WORKERS, to_queue, (queue,)) as pool:
        listener = logging.handlers.QueueListener(queue, handler)
        listener.start()
        share = [RECORDS // WORKERS] * WORKERS
        yield lambda: _sample(lambda: pool.map(speak, share, chunksize=1))
        listener.stop()


@contextmanager
def _ours() -> Iterator[Sample]:
    with _counting(), pools.onecopy_pool(WORKERS) as pool:
        share = [RECORDS // WORKERS] * WORKERS
        yield lambda: _sample(lambda: pool.map(speak, share, chunksize=1))


@contextmanager
def _alone() -> Iterator[Sample]:
    with _counting():
        yield lambda: _sample(lambda: speak(RECORDS))


def contenders(_: Size) -> list[Contender]:
    return [
        Contender(ALONE, _alone),
        Contender(pools.POOL, _standard),
        Contender(pools.ONECOPY, _ours),
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"{RECORDS:,} records at the owner's handler, seconds (100,000 a second)",
            Sense.VALUE,
            RECORDS / 100_000,
            (pools.ONECOPY,),
        )
    ]


FIGURE = Figure(
    "log_records",
    f"{RECORDS:,} log records of two workers, each at a handler of the owner; seconds for all",
    contenders,
    bars,
)
