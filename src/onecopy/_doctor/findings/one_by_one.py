"""Work that could go side by side and does not: each is waited for before the next is begun."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from .. import repeating, source
from ..cures import SUBMITS
from ..estimate import overlap, replay
from ..finding import Case, Finding, Line, arrow, seconds
from ..history import NOWHERE, Process, Site, Table
from ..inside import kinds
from ..pools import Pool

_AT_ONCE = 1.1
_LEAST = 0.2
_IN_ORDER = 0.8


def look(case: Case) -> Iterator[Finding]:
    yield from _processes(case)
    for pool in case.pools:
        found = _pool(pool)
        if found is not None:
            yield found


def _processes(case: Case) -> Iterator[Finding]:
    inside = {worker for pool in case.pools for worker in pool.workers}
    made = {each.site(row["d"]) for each in case.history.processes for row in each.of(kinds.POOL)}
    grouped: dict[Process, list[Process]] = defaultdict(list)
    for each in case.history.workers():
        # A pool's worker that got no task was started where the pool was made, or by its thread.
        of_pool = each in inside or each.started_at in (*made, NOWHERE)
        if not of_pool and each.start is not None and each.parent and each.boot:
            grouped[each.parent].append(each)
    for some in grouped.values():
        some.sort(key=lambda each: each.boot)
        begins = np.array([each.boot for each in some], "i8")
        ends = np.array([max(each.boot, each.stop) for each in some], "i8")
        lasting = (ends - begins) / 1e9
        if len(some) < 2 or lasting.sum() < _LEAST or overlap(begins, ends) >= _AT_ONCE:
            continue
        joined = all(0 < a.exit_time < int(b.start["t0"]) for a, b in pairwise(some))
        if not joined:
            continue  # what starts late for reasons of its own is no loop of joins
        yield _of_processes(case, some, lasting)


def _of_processes(case: Case, some: list[Process], lasting: Table) -> Finding:
    cpu = sum(each.cpu for each in some)
    lanes = min(len(some), case.facts.cpus) if cpu > 0.6 * lasting.sum() else len(some)
    whole, best = float(lasting.sum()), replay(lasting, lanes)
    site = some[0].started_at
    target = some[0].target
    return Finding(
        id="not-parallel",
        level="time",
        title=f"{len(some)} processes ran one after another: each was joined before the next was "
        "started",
        evidence=f"They took {seconds(whole)} together, one at a time.",
        where=site,
        change=tuple(_together(site, target)),
        advice="If the second needs what the first has made, nothing can be gained.",
        saving=whole - best,
        of=case.wall,
        gain=f"{arrow(whole, best)} on {case.facts.cpus} CPUs",
        figures={"processes": len(some), "together": whole, "best": best},
    )


def _together(site: Site, target: str) -> Iterator[Line]:
    """The loop in which each is started and joined, as three."""
    function = repeating.function_of(site.file, site.line)
    near = [
        each
        for each in source.calls(site.file, "Process")
        if repeating.function_of(site.file, each.lineno) is function and each.lineno <= site.line
    ]
    made = near[-1] if near else None
    repeat = repeating.of(site, made) if made is not None else None
    if made is None or repeat is None:
        yield Line(site.line, "-", source.line(site))
        yield Line(0, "+", f"workers = [Process(target={target}, ...) for ...]")
    else:
        if isinstance(repeat.loop, ast.For):
            yield from repeating.gone(site, repeat.loop)
        else:
            number = repeat.loop.lineno
            yield Line(number, "-", source.line(Site(site.file, number, "")))
        text = repeating.in_place_of(repeat, made, site)
        yield Line(repeat.loop.lineno, "+", f"workers = [{text} {repeat.head}]")
    yield Line(0, "+", "for worker in workers: worker.start()")
    if repeat is not None and repeat.function is not None:
        for each in source.calls(site.file, "get"):
            if repeating.function_of(site.file, each.lineno) is repeat.function:
                got = repeating.in_place_of(repeat, each, site)
                yield Line(0, "+", f"results = [{got} for _ in workers]")
                break
    yield Line(0, "+", "for worker in workers: worker.join()")
    items = _items(site, repeat, made)
    if items:
        yield Line(0, " ", "# or, with results:")
        yield Line(0, "+", f"with onecopy.Pool() as pool: results = pool.map({target}, {items})")


def _items(site: Site, repeat: repeating.Repeat | None, made: ast.Call | None) -> str:
    """The arguments of all processes as one list, where each has one."""
    given = [each.value for each in made.keywords if each.arg == "args"] if made is not None else []
    if not given or not isinstance(given[0], ast.Tuple) or len(given[0].elts) != 1:
        return ""
    argument = source.text_of(site, given[0].elts[0])
    if repeat is None or repeat.function is not None:
        return "" if repeat is not None else f"[{argument}, ...]"
    return repeat.items if argument == repeat.target else f"[{argument} {repeat.head}]"


def _pool(pool: Pool) -> Finding | None:
    # An executor starts a worker when none is idle: one by one, it never has a second.
    if pool.lanes < 2 or len(pool.done) < 4:
        return None
    compute = pool.parts.compute
    serial = pool.sender < 0.3 * pool.wall and pool.receiving < 0.3 * pool.wall
    if compute < _LEAST or pool.overlap >= _AT_ONCE or not serial:
        return None
    later = _waited_for(pool)
    if not len(later) or later.mean() <= _IN_ORDER:
        return None
    site, _ = pool.submit
    best = pool.dealt(pool.lane_limit)
    return Finding(
        id="not-parallel",
        level="time",
        title=f"{pool.count:,} tasks ran one after another in {pool.lanes} workers",
        evidence=f"{pool.overlap:.2f} ran at a time: each was handed out after the one before had "
        "come back.",
        where=site,
        change=tuple(_lines(pool)),
        advice="Hand them all out before asking for the first result.",
        saving=compute - best,
        of=pool.wall,
        gain=arrow(compute, best),
        figures={"tasks": pool.count, "overlap": pool.overlap, "compute": compute, "best": best},
        pool=pool,
    )


def _waited_for(pool: Pool) -> Table:
    """Of each two tasks that were sent one after the other: had the first come back by then?

    By the parent's records alone, for workers may have noted others. Messages that it passed through lie
    between two of its bursts.
    """
    sent = pool.tasks[pool.tasks["sent"] > 0]
    sent = sent[np.argsort(sent["sent"])]
    over = np.where(sent["back"] > 0, sent["back"], sent["done"])
    burst = np.searchsorted(np.sort(pool.parent.of(kinds.BURST)["t0"].astype("i8")), sent["sent"])
    next_to = (burst[1:] == burst[:-1]) & (over[:-1] > 0)
    found: Table = (sent["sent"][1:] >= over[:-1])[next_to]
    return found


def _lines(pool: Pool) -> Iterator[Line]:
    site, _ = pool.submit
    name = pool.function(pool.tasks[0])
    call = source.call_at(site, SUBMITS)
    repeat = repeating.of(site, call) if call is not None else None
    if call is None or repeat is None:
        made = source.text_of(site, call) if call is not None else f"pool.submit({name}, ...)"
        yield Line(site.line, "-", source.line(site))
        yield Line(site.line, "+", f"jobs = [{_async(made)} for ...]   # all of them, before:")
        yield Line(0, "+", _results(made))
        return
    made = source.text_of(site, call)
    if repeat.function is not None:
        # A function of its own gives the job, and the loop asks for the results.
        whole = _with_get(site, call)
        before, after = source.replaced(site, whole, _async(made))
        yield Line(call.lineno, "-", before)
        yield Line(call.lineno, "+", after)
    if isinstance(repeat.loop, ast.For):
        yield from repeating.gone(site, repeat.loop)
    else:
        number = repeat.loop.lineno
        yield Line(number, "-", source.line(Site(site.file, number, "")))
    asked = source.text_of(site, repeat.call) if repeat.function is not None else _async(made)
    yield Line(repeat.loop.lineno, "+", f"jobs = [{asked} {repeat.head}]")
    yield Line(0, "+", _results(made))


def _async(made: str) -> str:
    return made.replace(".apply(", ".apply_async(", 1)


def _with_get(site: Site, call: ast.Call) -> ast.expr:
    """``pool.apply_async(...).get()``, of which the call is a part; or the call."""
    for name in ("get", "result"):
        for each in source.calls(site.file, name):
            if isinstance(each.func, ast.Attribute) and each.func.value is call:
                return each
    return call


def _results(made: str) -> str:
    if "run_in_executor" in made:
        return "results = await asyncio.gather(*jobs)"
    return f"results = [job.{'get' if 'apply' in made else 'result'}() for job in jobs]"
