"""Arguments that are pickled and copied, task by task: all of them by one thread of the parent.

The parent's sender is on the way of every task. When it takes most of the time and workers do not
overlap, it is the cause; otherwise what arguments cost is still worth saying. This is what is
taken for copy-on-write more often than anything else.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..cures import Heavy, heavy, share
from ..estimate import CHANGE, HANDLING, SHARE_RATE
from ..finding import Case, Finding, arrow, count, human_bytes, percent, seconds
from ..inside import kinds
from ..pools import Pool

# Bytes: below this, altogether and a task, pickling is no matter.
_ALL, _EACH = 4e6, 50_000
# The share of the wall that is worth a finding; that above which the sender alone is to blame.
_PART, _MOST = 0.15, 0.5


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        if pool.bytes < _ALL or pool.bytes / pool.count < _EACH:
            continue
        worker = pool.parts.unpickle + pool.parts.read
        if pool.sender >= _PART * pool.wall or worker >= _PART * pool.total:
            yield _finding(pool)


def _finding(pool: Pool) -> Finding:
    parts, found = pool.parts, heavy(pool, kinds.TASK)
    repeated = found is not None and found.times > 1
    unique = min(pool.bytes, found.whole) if repeated and found is not None else pool.bytes
    once = unique / SHARE_RATE
    works = pool.dealt(pool.lane_limit)
    predicted = pool.lead + works + pool.count * HANDLING / pool.lane_limit + once + CHANGE
    serial = pool.sender > _MOST * pool.wall and pool.overlap < 0.6 * min(pool.lanes, pool.cpus)
    what = found.said() if found is not None else "arguments"
    if serial:
        title = (
            f"The parent pickles for everybody: {percent(pool.sender, pool.wall)} of the time its "
            f"one sender was busy, and {pool.overlap:.1f} of {pool.lanes} workers computed at once"
        )
    else:
        title = f"Arguments are pickled and copied: {human_bytes(int(pool.bytes))} in {count(pool.count, 'task')}"
    return Finding(
        id="serial-sender" if serial else "arguments-pickled",
        level="time",
        title=title,
        evidence=(
            f"{human_bytes(int(pool.bytes / pool.count))} a task: {what}. "
            f"Parent: {seconds(pool.pickling)} pickling, {seconds(pool.writing)} writing. "
            f"Workers: {seconds(parts.read)} reading, {seconds(parts.unpickle)} unpickling, "
            f"{seconds(parts.waiting)} waiting, {seconds(parts.compute)} computing."
        ),
        where=pool.submit[0],
        change=tuple(share(pool, found)),
        advice=_advice(found),
        saving=max(0.0, pool.wall - predicted),
        of=pool.wall,
        memory=pool.bytes,
        gain=f"{arrow(pool.wall, predicted)}, {seconds(once)} of it to share "
        f"{human_bytes(int(unique))} once",
        figures={
            "sender": pool.sender,
            "wall": pool.wall,
            "overlap": pool.overlap,
            "bytes": pool.bytes,
            "unique_bytes": unique,
            "times": float(found.times if found else 0),
            "pickling": pool.pickling,
            "writing": pool.writing,
            "reading": parts.read,
            "unpickling": parts.unpickle,
            "computing": parts.compute,
        },
        pool=pool,
    )


def _advice(found: Heavy | None) -> str:
    if found is not None and found.owner:
        return (
            f"A method takes its whole {found.owner} along: share what is large in it, or make the "
            "function one of the module."
        )
    if found is not None and found.times == 1:
        return (
            "Each task has its own: onecopy copies it once, without a pipe. To send nothing, let the "
            "task make or load it."
        )
    return "Slices of shared data move no bytes. Of a file, oc.load instead: nothing is copied."
