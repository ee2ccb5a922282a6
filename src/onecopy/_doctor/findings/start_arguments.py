"""Large arguments of processes, or of a pool's initializer, that are pickled for each fresh interpreter.

Under spawn and forkserver ``start`` does not return before the child has read them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from .. import source
from ..cures import imports, shared
from ..estimate import CHANGE, SHARE_RATE
from ..finding import Case, Finding, Line, arrow, human_bytes, seconds
from ..history import Process, Site, Table
from ..inside import kinds
from .startup import by_default

_ALL, _PART = 8e6, 0.15
# What a start takes without them.
_START = 0.05


def look(case: Case) -> Iterator[Finding]:
    for process in case.history.processes:
        rows, starts = process.of(kinds.STARTED_WITH), process.of(kinds.START)
        grouped: dict[Site, list[int]] = defaultdict(list)
        for row in rows:
            # The start during which it was pickled.
            during = starts[(starts["t0"] <= row["t0"]) & (starts["t0"] + starts["a"] >= row["t0"])]
            if len(during):
                grouped[process.site(during[0]["e"])].append(int(during[0]["a"]))
        for site, took in grouped.items():
            size = int(rows["b"].sum())
            spent = sum(took) / 1e9
            saving = spent - _START * len(took) - float(rows["f"].max()) / SHARE_RATE - CHANGE
            if size >= _ALL and spent >= _PART * case.wall and saving > 0:
                yield _finding(case, process, rows, site, spent, saving, len(took))


def _finding(
    case: Case,
    process: Process,
    rows: Table,
    site: Site,
    spent: float,
    saving: float,
    starts: int,
) -> Finding:
    size = int(rows["b"].sum())
    told = Counter(process.text(row["d"]) for row in rows).most_common(1)[0][0]
    kind, _, name = told.partition("\t")
    return Finding(
        id="start-arguments",
        level="time",
        title=f"Each of {starts} processes was given {human_bytes(size // len(rows))} at its start, "
        "pickled and copied",
        evidence=f"{human_bytes(size)} altogether ({kind}{f' {name!r}' if name else ''}): "
        f"{seconds(spent)} in start(), which waits until the child has read them; of it "
        f"{seconds(float(rows['a'].sum()) / 1e9)} pickling.",
        where=site,
        change=tuple(_change(case, site, name or "data")),
        advice="A shared array as an argument moves no bytes, under every start method."
        + by_default(process),
        saving=saving,
        of=case.wall,
        memory=float(size),
        gain=arrow(case.wall, case.wall - saving),
        figures={"bytes": size, "spent": spent, "starts": starts},
    )


def _change(case: Case, site: Site, name: str) -> Iterator[Line]:
    lines = [Line(0, "+", "import onecopy as oc"), *shared(site, site, name)]
    pool = next((pool for pool in case.pools if pool.site == site), None)
    if pool is not None:
        lines += imports(pool)
    else:
        lines.append(Line(site.line, " ", source.line(site)))
    yield from sorted(dict.fromkeys(lines), key=lambda each: each.number)
