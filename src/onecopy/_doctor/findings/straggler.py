"""Workers that have nothing left to do while the last piece is at work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cures import with_keyword
from ..finding import Case, Finding, Line, arrow, seconds
from ..history import Table
from ..pools import Pool
from ..rings import LONG

_PART = 0.15
_BUSY, _MORE = 0.25, 2.0
# Of the idle time, how much of it one piece lasts at least, if it is the cause; seconds.
_CAUSE, _LONG = 0.5, LONG / 1e9
# Nanoseconds without a message that are the program's own work.
_SURE = 100_000_000


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        found = _look(pool)
        if found is not None and not _may_have_waited(case, pool):
            yield found


def _may_have_waited(case: Case, pool: Pool) -> bool:
    """Return True if the last ones may only have waited for a CPU, which other programs had.

    That is where workers waited as long for one as others were idle, and no task computed more than
    its like.
    """
    if case.facts.foreign <= _BUSY or not len(pool.cpu):
        return False
    idle = float(np.ptp(_ends(pool)[-pool.lanes :])) / 1e9
    return idle <= pool.delay and float(pool.cpu.max()) < _MORE * float(np.median(pool.cpu))


def _ends(pool: Pool) -> Table:
    """The ends of tasks in order, as far as they were noted; the last of each worker in any case.

    What came before a worker's last task, unseen, had ended when that began.
    """
    ends = pool.done["done"]
    if pool.sampled:
        last = [each.current for each in pool.workers if each.current is not None]
        ends = np.array([time for each in last for time in (each.begin, each.ended)], "i8")
    found: Table = np.sort(ends)
    return found


def _look(pool: Pool) -> Finding | None:
    done, works = pool.done, pool.works
    lanes = min(pool.lane_limit, len(done))
    if lanes < 2 or not pool.knows_long_tasks:
        return None
    ends = _ends(pool)[-lanes:]
    idle = float((ends[-1] - ends).sum()) / 1e9
    # Pieces of one phase; between two the program itself has work to do.
    pauses = pool.pauses
    if pool.sampled:  # a parent that waits for a CPU hands nothing out either
        pauses = [each for each in pauses if each[1] - each[0] > _SURE]
    if pauses:
        last = max(end for _, end in pauses)
        late = done["begin"] >= last
        if late.sum() < (1 if pool.sampled else lanes):
            return None
        done, works = done[late], works[late]
    if idle < _PART * lanes * pool.wall:
        return None
    longest = int(np.argmax(works))
    chunked = int(done["items"].max()) > 1
    total, most = float(works.sum()), float(works[longest])
    best = total / lanes if chunked else max(total / lanes, most)
    spent = (int(done["done"].max()) - int(done["begin"].min())) / 1e9
    saving = spent - best
    if pool.sampled:
        # Short pieces were not all noted, nor every pause between phases: it is told from the idle time.
        saving = idle / lanes if chunked else min(idle / lanes, spent - most)
        if most < max(_LONG, _CAUSE * idle / (lanes - 1)):
            return None  # no piece was long enough to keep the others waiting
    if saving <= 0:
        return None
    return _finding(pool, done[longest], idle / max(1, lanes - 1), most, saving, chunked, lanes)


def _finding(
    pool: Pool, row: object, idle: float, most: float, saving: float, chunked: bool, lanes: int
) -> Finding:
    task: np.void = row  # type: ignore[assignment]
    site, _ = pool.submit
    lines = with_keyword(site, "chunksize", "1") if chunked else []
    lines.append(Line(0, " ", "# and the longest first: sorted(items, key=..., reverse=True)"))
    which = f"{pool.function(task)}, {int(task['items'])} items" if chunked else pool.function(task)
    return Finding(
        id="straggler",
        level="time",
        title=f"{lanes - 1} of {lanes} workers had nothing to do for the last {seconds(idle)}",
        evidence=f"One piece ({which}) took {seconds(most)}, the median is "
        f"{seconds(float(np.median(pool.works)))}; {pool.count:,} pieces for {pool.lanes} workers.",
        where=site,
        change=tuple(lines),
        advice="Smaller pieces and the longest first; onecopy's map cuts a chunk that takes too long."
        if chunked
        else "Start the longest first, or cut it up.",
        saving=saving,
        of=pool.wall,
        gain=f"{arrow(pool.wall, pool.wall - saving)} at best",
        figures={"idle": idle, "longest": most, "pieces": float(pool.count), "wall": pool.wall},
        pool=pool,
    )
