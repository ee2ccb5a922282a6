"""Memory of forked processes: pages that they no longer have in common with their parent, and
totals that mislead.

Of a reading, what was copied is private dirty bytes, less what was added since the fork. Readings
are expensive and faults cheap: a process whose last reading was long before its end is told from
its page faults, and only where those before were copies in the main, since new memory faults too.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, human_bytes
from ..history import NOWHERE, Process

_INHERITED, _COPIED, _PART = 20e6, 50e6, 0.2
_PAGE = 4096
_SURE = 0.5
_TIMES, _MORE = 1.3, 150e6


def look(case: Case) -> Iterator[Finding]:
    copied = list(_copied(case))
    yield from copied
    yield from _totals(case, bool(copied))


def _copied(case: Case) -> Iterator[Finding]:
    seen = [
        (process, *_of(case, process))
        for process in case.history.processes
        if process.forked and not process.manager and process.inherited >= _INHERITED
    ]
    inherited = float(sum(process.inherited for process, *_ in seen))
    read = [(copied, at) for _, copied, at, _ in seen if at > 10e6]
    if not read:
        return
    rate = min(1.0, sum(copied for copied, _ in read) / sum(at for _, at in read))
    rate = rate if rate >= _SURE else 0.0
    copied = sum(
        min(float(process.inherited), had + rate * max(0.0, faults - at))
        for process, had, at, faults in seen
    )
    if copied >= _COPIED and copied >= _PART * inherited:
        yield _finding(case, len(seen), len(read), copied, inherited)


def _of(case: Case, process: Process) -> tuple[float, float, float]:
    """Bytes copied by the last reading; bytes of faults by then; of faults altogether."""
    looks, rolls = case.history.looks.get(process.pid), case.history.rolls.get(process.pid)
    faults = float(looks["faults"].max()) * _PAGE if looks is not None else 0.0
    if rolls is None:
        return 0.0, 0.0, faults
    added = (rolls["anonymous"] - process.inherited).clip(0)
    each = (rolls["dirty"] - added).clip(0)
    return float(each.max()), float(rolls["faults"].max()) * _PAGE, faults


def _large(case: Case) -> list[tuple[str, str, int, str]]:
    """Large globals of main: name, type, size, unit."""
    found = []
    for process in case.history.processes:
        for key in process.counters:
            words = key.split("\t")
            if words[0] == "big":
                found.append((words[1], words[2], int(words[3]), words[4]))
    return sorted(set(found), key=lambda each: -each[2])


def _finding(case: Case, processes: int, read: int, copied: float, inherited: float) -> Finding:
    objects = [each for each in _large(case) if each[3] == "items"]
    name = objects[0][0] if objects else "data"
    places = [pool.site for pool in case.pools] + [
        each.started_at for each in case.history.workers()
    ]
    site = next((each for each in places if each.file), NOWHERE)
    named = (
        f" Of main's globals {name!r} is a {objects[0][1]} with {objects[0][2]:,} entries."
        if objects
        else ""
    )
    return Finding(
        id="copy-on-write",
        level="memory",
        title=f"{processes} forked processes copied {human_bytes(int(copied))} of what they had "
        "inherited: reading a Python object writes its reference count",
        evidence=f"{human_bytes(int(copied / processes))} each, of "
        f"{human_bytes(int(inherited / processes))} that they had from their parent, as measured in "
        f"{read} of them; the kernel copies each page that is written to.{named}",
        where=site,
        change=(
            Line(0, "+", "import onecopy as oc"),
            Line(
                site.line, "+", f"{name} = oc.share({name})    # before the processes are started"
            ),
            Line(site.line, " ", source.line(site) or "process.start()"),
        ),
        advice="A shared list of dicts exists once and is never written to; NumPy or Arrow "
        "columns do as well.",
        memory=copied,
        gain=f"{human_bytes(int(copied))} of memory",
        figures={"copied": copied, "inherited": inherited, "processes": processes},
    )


def _totals(case: Case, copied: bool) -> Iterator[Finding]:
    latest: dict[int, tuple[int, float, float]] = {}
    rss = pss = 0.0
    processes = 0
    for roll in sorted(case.history.readings.rolls, key=lambda each: each.time):
        latest[roll.pid] = roll.time, float(roll.rss), float(roll.pss)
        now = [each for each in latest.values() if roll.time - each[0] < 1.5e9]
        if sum(each[2] for each in now) > pss:
            rss, pss = sum(each[1] for each in now), sum(each[2] for each in now)
            processes = len(now)
    if pss and rss > _TIMES * pss and rss - pss > _MORE:
        inherited = _large(case)
        about = (
            f" {inherited[0][0]!r}, which they have from their parent, is there once."
            if inherited and not copied and any(each.forked for each in case.history.processes)
            else ""
        )
        yield Finding(
            id="rss-misleads",
            level="note",
            title=f"It looks like {human_bytes(int(rss))} of memory, and is {human_bytes(int(pss))}",
            evidence=f"{processes} processes at the peak: top and ps count what processes share "
            f"once for each of them (RSS); PSS adds up.{about}",
            advice="Nothing to do. onecopy top shows the PSS of any process tree.",
            gain="none: it is not there twice",
            figures={"rss": rss, "pss": pss},
        )
