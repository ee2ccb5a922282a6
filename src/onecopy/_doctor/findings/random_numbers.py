"""Workers that draw the same numbers from NumPy's global generator.

The generator's state is inherited by a fork, and set alike where main seeds it. Workers whose tasks
seed it themselves begin alike too, and do not draw from what they began with: so it is looked whether
the later state can be reached from the first one by drawing (MT19937 makes 624 words at a time, each
batch of the one before).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..finding import Case, Finding, Line
from ..history import Process
from ..inside import kinds

# Batches of 624 words that are tried: 12 million words, a third of a second.
_BATCHES = 20_000


def look(case: Case) -> Iterator[Finding]:
    begun: dict[int, list[Process]] = defaultdict(list)
    for process in case.history.workers():
        rows = process.of(kinds.RNG)
        if len(rows) > 1 and int(rows[0]["a"]) == 0:
            begun[int(rows[0]["b"])].append(process)
    for some in begun.values():
        if len(some) > 1 and sum(_has_drawn(each) for each in some[:4]) > 1:
            yield _finding(case, some)


def _state(process: Process, row: np.void) -> tuple[str, bytes]:
    kind, _, rest = process.text(row["d"]).partition("\t")
    _, _, keys = rest.partition("\t")
    return kind, bytes.fromhex(keys)


def _has_drawn(process: Process) -> bool:
    rows = process.of(kinds.RNG)
    (kind, first), (_, later) = _state(process, rows[0]), _state(process, rows[1])
    if kind != "MT19937":
        return False
    if first == later:
        return True
    generator: Any = np.random.RandomState()
    keys = np.frombuffer(first, "<u4")
    generator.set_state(("MT19937", keys, 624))
    wanted = np.frombuffer(later, "<u4")[:4].tobytes()
    for _ in range(_BATCHES):
        generator.bytes(4 * 624)
        if generator.get_state(legacy=True)[1][:4].tobytes() == wanted:
            return True
    return False


def _finding(case: Case, some: list[Process]) -> Finding:
    pool = next((pool for pool in case.pools if some[0] in pool.workers), None)
    site = pool.submit[0] if pool is not None else some[0].started_at
    name = pool.function(pool.tasks[0]) if pool is not None else some[0].target
    return Finding(
        id="same-random-numbers",
        level="wrong",
        title=f"{len(some)} workers drew the same random numbers",
        evidence="NumPy's global generator had one state in all of them when they began, and they "
        "have drawn from it since.",
        where=site,
        change=(
            Line(0, "+", "seeds = np.random.SeedSequence(1).spawn(n)"),
            Line(site.line, "+", f"pool.map({name}, seeds)"),
            Line(0, "+", "rng = np.random.default_rng(seed)    # in the function: one each task"),
        ),
        advice="onecopy's workers are given seeds of their own.",
        figures={"workers": len(some)},
        pool=pool,
    )
