"""The parts of a figure: a few contenders that do the same work, and the bars to be met.

A contender is opened (its pool is made), asked for one sample at a time, and closed. All
contenders of a figure are open together, so that the runner can take their samples in
turn. A sample is one number: seconds unless the figure says otherwise, smaller is better.

A bar compares medians and ratios of samples; the arithmetic is in ``ratios``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

Sample = Callable[[], float]

MB = 1_000_000
DEFAULT_RECORDS = 20_000_000
FULL_RECORDS = 200_000_000


@dataclass(frozen=True)
class Size:
    """The size of a run.

    Attributes:
        records: records in the file of the main job.
        directory: where that file is kept between runs.
    """

    records: int
    directory: Path

    @property
    def full(self) -> bool:
        """True at the size that the bars of the main job are set for."""
        return self.records >= FULL_RECORDS


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: in tables, and what bars refer to.
        open: a context manager that gives the function which takes a sample.
        rounds: at most this many samples are taken; for what takes very long.
        warm: samples that are taken first and thrown away.
        needs: bytes of free memory without which it is left out.
    """

    name: str
    open: Callable[[], AbstractContextManager[Sample]]
    rounds: int | None = None
    warm: int = 1
    needs: int = 0


class Sense(Enum):
    """The meaning of a bar's number."""

    AT_MOST = "ours / theirs, at most"
    AT_LEAST = "theirs / ours, at least"
    OVER = "ours - theirs, at most"
    VALUE = "ours, at most"


@dataclass(frozen=True)
class Bar:
    """A bar: every one of ``ours`` against the best (lowest median) of ``theirs``.

    The worst of ours is what is shown and judged.
    """

    text: str
    sense: Sense
    limit: float
    ours: tuple[str, ...]
    theirs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: as in ``--only``.
        what: one line on what is measured and how.
        contenders: made for a size; peers that fork come first, while there are few threads.
        bars: made for a size as well.
        unit: of the samples: "s", "B" or "" (a count).
        rounds: samples per contender unless the user says otherwise.
        sized: do its bars hold for the full size alone?
    """

    name: str
    what: str
    contenders: Callable[[Size], list[Contender]]
    bars: Callable[[Size], list[Bar]]
    unit: str = "s"
    rounds: int = 7
    sized: bool = False


def per_call(call: Callable[[], object], times: int, before: int = 0) -> float:
    """Seconds per call, over ``times`` calls after ``before`` that are not timed."""
    for _ in range(before):
        call()
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


@contextmanager
def plain(sample: Sample) -> Iterator[Sample]:
    """A contender that has nothing to open."""
    yield sample
