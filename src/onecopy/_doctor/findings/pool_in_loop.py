"""A pool that is made again and again at one place."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, arrow, seconds
from ..history import Site
from ..inside import kinds
from ..pools import Pool

_TIMES = 3


def look(case: Case) -> Iterator[Finding]:
    for process in case.history.processes:
        made = process.of(kinds.POOL)
        places: dict[Site, int] = defaultdict(int)
        for row in made:
            places[process.site(row["d"])] += 1
        for site, times in places.items():
            mine = [p for p in case.pools if p.site == site and p.parent is process]
            if times >= _TIMES and len(mine) >= _TIMES and site.file:
                yield _finding(case, site, times, mine)


def _cost(pool: Pool) -> float:
    """Seconds until the pool was made and its first worker was ready, and those of ``terminate``."""
    begun = pool.begin
    made = begun + round(pool.lead * 1e9)
    ended = 0
    if pool.record is not None:
        begun = min(begun, int(pool.record["t0"]))
        made = max(made, int(pool.record["t0"]) + int(pool.record["a"]))
        closed = pool.parent.of(kinds.CLOSED)
        closed = closed[(closed["a"] == pool.record["f"]) & (closed["t0"] >= made)]
        ended = int(closed[0]["b"]) if len(closed) else 0
    return (made - begun + ended) / 1e9


def _finding(case: Case, site: Site, times: int, pools: list[Pool]) -> Finding:
    costs = [_cost(pool) for pool in pools]
    whole = sum(costs) * times / len(pools)  # of very many pools, not all tasks were recorded
    saving = whole - max(costs)
    compute = sum(pool.parts.compute for pool in pools) * times / len(pools)
    return Finding(
        id="pool-in-loop",
        level="time",
        title=f"{times} pools were made at {site}, where one would do",
        evidence=f"To start and to end them took {seconds(whole)} altogether, for "
        f"{seconds(compute)} of computing.",
        where=site,
        change=tuple(_lines(site)),
        advice="One pool lives as long as the program needs it.",
        saving=saving,
        of=case.wall,
        gain=arrow(case.wall, case.wall - saving),
        figures={"pools": times, "costs": whole, "compute": compute},
        pool=pools[0],
    )


def _lines(site: Site) -> Iterator[Line]:
    made, loop = source.line(site), source.enclosing_loop(site)
    if loop is None:
        yield Line(site.line, " ", made)
        yield Line(0, " ", "# once, before what calls this, and handed on")
        return
    head = source.line(Site(site.file, loop.lineno, ""))
    yield Line(site.line, "-", made)
    yield Line(loop.lineno, "+", made)
    yield Line(loop.lineno, " ", ("    " if made.startswith("with ") else "") + head)
    inner = [node for node in ast.walk(loop) if isinstance(node, ast.With)]
    if inner and made.startswith("with "):
        for node in inner[0].body[:2]:
            yield Line(node.lineno, " ", "        " + source.line(Site(site.file, node.lineno, "")))
