"""The ways to do the main job, which ``file_to_sum`` times and ``peak_memory`` weighs.

Every way is a program of its own (``jobs``), run as a fresh process by the same interpreter,
and its result is compared with the sum that was found when the file was written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import records
from .face import Size

METHODS = ("spawn", "forkserver", "fork")
COUNTS = (2, 4, 8)


@dataclass(frozen=True)
class Way:
    """One program with its arguments.

    Attributes:
        name: in tables.
        job: a module of ``bench.jobs``.
        workers: how many.
        method: its start method, or what the job makes of it.
        copies: how often the data is in memory at most, beyond the file itself; rough,
            and only for leaving it out where that does not fit.
    """

    name: str
    job: str
    workers: int
    method: str
    copies: float = 0

    def arguments(self, size: Size) -> list[str]:
        file = str(records.path(size))
        return ["-m", f"bench.jobs.{self.job}", file, str(self.workers), self.method]

    def needs(self, size: Size) -> int:
        return int(self.copies * records.nbytes(size))

    def check(self, size: Size, output: str) -> None:
        """Raises ValueError unless the job has printed the right sum."""
        if not math.isclose(float(output), records.expected(size), rel_tol=1e-9):
            raise ValueError(f"{self.name} found {output.strip()}, not {records.expected(size)}")


def onecopy(method: str, workers: int) -> Way:
    return Way(f"onecopy, {method}, {workers}", "onecopy_blocks", workers, method)


def mpire(workers: int) -> Way:
    return Way(f"mpire, {workers}", "mpire_mapped", workers, "fork")


def joblib(workers: int) -> Way:
    return Way(f"joblib, {workers}", "joblib_mapped", workers, "loky")


THREADS = Way("two threads", "threads", 2, "thread")
ONECOPY = tuple(onecopy(method, workers) for method in METHODS for workers in COUNTS)
PICKLED_RECORDS = tuple(
    Way(f"executor, {method}, records, 8", "executor_slices", 8, method, copies=3)
    for method in ("spawn", "fork")
)
PICKLED_FIELD = tuple(
    Way(f"executor, {method}, field, 8", "executor_slices", 8, f"{method}:field", copies=1)
    for method in ("spawn", "fork")
)
EXECUTOR = (*PICKLED_RECORDS, *PICKLED_FIELD)
SHARED_MEMORY = tuple(
    Way(f"SharedMemory, {method}, 8", "shared_memory", 8, method, 1.1)
    for method in ("spawn", "fork")
)
