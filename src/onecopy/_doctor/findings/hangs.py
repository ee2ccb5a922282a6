"""Programs in which nothing runs any more, as far as what their threads wait for says why.

A writer waits for a pipe that no process reads. If the process that should read waits for the
writer's end, it is the join before the queue was drained; if those that read are dead, they are
the cause.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .. import repeating, source
from ..finding import Case, Finding, Line, seconds
from ..history import Process, Site
from ..inside import kinds
from ..recording import Stuck

# Nanoseconds before Ctrl-C, which ends others.
_LONG_BEFORE = 500_000_000
_UNBOUNDED = 2**31 - 1


def look(case: Case) -> Iterator[Finding]:
    readings = case.history.readings
    if not readings.stuck:
        return
    told: set[int] = set()
    waits = {(each.pid, each.channel) for each in readings.stuck if each.call == "wait"}
    # A fork server's children are not the parent's: it waits for a pipe to be closed.
    polls = {each.pid for each in readings.stuck if each.call == "poll"}
    for process in case.history.processes:
        if process.pid in polls:
            waits |= {(process.pid, int(row["b"])) for row in process.of(kinds.JOINS)[-1:]}
    for each in readings.stuck:
        if each.call != "write" or not each.channel or each.channel in told:
            continue
        told.add(each.channel)
        writer = case.history.by_pid.get(each.pid)
        if writer is None or any(pool.channel == each.channel for pool in case.pools):
            continue
        parent = writer.parent
        if parent is not None and _waited_for(case, parent, writer, waits):
            yield _undrained(case, writer, parent)
            continue
        dead = _dead_readers(case, each)
        if dead:
            yield _unread(case, writer, dead)
            continue
        # Of several that write to one queue, one has its turn, and the others wait for that.
        others = [child for child in case.history.workers() if child.parent is parent]
        waiting = {each.pid for each in readings.stuck if each.call == "futex"}
        others = [child for child in others if child.pid in waiting and child is not writer]
        if parent is not None and any(_waited_for(case, parent, each, waits) for each in others):
            yield _undrained(case, writer, parent)
    yield from _full(case, told)


def _full(case: Case, told: set[int]) -> Iterator[Finding]:
    """A bounded queue, in whose ``put`` a main thread waits for room: a semaphore says how much there is."""
    for process in case.history.processes:
        rows = process.of(kinds.QUEUE)
        waits = any(
            each.pid == each.tid == process.pid and each.call == "futex"
            for each in case.history.readings.stuck
        )
        if (
            not waits
            or not ((rows["b"] > 0) & (rows["b"] < _UNBOUNDED)).any()
            or any(pool.parent is process for pool in case.pools)
        ):
            continue
        dead = [
            each
            for each in case.history.workers()
            if each.parent is process and each.exit not in (0, None) and not each.ended_by
        ]
        dead = [each for each in dead if _long_before(case, each)]
        if dead and not told:
            yield _unread(case, process, dead)


def _waited_for(case: Case, parent: Process, child: Process, waits: set[tuple[int, int]]) -> bool:
    """Return True if the parent waits for the end of this child, or of any."""
    return (parent.pid, child.pid) in waits or any(
        pid == parent.pid and channel in (child.pid, 0xFFFFFFFF) for pid, channel in waits
    )


def _undrained(case: Case, writer: Process, parent: Process) -> Finding:
    site = writer.started_at
    return Finding(
        id="join-before-drain",
        level="crash",
        title=f"A deadlock: {writer.describe()} is joined before its queue has been read",
        evidence=f"For {seconds(case.history.readings.idle)} nothing has run: it waits for room in "
        "a pipe, to write what it has put into the queue, and the process that should read it "
        "waits for its end.",
        where=_join_after(site) or site,
        change=tuple(_drained(site)),
        advice="A pool has no queue to drain: the results are what its calls give.",
        figures={"idle": case.history.readings.idle},
    )


def _join_after(site: Site) -> Site | None:
    """The place of the join that follows a start in the same function."""
    function = repeating.function_of(site.file, site.line)
    found = [
        each.lineno
        for each in source.calls(site.file, "join")
        if each.lineno > site.line
        and not each.args
        and repeating.function_of(site.file, each.lineno) is function
    ]
    return Site(site.file, min(found), site.function) if found else None


def _drained(site: Site) -> Iterator[Line]:
    """The join, and before it the results fetched that were put into the queue."""
    made = source.assigned_call(site.file, "Queue", method=False)
    queue = made[0] if made is not None else "queue"
    join = _join_after(site)
    loop = source.enclosing_loop(join) if join is not None else None
    several = (
        f"[{queue}.get() for _ in {ast.unparse(loop.iter)}]" if isinstance(loop, ast.For) else ""
    )
    at = loop.lineno if loop is not None else join.line if join is not None else 0
    yield Line(at, "+", f"results = {several or f'{queue}.get()'}   # one for each put, first")
    if loop is not None:
        yield Line(loop.lineno, " ", source.line(Site(site.file, loop.lineno, "")))
    indent = "    " if loop is not None else ""
    yield Line(
        join.line if join else 0, " ", indent + (source.line(join) if join else "worker.join()")
    )


def _dead_readers(case: Case, stuck: Stuck) -> list[Process]:
    """Processes that read this pipe before, and have ended other than well."""
    found = []
    for process in case.history.processes:
        rows = process.of(kinds.IN)
        read = bool((rows["g"] == stuck.channel).any())
        failed = process.exit not in (0, None) or (not process.end and process.exit is None)
        if process.pid != stuck.pid and process.worker and failed:
            gone = process.pid not in case.facts.alive and _ended(case, process)
            gone = gone and _long_before(case, process)
            if gone and (read or process.exit not in (0, None)):
                found.append(process)
    return found


def _long_before(case: Case, process: Process) -> bool:
    """Return True if it did not end by Ctrl-C."""
    until = case.facts.interrupted or case.facts.ended
    return process.last < until - _LONG_BEFORE


def _ended(case: Case, process: Process) -> bool:
    looks = case.history.looks.get(process.pid)
    last = int(looks["time"].max()) if looks is not None else process.last
    return case.facts.ended - last > 1e9 or process.exit_time > 0


def _with_timeout(site: Site) -> Iterator[Line]:
    puts = [each for each in source.calls(site.file, "put") if each.args]
    if not puts:
        yield Line(
            0, "+", "queue.put(item, timeout=10)   # and look at process.exitcode on queue.Full"
        )
        return
    for call in puts[:1]:
        before, after = source.with_keyword(site, call, "timeout", "10")
        yield Line(call.lineno, "-", before)
        yield Line(call.lineno, "+", f"{after}   # on queue.Full, look at the exitcode of each")


def _unread(case: Case, writer: Process, dead: list[Process]) -> Finding:
    site = dead[0].started_at
    codes = ", ".join(sorted({str(each.exit) for each in dead if each.exit is not None}))
    return Finding(
        id="consumers-died",
        level="crash",
        title=f"{len(dead)} of those who read a queue died, and {writer.name or 'the main process'} "
        "waits for ever to write to it",
        evidence=f"For {seconds(case.history.readings.idle)} nothing has run. "
        f"{', '.join(each.describe() for each in dead[:3])} ended"
        + (f" with {codes}." if codes else "."),
        where=site,
        change=(
            Line(site.line, " ", source.line(site)),
            *_with_timeout(site),
            Line(0, " ", "# or tasks of a pool, whose calls fail when a worker dies"),
        ),
        figures={"dead": len(dead), "idle": case.history.readings.idle},
    )
