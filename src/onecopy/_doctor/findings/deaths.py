"""Workers that died, what they ran, and who waits for them; messages that cannot be sent."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator

from .. import source
from ..cures import imports
from ..finding import Case, Finding, Line, human_bytes, seconds
from ..history import Process
from ..inside import kinds
from ..pools import Pool

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
        try:
            how = f"by {signal.Signals(number).name}"
        except ValueError:
            how = f"by signal {number}"
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
        else ""
    )
    return Finding(
        id="worker-killed",
        level="crash",
        title=f"{process.describe()} died {how}{what}",
        evidence=f"{seconds((process.stop - process.born) / 1e9)} after its begin{held}.{oom}{never}",
        where=pool.submit[0] if pool is not None else process.started_at,
        change=tuple(imports(pool)) if pool is not None else (),
        advice="With onecopy the call fails with WorkerDied, which names the signal, and the pool "
        "goes on; retries= runs it again.",
        figures={"signal": number, "oom_kills": kills, "waits": float(waits)},
        pool=pool,
    )


def _messages(case: Case) -> Iterator[Finding]:
    """Messages that could not be pickled, or not be rebuilt."""
    found: Counter[tuple[int, str]] = Counter()
    pids = {}
    for process in case.history.processes:
        for row in process.of(kinds.ERROR):
            key = int(row["a"]), process.text(row["d"])
            found[key] += 1
            pids[key] = process
    for (what, text), times in found.items():
        process = pids[what, text]
        if what == kinds.PICKLE:
            yield Finding(
                id="not-picklable",
                level="crash",
                title="Something could not be pickled",
                evidence=f"{text} ({times} times, in {process.describe()})",
                advice="onecopy.Pool sends lambdas, closures and notebook functions by value.",
                change=(Line(0, "+", "from onecopy import Pool, ProcessPoolExecutor"),),
            )
        elif what == kinds.UNPICKLE and "EOFError" not in text:
            yield Finding(
                id="not-unpicklable",
                level="crash",
                title="A message could not be rebuilt where it arrived",
                evidence=f"{text} ({times} times, in {process.describe()})",
                advice="An exception class whose __init__ takes other arguments than it hands to "
                "super().__init__() needs a __reduce__. multiprocessing.Pool loses its result "
                "thread, and waits for ever.",
            )
