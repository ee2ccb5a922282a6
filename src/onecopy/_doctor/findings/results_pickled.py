"""Large results, which workers pickle and one thread of the parent unpickles."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import article
from ..cures import heavy, imports
from ..estimate import CHANGE, HANDLING, SHARE_RATE
from ..finding import Case, Finding, Line, arrow, count, human_bytes, seconds
from ..inside import kinds
from ..pools import Pool

_ALL, _EACH, _PART = 4e6, 50_000, 0.15


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        if pool.result_bytes < _ALL or pool.result_bytes / pool.count < _EACH:
            continue
        worker = pool.parts.pickle + pool.parts.write
        if pool.receiving >= _PART * pool.wall or worker >= _PART * pool.total:
            yield _finding(pool)


def _finding(pool: Pool) -> Finding:
    parts, found = pool.parts, heavy(pool, kinds.RESULT)
    works = pool.lead + pool.dealt(pool.lane_limit) + pool.count * HANDLING
    predicted = min(pool.wall, works)
    # By import alone: a copy on either side is left, of which workers make theirs side by side.
    copies = (1 + 1 / pool.lane_limit) * pool.result_bytes / SHARE_RATE
    alone = min(pool.wall, predicted + copies + CHANGE)
    back = pool.tasks[pool.tasks["back"] > 0]
    name = pool.function(pool.tasks[0])
    lines = [
        Line(0, " ", f"# reduce in {name}, or write in place: out = oc.empty((n, ...), dtype)"),
        Line(0, " ", f"# before the pool, and out[i] = ... in {name}"),
        Line(0, " ", "# by import alone, half of it:"),
        *imports(pool),
    ]
    return Finding(
        id="results-pickled",
        level="time",
        title=f"Results are pickled and copied: {human_bytes(int(pool.result_bytes))} in "
        f"{count(pool.count, 'task')}",
        evidence=(
            f"{human_bytes(int(pool.result_bytes / pool.count))} each"
            + (f", {article(found.kind)} {found.kind}" if found is not None else "")
            + f". Workers: {seconds(parts.pickle)} pickling, {seconds(parts.write)} writing, or "
            f"waiting to. Parent: {seconds(float(back['result_read'].sum()) / 1e9)} reading, "
            f"{seconds(float(back['result_unpickle'].sum()) / 1e9)} unpickling, in one thread."
        ),
        where=pool.submit[0],
        change=tuple(lines),
        advice="What the parent does not need should not be sent: the sum instead of the parts.",
        saving=pool.wall - predicted,
        of=pool.wall,
        memory=pool.result_bytes,
        gain=f"{arrow(pool.wall, predicted)}; by import alone {seconds(alone)}",
        figures={
            "bytes": pool.result_bytes,
            "receiving": pool.receiving,
            "pickling": parts.pickle,
            "writing": parts.write,
            "wall": pool.wall,
            "predicted_by_import": alone,
        },
        pool=pool,
    )
