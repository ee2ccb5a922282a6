"""Workers that have nothing left to do while the last piece is at work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..cures import with_keyword
from ..finding import Case, Finding, Line, arrow, seconds
from ..pools import Pool

_PART = 0.15
_BUSY, _MORE = 0.25, 2.0


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
    idle = float(np.ptp(np.sort(pool.done["done"])[-pool.lanes :])) / 1e9
    return idle <= pool.delay and float(pool.cpu.max()) < _MORE * float(np.median(pool.cpu))


def _look(pool: Pool) -> Finding | None:
    done, works = pool.done, pool.works
    lanes = min(pool.lane_limit, len(done))
    if lanes < 2 or pool.noted > 1.01:
        return None
    ends = np.sort(done["done"])[-lanes:]
    idle = float((ends[-1] - ends).sum()) / 1e9
    # Pieces of one phase; between two the program itself has work to do.
    if pool.pauses:
        last = max(end for _, end in pool.pauses)
        late = done["begin"] >= last
        if late.sum() < lanes:
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
    if saving <= 0:
        return None
    return _finding(pool, done[longest], idle / max(1, lanes - 1), most, saving, chunked, lanes)


def _finding(
    pool: Pool, row: object, idle: float, most: float, saving: float, chunked: bool, lanes: int
) -> Finding:
    task: np.void = row  # type: ignore[assignment]
    site, _ = pool.submit
    lines = with_keyword(site, "chunksize", "1") if chunked else []
    lines.append(
        Line(site.line, " ", "# and the longest first: sorted(items, key=..., reverse=True)")
    )
    which = f"{pool.function(task)}, {int(task['items'])} items" if chunked else pool.function(task)
    return Finding(
        id="straggler",
        level="time",
        title=f"{lanes - 1} of {lanes} workers had nothing to do for the last {seconds(idle)}",
        evidence=f"One piece ({which}) took {seconds(most)}, the median is "
        f"{seconds(float(np.median(pool.works)))}; {len(pool.done)} pieces for {pool.lanes} workers.",
        where=site,
        change=tuple(lines),
        advice="Smaller pieces and the longest first; onecopy's map cuts a chunk that takes too long."
        if chunked
        else "Start the longest first, or cut it up.",
        saving=saving,
        of=pool.wall,
        gain=f"{arrow(pool.wall, pool.wall - saving)} at best",
        figures={"idle": idle, "longest": most, "pieces": float(len(pool.done)), "wall": pool.wall},
        pool=pool,
    )
