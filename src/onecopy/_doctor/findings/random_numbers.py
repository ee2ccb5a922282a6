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

from .. import source
from ..finding import Case, Finding, Line
from ..history import Process, Site
from ..inside import kinds
from ..pools import Pool

# Batches of 624 words that are tried: 12 million words, a third of a second.
_BATCHES = 20_000


def look(case: Case) -> Iterator[Finding]:
    begun: dict[int, list[Process]] = defaultdict(list)
    for process in case.history.processes:
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
    by_hand = some[0].site(some[0].of(kinds.RNG)[0]["e"])
    site = by_hand
    if not by_hand.file:
        site = pool.submit[0] if pool is not None else some[0].started_at
    return Finding(
        id="same-random-numbers",
        level="wrong",
        title=f"{len(some)} {'forked processes' if by_hand.file else 'workers'} drew the same random "
        "numbers",
        evidence="NumPy's global generator had one state in all of them when they began, and they "
        "have drawn from it since.",
        where=site,
        change=tuple(_change(pool, site, some[0])),
        advice="np.random.seed() takes another seed from the system in each process. Numbers that "
        "can be had again come from np.random.SeedSequence(1).spawn(n), a seed for each task. "
        "onecopy's workers are given seeds of their own.",
        figures={"workers": len(some)},
        pool=pool,
    )


def _change(pool: Pool | None, site: Site, process: Process) -> Iterator[Line]:
    """Each process seeds its generator first thing."""
    seed = f"{source.name_in(site.file, 'numpy') or 'np'}.random.seed"
    if pool is None:
        yield Line(site.line, " ", source.line(site))
        where = f"in {process.target}" if process.target else "in the child"
        yield Line(0, "+", f"{seed}()    # first thing {where}")
        return
    call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
    given = call is not None and (
        len(call.args) > 1 or any(each.arg == "initializer" for each in call.keywords)
    )
    if call is None or given:
        yield Line(pool.site.line, " ", source.line(pool.site))
        yield Line(0, "+", f"{seed}()    # first thing in its initializer")
        return
    before, after = source.with_keyword(pool.site, call, "initializer", seed)
    yield Line(call.lineno, "-", before)
    yield Line(call.lineno, "+", after)
