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
        places: dict[Site, int] = defaultdict(int)
        for row in process.of(kinds.POOL):
            places[process.site(row["d"])] += 1
        for site, times in places.items():
            mine = [p for p in case.pools if p.site == site and p.parent is process]
            if times >= _TIMES and len(mine) >= _TIMES and site.file:
                yield _finding(case, site, times, mine)


def _finding(case: Case, site: Site, times: int, pools: list[Pool]) -> Finding:
    leads = [pool.lead for pool in pools]
    saving = sum(leads) - max(leads)
    compute = sum(pool.parts.compute for pool in pools)
    return Finding(
        id="pool-in-loop",
        level="time",
        title=f"{times} pools were made at {site}, each for its own",
        evidence=f"Until their first workers were ready it took {seconds(sum(leads))} altogether, "
        f"for {seconds(compute)} of computing.",
        where=site,
        change=tuple(_lines(site)),
        advice="One pool lives as long as the program needs it.",
        saving=saving,
        of=case.wall,
        gain=arrow(case.wall, case.wall - saving),
        figures={"pools": times, "leads": sum(leads), "compute": compute},
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
