"""An iterator that is consumed to its end before the work begins, or before a result can be had.

``Pool.map`` makes a list of it first: until then the workers wait. ``Executor.map`` hands out work at
once, and keeps every item in memory until a worker has taken it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ...errors import article
from .. import source
from ..cures import imports, with_keyword
from ..estimate import replay
from ..finding import Case, Finding, Line, arrow, count, human_bytes, seconds
from ..history import Site, Table
from ..inside import kinds
from ..pools import Pool

# Of the program's time, and bytes, from which on it matters.
_PART, _GROWN = 0.1, 50e6
_COMPUTES = 0.6


def look(case: Case) -> Iterator[Finding]:
    for process in case.history.processes:
        for row in process.of(kinds.EAGER):
            pool = _pool(case, process.pid, row)
            if pool is None:
                continue
            site = process.site(row["d"])
            kind = process.text(row["e"])
            if int(row["g"]) == kinds.A_POOL and int(row["a"]) / 1e9 > _PART * case.wall:
                yield _late(case, pool, row, site, kind)
            elif int(row["c"]) >= _GROWN:
                yield _held(pool, row, site, kind)


def _pool(case: Case, pid: int, row: Table) -> Pool | None:
    """The pool that was given the items."""
    found = [
        pool
        for pool in case.pools
        if pool.parent.pid == pid
        and pool.record is not None
        and pool.record["f"] == row["f"]
        and int(pool.record["t0"]) <= int(row["t0"]) <= pool.finish
    ]
    return found[-1] if found else None


def _late(case: Case, pool: Pool, row: Table, site: Site, kind: str) -> Finding:
    made, there = int(row["a"]) / 1e9, int(row["t0"]) + int(row["a"])
    late = pool.done["begin"] >= there
    works, weights, lanes = pool.works[late], pool.weights[late], pool.lane_limit
    total, pieces = float((weights * works).sum()), float(weights.sum())
    computing = replay(works, lanes) if not pool.sampled else total / lanes
    together = max(made, computing)
    if int(row["h"]) > _COMPUTES * int(row["a"]) and pool.cpu_bound:
        together = max(together, (made + total) / min(case.facts.cpus, lanes + 1))
    number = int(row["b"]) or round(pieces)
    chunk = max(1, number // (16 * pool.lanes))
    # The last piece begins when the last item is there; the change makes the pieces smaller.
    together = min(made + computing, together + total / max(1, pieces, number // chunk))
    saving = made + computing - together
    call = source.call_at(site, ("map",))
    lines: list[Line] = []
    if call is not None and isinstance(call.func, ast.Attribute):
        owner = source.text_of(site, call.func.value)
        inner = ", ".join(source.text_of(site, each) for each in call.args[:2])
        text = f"{owner}.imap({inner}, chunksize={chunk})"
        if not source.is_taken_one_by_one(site.file, call):
            text = f"list({text})"
        before, after = source.replaced(site, call, text)
        lines = [Line(call.lineno, "-", before), Line(call.lineno, "+", after)]
    return Finding(
        id="eager-input",
        level="time",
        title=f"The workers waited {seconds(made)} until the last item had been made",
        evidence=f"{pool.kind}.map makes a list of {article(kind)} {kind} first: {count(number, 'item')}. "
        f"Then the tasks took {seconds(computing)}.",
        where=site,
        change=tuple(lines),
        advice="imap hands out each piece as soon as it is there.",
        saving=saving,
        of=made + computing,
        memory=float(row["c"]),
        gain=arrow(made + computing, together),
        figures={"items": number, "made": made, "computing": computing, "grown": float(row["c"])},
        pool=pool,
    )


def _held(pool: Pool, row: Table, site: Site, kind: str) -> Finding:
    grown, number = float(row["c"]), int(row["b"])
    lines = []
    if int(row["g"]) != kinds.A_POOL:
        lines = with_keyword(site, "buffersize", str(4 * pool.lanes))
        lines += [Line(0, " ", "# from Python 3.14 on, and in all with:"), *imports(pool)]
    return Finding(
        id="eager-input",
        level="memory",
        title=f"All of {article(kind)} {kind} was consumed at once: {human_bytes(int(grown))} more in memory",
        evidence=f"{count(number, 'task')} were made in {seconds(int(row['a']) / 1e9)}, before the "
        "first result could be had.",
        where=site,
        change=tuple(lines),
        advice="imap of a Pool reads only as far ahead as its pipe has room."
        if int(row["g"]) == kinds.A_POOL
        else "Then it reads on as results are fetched.",
        memory=grown,
        gain=f"up to {human_bytes(int(grown))} of memory",
        figures={"items": number, "grown": grown, "made": int(row["a"]) / 1e9},
        pool=pool,
    )
