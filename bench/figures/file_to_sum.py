"""The main job: a file of records to the sum of one field, as a whole process.

Timed from outside, from before the process is made to its end. How each peer is set up, and
which of its documents says so, is in its own program (``jobs``); the file is in the page
cache for all of them. The executor, which pickles slices, is here as published, once
with whole records, and besides with the one field alone, which is a third of the bytes.

The executor takes up to a minute and SharedMemory several seconds at the full size: these
run in the first rounds only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import main_job, records
from ..face import Bar, Contender, Figure, Sample, Sense, Size
from ..main_job import (
    COUNTS,
    EXECUTOR,
    METHODS,
    ONECOPY,
    PICKLED_FIELD,
    PICKLED_RECORDS,
    SHARED_MEMORY,
    THREADS,
    Way,
)
from ..process import timed


@contextmanager
def _timed(way: Way, size: Size) -> Iterator[Sample]:
    records.make(size)

    def sample() -> float:
        records.warm(size)
        taken, output = timed(way.arguments(size))
        way.check(size, output)
        return taken

    yield sample


def _contender(way: Way, size: Size, rounds: int | None = None) -> Contender:
    return Contender(
        way.name,
        lambda: _timed(way, size),
        rounds=rounds,
        warm=0 if rounds else 1,
        needs=way.needs(size),
    )


def contenders(size: Size) -> list[Contender]:
    quick = [main_job.mpire(n) for n in COUNTS] + [main_job.joblib(n) for n in COUNTS]
    return [
        _contender(THREADS, size),
        *(_contender(way, size) for way in (*quick, *ONECOPY)),
        *(_contender(way, size, rounds=2) for way in SHARED_MEMORY),
        *(_contender(way, size, rounds=1 if size.full else 3) for way in EXECUTOR),
    ]


def _names(ways: tuple[Way, ...] | list[Way]) -> tuple[str, ...]:
    return tuple(way.name for way in ways)


def _near(text: str, count: int, limit: float, theirs: Way) -> Bar:
    ours = _names([main_job.onecopy(method, count) for method in METHODS])
    return Bar(f"{count} workers, of {text}", Sense.AT_MOST, limit, ours, (theirs.name,))


def _faster(text: str, limit: float, theirs: tuple[Way, ...]) -> Bar:
    return Bar(f"times faster than {text}", Sense.AT_LEAST, limit, _names(ONECOPY), _names(theirs))


def bars(_: Size) -> list[Bar]:
    return [
        _faster("executor, records pickled", 12, PICKLED_RECORDS),
        _faster("executor, field pickled", 12, PICKLED_FIELD),
        _faster("SharedMemory", 10, SHARED_MEMORY),
        *(_near("mpire's time", count, 1.1, main_job.mpire(count)) for count in COUNTS),
        *(_near("joblib's time", count, 1.1, main_job.joblib(count)) for count in COUNTS),
        _near("two threads' time", 2, 1.25, THREADS),
        _near("two threads' time", 8, 1.5, THREADS),
    ]


FIGURE = Figure(
    "file_to_sum",
    "a file of records to the sum of one field; whole process, start-up included",
    contenders,
    bars,
    rounds=5,
    sized=True,
)
