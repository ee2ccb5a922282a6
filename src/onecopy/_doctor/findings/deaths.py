"""Workers that died, what they ran, and who waits for them; messages that cannot be sent."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator

from ...errors import signal_name
from .. import source
from ..cures import imports, imports_at
from ..finding import Case, Finding, Line, human_bytes, seconds
from ..history import NOWHERE, Process, Site, Table
from ..inside import kinds
from ..joined import KINDS
from ..pools import Pool

# Signals of a fault in the program's own code, or a library's.
_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
_FAULT_LINE = "python -X faulthandler prints the line at which it happens. "
_EARLY = 1_000_000_000


def look(case: Case) -> Iterator[Finding]:
    for process in case.history.workers():
        number = -process.exit if process.exit is not None and process.exit < 0 else 0
        if number == signal.SIGINT or (number and number == process.ended_by):
            continue  # by Ctrl-C, or because the parent wanted it
        if case.facts.interrupted and process.stop > case.facts.interrupted:
            continue  # that is how it ended
        if number == signal.SIGTERM and case.facts.status < 0:
            continue
        doing = _doing(case, process)
        if process.exit in (0, None) and not _gone_early(case, process):
            continue
        if process.exit is not None and process.exit > 0 and doing is None:
            if process.exit == 1 and not any(process in pool.workers for pool in case.pools):
                yield _failed(case, process)
            continue
        yield _died(case, process, number, doing)
    yield from _messages(case)


def _doing(case: Case, process: Process) -> tuple[Pool, object] | None:
    for pool in case.pools:
        tasks = pool.tasks
        mine = tasks[(tasks["worker"] == process.pid) & (tasks["begin"] > 0) & (tasks["done"] == 0)]
        if len(mine) and not process.end:
            return pool, mine[-1]
    return None


def _gone_early(case: Case, process: Process) -> bool:
    """Return True if its end was not recorded, and it was gone long before the program."""
    looks = case.history.looks.get(process.pid)
    if process.exit is not None or process.end or not process.boot or looks is None:
        return False
    if process.ended_by or process.pid in case.facts.alive:
        return False
    return (
        case.facts.ended - int(looks["time"].max()) > _EARLY and _doing(case, process) is not None
    )


def _failed(case: Case, process: Process) -> Finding:
    site = process.started_at
    started = re.search(r"([\w.\[\]]+)\.start\(", source.line(site))
    name = started.group(1) if started else "process"
    parent = process.parent.pid if process.parent is not None else 0
    waits = any(each.pid == parent and each.call == "read" for each in case.history.readings.stuck)
    hangs = (
        f" The process that started it waits for a message, and nothing has run for "
        f"{seconds(case.history.readings.idle)}."
        if waits
        else ""
    )
    return Finding(
        id="process-failed",
        level="crash",
        title=f"{process.describe()} ended with exit code {process.exit}, and nothing looks at it",
        evidence=f"It was to run {process.target or 'its target'}; its traceback is on standard error."
        f"{hangs}",
        where=site,
        change=(
            Line(site.line, " ", source.line(site)),
            Line(0, "+", f"{name}.join(); assert {name}.exitcode == 0"),
            Line(0, " ", "# or a pool, whose calls raise what the function raised"),
        ),
        figures={"exit": float(process.exit or 0)},
    )


def _died(case: Case, process: Process, number: int, doing: tuple[Pool, object] | None) -> Finding:
    if number:
        how = f"by {signal_name(number)}"
    else:
        how = f"with exit code {process.exit}" if process.exit else "without a word"
    what, waits, pool = "", False, None
    if doing is not None:
        pool, row = doing
        what = f" while it ran {pool.function(row)}"
        waits = pool.kind == "Pool" and int(row["back"]) == 0  # type: ignore[index]
    rolls = case.history.rolls.get(process.pid)
    held = f", {human_bytes(int(rolls['pss'][-1]))} PSS when last read" if rolls is not None else ""
    kills = case.facts.oom_kills
    oom = f" The kernel's out-of-memory killer struck {kills} times meanwhile." if kills else ""
    never = (
        " multiprocessing.Pool never notices: the caller waits for this result for ever."
        if waits
        else " All tasks of the executor that are not done fail with BrokenProcessPool."
        if pool is not None and pool.kind == "ProcessPoolExecutor"
        else ""
    )
    return Finding(
        id="worker-killed",
        level="crash",
        title=f"{process.describe()} died {how}{what}",
        evidence=f"It had run for {seconds((process.stop - process.born) / 1e9)}{held}.{oom}{never}",
        where=pool.submit[0] if pool is not None else process.started_at,
        change=tuple(imports(pool)) if pool is not None else (),
        advice=(_FAULT_LINE if number in _FAULTS else "")
        + "With onecopy the call fails with WorkerDied, which names the signal, and the pool goes on; "
        "retries= runs it again.",
        figures={"signal": number, "oom_kills": kills, "waits": float(waits)},
        pool=pool,
    )


def _messages(case: Case) -> Iterator[Finding]:
    """Messages that could not be pickled, or not be rebuilt."""
    found: Counter[tuple[int, str]] = Counter()
    first: dict[tuple[int, str], tuple[Process, Table]] = {}
    for process in case.history.processes:
        for row in process.of(kinds.ERROR):
            key = int(row["a"]), process.text(row["d"])
            found[key] += 1
            first.setdefault(key, (process, row))
    for (what, text), times in found.items():
        process, row = first[what, text]
        told = f"{text} ({'once' if times == 1 else f'{times:,} times'}, in {process.describe()})."
        if what == kinds.PICKLE:
            yield _not_pickled(process, row, text, told)
        elif what == kinds.UNPICKLE and "EOFError" not in text:
            yield _not_rebuilt(case, process, text, told)


def _given_at(process: Process, row: Table) -> tuple[Site, Site, str]:
    """The place from which a message came: where the program has sent it, or given work to a pool; where
    the pool was made, and its kind."""
    pools, submits = process.of(kinds.POOL), process.of(kinds.SUBMIT)
    pools, submits = pools[pools["t0"] <= row["t0"]], submits[submits["t0"] <= row["t0"]]
    sent = process.site(row["e"])
    if not sent.file and len(submits):
        sent = process.site(submits[-1]["d"])
    if not len(pools):
        return sent, NOWHERE, ""
    return sent, process.site(pools[-1]["d"]), KINDS.get(int(pools[-1]["c"]), "")


def _not_pickled(process: Process, row: Table, text: str, told: str) -> Finding:
    site, made, kind = _given_at(process, row)
    by_value = re.search(r"local object|<lambda>|attribute lookup|not the same object", text)
    lines: list[Line] = []
    name = re.search(r"<locals>\.(\w+)'", text)
    file = site.file or made.file
    if name is not None and file:
        for number in source.defined(file, name.group(1))[:1]:
            head = source.line(Site(file, number, ""))
            lines = [
                Line(number, " ", head),
                Line(0, " ", "# out of the function, into the module; or:"),
            ]
    if by_value:
        lines += imports_at(made, kind) if kind else [Line(0, "+", "from onecopy import Pool")]
        advice = "onecopy sends lambdas, closures and notebook functions by value."
    else:
        if site.line:
            lines = [Line(site.line, " ", source.line(site))]
        lines.append(Line(0, " ", "# each worker makes its own, once: Pool(initializer=...)"))
        advice = (
            "Locks, files and connections belong to one process: hand over what they are made from."
        )
    what = "A result" if process.worker and not len(process.of(kinds.POOL)) else "A task"
    if not kind and not process.worker:
        what = "An argument of a process, or of a queue,"
    return Finding(
        id="not-picklable",
        level="crash",
        title=f"{what} could not be pickled",
        evidence=told,
        where=site,
        change=tuple(lines),
        advice=advice,
    )


def _not_rebuilt(case: Case, process: Process, text: str, told: str) -> Finding:
    """An exception that asks for other arguments than it keeps, or a name that a worker does not have."""
    files = dict.fromkeys(site.file for pool in case.pools for site in (pool.site, pool.submit[0]))
    files |= dict.fromkeys(each.started_at.file for each in case.history.workers())
    kind = re.search(r"(\w+)\.__init__\(\)", text)
    where, lines = NOWHERE, []
    for file in files if kind is not None else ():
        for number in source.defined(file, kind.group(1))[:1]:  # type: ignore[union-attr]
            where = Site(file, number, "")
            lines = _reduce(where)
    if kind is None:
        return Finding(
            id="not-unpicklable",
            level="crash",
            title="A message could not be rebuilt where it arrived",
            evidence=told,
            where=next((pool.submit[0] for pool in case.pools), NOWHERE),
            advice="What a worker is to run has to be in a module, outside of the guard on "
            "__name__, so that the worker finds it by its name.",
        )
    of_pool = any(pool.kind == "Pool" for pool in case.pools)
    after = (
        "multiprocessing.Pool loses its result thread by it, and the caller waits for ever."
        if of_pool
        else "The executor is broken by it: all its tasks fail with BrokenProcessPool."
    )
    return Finding(
        id="not-unpicklable",
        level="crash",
        title=f"{kind.group(1)} could not be rebuilt where it arrived",
        evidence=f"{told} {after}",
        where=where,
        change=tuple(lines),
        advice="Pickle calls an exception's class with what was handed to super().__init__().",
    )


def _reduce(site: Site) -> list[Line]:
    """The class, with a ``__reduce__`` that hands over what its ``__init__`` asks for."""
    names = source.parameters(site)
    given = ", ".join(f"self.{each}" for each in names)
    comma = "," if len(names) == 1 else ""
    return [
        Line(site.line, " ", source.line(site)),
        Line(0, "+", "    def __reduce__(self):"),
        Line(0, "+", f"        return type(self), ({given}{comma})"),
    ]
