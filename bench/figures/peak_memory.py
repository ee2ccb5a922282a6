"""Peak memory of the main job: the greatest sum of PSS over all its processes.

PSS counts a page that several processes map once in all, so that the sum is what the job
takes of the machine. Read from outside, in runs of their own that are not timed
(``process.peak_pss``). The peers are those of ``file_to_sum``, once each.

The allowance of the bar is 1.05 times the data plus 40 MB for each worker; the owner and
whatever else the library starts has to fit into that as well.
"""

from __future__ import annotations

from .. import main_job, records
from ..face import MB, Bar, Contender, Figure, Sense, Size, plain
from ..main_job import COUNTS, EXECUTOR, METHODS, SHARED_MEMORY, THREADS, Way
from ..process import peak_pss

OURS = tuple(main_job.onecopy(method, count) for method in METHODS for count in (1, *COUNTS))
THEIRS = (
    THREADS,
    *(main_job.mpire(count) for count in COUNTS),
    *(main_job.joblib(count) for count in COUNTS),
    *SHARED_MEMORY,
    *EXECUTOR,
)


def _peak(way: Way, size: Size) -> float:
    records.make(size)
    records.warm(size)
    return float(peak_pss(way.arguments(size)))


def _contender(way: Way, size: Size) -> Contender:
    return Contender(
        way.name, lambda: plain(lambda: _peak(way, size)), warm=0, needs=way.needs(size)
    )


def contenders(size: Size) -> list[Contender]:
    return [_contender(way, size) for way in (*THEIRS, *OURS)]


def bars(size: Size) -> list[Bar]:
    found = []
    for count in (1, *COUNTS):
        allowed = 1.05 * records.nbytes(size) + 40 * MB * count
        ours = tuple(main_job.onecopy(method, count).name for method in METHODS)
        text = f"1.05 x data + 40 MB per worker, {count} worker{'s' * (count > 1)}"
        found.append(Bar(text, Sense.VALUE, allowed, ours))
    return found


FIGURE = Figure(
    "peak_memory",
    "the main job's greatest sum of PSS over all its processes",
    contenders,
    bars,
    unit="B",
    rounds=1,
)
