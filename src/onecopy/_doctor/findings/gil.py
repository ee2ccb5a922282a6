"""Threads that compute one at a time, because they run Python code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import source
from ..estimate import CHANGE, overlap, replay
from ..finding import Case, Finding, Line, arrow, seconds
from ..history import Process, Site, Table
from ..inside import kinds

_TASKS, _AT_ONCE, _CPU = 2, 1.5, 0.3
_BLOCKED, _ASKED = 0.2, 60
# CPUs that are used at a time where one thread holds the GIL; fewer where others have the CPU.
_LOW, _HIGH = 0.7, 1.3


def look(case: Case) -> Iterator[Finding]:
    for process in case.history.processes:
        rows = process.of(kinds.THREADTASK)
        groups: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for row in rows:
            groups[int(row["c"]), int(row["e"])].append(row)
        for (life, _), some in groups.items():
            table = np.array(some, rows.dtype)
            # Threads that only wait have no part in it.
            table = table[table["b"] > 0.02 * table["a"]]
            found = _look(case, process, table, bool(life))
            if found is not None:
                yield found


def _look(case: Case, process: Process, rows: Table, lives: bool) -> Finding | None:
    if len(rows) < _TASKS:
        return None
    wall, cpu = rows["a"].astype("f8") / 1e9, rows["b"].astype("f8") / 1e9
    at_once = overlap(rows["t0"], rows["t0"] + rows["a"])
    if at_once < _AT_ONCE or float(cpu.sum()) < _CPU:
        return None
    whole = float(wall.sum()) / at_once
    rate = float(cpu.sum()) / whole
    # Neither on a CPU nor waiting for one: for the GIL they ask every 5 ms, and so change the
    # context some 200 times a second. Who waits for something else does that seldom.
    blocked = float((rows["a"] - np.minimum(rows["a"], rows["b"] + rows["f"])).sum()) / 1e9
    if blocked < _BLOCKED * wall.sum() or float(rows["g"].sum()) < _ASKED * blocked:
        return None
    low = _LOW * (1.0 - min(0.9, case.facts.foreign))
    if not low < rate < _HIGH or case.facts.cpus < 2:
        return None
    best = replay(cpu * max(1.0, whole / float(cpu.sum())), case.facts.cpus) + CHANGE
    site = process.site(rows[0]["e"])
    name = process.text(rows[0]["d"])
    lines = list(_lines(site, name))
    return Finding(
        id="gil",
        level="time",
        title=f"{round(at_once)} threads computed, one at a time: it is Python code, and the GIL "
        "lets one run",
        evidence=f"{len(rows)} {'threads' if lives else 'tasks of threads'} ({name}) took "
        f"{seconds(float(wall.sum()))} together and {seconds(float(cpu.sum()))} of CPU in "
        f"{seconds(whole)}: {rate:.2f} CPUs at a time.",
        where=site,
        change=tuple(lines),
        advice="Processes; and oc.share for the data, so that they take no copy.",
        saving=whole - best,
        of=case.wall,
        gain=f"{arrow(whole, best)} on {case.facts.cpus} CPUs, start-up included",
        figures={"at_once": at_once, "cpus_used": rate, "cpu": float(cpu.sum()), "union": whole},
    )


def _lines(site: Site, name: str) -> Iterator[Line]:
    """Processes in the place of threads: by another import, or another executor of asyncio's, or a map."""
    thread_pool = source.import_of(site.file, "ThreadPool")
    executor = source.import_of(site.file, "ThreadPoolExecutor")
    awaited = source.call_at(site, ("run_in_executor", "to_thread"))
    if awaited is None and executor is None:
        # A coroutine that asyncio itself has begun: its caller is not on the stack.
        awaited = next(iter(source.calls(site.file, "to_thread")), None)
    if thread_pool is not None:
        yield Line(thread_pool[0], "-", thread_pool[1])
        yield Line(thread_pool[0], "+", "from onecopy import Pool as ThreadPool")
    elif awaited is not None:
        yield Line(0, "+", "from onecopy import ProcessPoolExecutor")
        yield Line(0, "+", "executor = ProcessPoolExecutor()    # once, before the loop begins")
        parts = [source.text_of(site, each) for each in awaited.args]
        loop = "asyncio.get_running_loop()"
        if source.name_of(awaited) == "run_in_executor":
            loop, parts = source.text_of(site, awaited.func).rpartition(".")[0], parts[1:]
        text = f"{loop}.run_in_executor({', '.join(['executor', *parts])})"
        before, after = source.replaced(site, awaited, text)
        yield Line(awaited.lineno, "-", before)
        yield Line(awaited.lineno, "+", after)
    elif executor is not None:
        rest = source.import_without(site.file, executor[0], "ThreadPoolExecutor")
        yield Line(executor[0], "-", executor[1])
        if rest:
            yield Line(executor[0], "+", rest)
        yield Line(
            executor[0], "+", "from onecopy import ProcessPoolExecutor as ThreadPoolExecutor"
        )
    else:
        call = source.call_at(site, ("ThreadPoolExecutor",))
        if call is not None:
            text = source.text_of(site, call)
            at = text.index("(")
            before, after = source.replaced(site, call, "onecopy.ProcessPoolExecutor" + text[at:])
            yield Line(0, "+", "import onecopy")
            yield Line(call.lineno, "-", before)
            yield Line(call.lineno, "+", after)
            return
        function = "work" if name.endswith(".run") else name
        yield Line(site.line, "-", source.line(site))
        map_ = f"with onecopy.Pool() as pool: results = pool.map({function}, items)"
        yield Line(site.line, "+", map_)
        yield Line(0, " ", "# items: what each thread was given")
        if function != name:
            yield Line(0, " ", f"# work: {name} as a function, which returns its result")
