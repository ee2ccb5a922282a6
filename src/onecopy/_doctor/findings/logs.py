"""Log records of workers that no process writes, and those that are written twice.

A worker that was started afresh has none of its parent's set-up; one that was forked has all of
it, and again what its initializer adds.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .. import repeating, source
from ..cures import imports
from ..finding import Case, Finding, Line
from ..history import Process, Site
from ..inside import kinds
from ..pools import Pool

_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
Settings = dict[str, tuple[int, list[int], bool]]


def look(case: Case) -> Iterator[Finding]:
    lost: Counter[tuple[str, int]] = Counter()
    bare: Counter[tuple[str, int]] = Counter()
    twice: Counter[tuple[str, int]] = Counter()
    method = ""
    # What the main process, or another, writes of the records that come through a queue.
    listened = {
        key.partition("\t")[2]
        for process in case.history.processes
        for key in process.counters
        if key.startswith("listener\t")
    }
    queued = False
    for process in case.history.workers():
        settings = _settings(process.parent) if process.parent is not None else {}
        for key, times in process.counters.items():
            words = key.split("\t")
            if words[0] == "dropped" and words[2].isdigit():
                if settings and _would_write(settings, words[1], int(words[2])):
                    lost[words[1], int(words[2])] += times
                    method = method or process.method
            elif words[0] == "log":
                _, name, level, handlers, distinct, last = words
                if handlers == "0" and settings and _would_write(settings, name, int(level)):
                    (bare if last == "1" else lost)[name, int(level)] += times
                    method = method or process.method
                if int(handlers) > int(distinct):
                    twice[name, int(handlers)] += times
            elif words[0] == "queued" and words[2] in listened:
                twice[words[1], 2] += times
                queued = True
    if lost:
        yield _lost(case, lost, method)
    if bare:
        yield _bare(case, bare, method)
    if twice:
        yield _twice(case, twice, queued)


def _settings(process: Process) -> Settings:
    """The settings of the process's loggers, as it last recorded them."""
    rows = process.of(kinds.LOGCONF)
    if not len(rows):
        return {}
    try:
        found: list[Any] = ast.literal_eval(process.text(rows[-1]["d"]))
    except (ValueError, SyntaxError):
        return {}
    return {
        name: (level, [at for _, at in handlers], bool(up)) for name, level, handlers, up in found
    }


def _would_write(settings: Settings, name: str, level: int) -> bool:
    """Would the parent have let a record of this logger through, and has it who writes it?"""
    disabled = settings.get("\0disabled", (0, [], False))[0]
    here = "__main__" if name == "__mp_main__" else name
    parts = here.split(".")
    threshold, handlers = 0, []
    for each in [".".join(parts[:n]) for n in range(len(parts), 0, -1)] + [""]:
        if each in settings:
            own, at, up = settings[each]
            threshold = threshold or own
            handlers += at
            if not up:
                break
    return level > disabled and level >= threshold and any(at <= level for at in handlers)


_SET_UP = ("basicConfig", "dictConfig", "fileConfig", "addHandler")


def _pool(case: Case) -> Pool | None:
    return case.pools[0] if case.pools else None


def _set_up(site: Site) -> tuple[str, str]:
    """The function of the program that sets logging up, and does nothing else that matters here, or ''; and
    the call that does it."""
    for name in _SET_UP:
        for call in source.calls(site.file, name):
            function = repeating.function_of(site.file, call.lineno)
            if function is None or function.lineno <= site.line <= (function.end_lineno or 0):
                return "", source.text_of(site, call)
            if not any(each.arg for each in function.args.args):
                return function.name, source.text_of(site, call)
            return "", source.text_of(site, call)
    return "", ""


def _initializer(case: Case) -> Iterator[Line]:
    pool = _pool(case)
    site = pool.site if pool is not None else case.history.workers()[0].started_at
    name, made = _set_up(site)
    if pool is None:
        worker = case.history.workers()[0]
        yield Line(site.line, " ", source.line(site))
        yield Line(0, " ", f"# first thing in {worker.target or 'the function that it runs'}:")
        yield Line(
            0, "+", f"{name}()" if name else made or "logging.basicConfig(level=logging.INFO)"
        )
        return
    call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
    if call is not None:
        if not name:
            yield Line(0, "+", "def set_up_logging():")
            yield Line(0, "+", "    " + (made or "logging.basicConfig(level=logging.INFO)"))
        before, after = source.with_keyword(
            pool.site, call, "initializer", name or "set_up_logging"
        )
        yield Line(call.lineno, "-", before)
        yield Line(call.lineno, "+", after)
    yield Line(0, " ", "# or workers whose records reach the handlers of the main process:")
    yield from imports(pool)


def _lost(case: Case, lost: Counter[tuple[str, int]], method: str) -> Finding:
    whole = sum(lost.values())
    most = ", ".join(
        f"{times:,} {_LEVELS.get(level, str(level))} of {name.replace('__mp_main__', '__main__')!r}"
        for (name, level), times in lost.most_common(3)
    )
    pool = _pool(case)
    return Finding(
        id="logs-lost",
        level="wrong",
        title=f"{whole:,} log records of workers went nowhere",
        evidence=f"{most}. The main process would have written them; workers by "
        f"{method or 'this method'} begin without its set-up.",
        where=pool.site if pool is not None else case.history.workers()[0].started_at,
        change=tuple(_initializer(case)),
        figures={"records": whole},
    )


def _bare(case: Case, bare: Counter[tuple[str, int]], method: str) -> Finding:
    whole = sum(bare.values())
    pool = _pool(case)
    return Finding(
        id="logs-unformatted",
        level="wrong",
        title=f"{whole:,} log records of workers passed your handlers by",
        evidence="There were none in the workers, and logging's last resort wrote the bare message "
        "to standard error.",
        where=pool.site if pool is not None else case.history.workers()[0].started_at,
        change=tuple(_initializer(case)),
        figures={"records": whole},
    )


def _twice(case: Case, twice: Counter[tuple[str, int]], queued: bool) -> Finding:
    whole = sum(twice.values())
    times = max(handlers for _, handlers in twice)
    names = ", ".join(sorted({repr(name) for name, _ in twice})[:3])
    pool = _pool(case)
    worker = case.history.workers()[0]
    site = pool.site if pool is not None else worker.started_at
    if queued:
        why = (
            f"A handler that the worker has inherited by fork writes those of {names}, and so does "
            "the listener, to which the worker sends them."
        )
        lines = tuple(_queue_alone(site))
    else:
        why = (
            f"Handlers for the same file hang on the way of {names}: the worker has inherited one by "
            "fork, and was given another."
        )
        lines = tuple(_without_second(pool)) if pool is not None else ()
    return Finding(
        id="logs-doubled",
        level="wrong",
        title=f"{whole:,} log records of workers were written {times} times",
        evidence=why,
        where=site,
        change=lines,
        advice="logging.basicConfig does nothing the second time; onecopy's workers write once "
        "under every start method.",
        figures={"records": whole, "times": times},
    )


def _without_second(pool: Pool) -> Iterator[Line]:
    call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
    before = source.line(pool.site)
    after = _without_initializer(before)
    if call is not None and after != before:
        yield Line(call.lineno, "-", before)
        yield Line(call.lineno, "+", after)
        return
    yield Line(pool.site.line, " ", before)
    yield Line(0, " ", "# without initializer= under fork: what is set up is inherited")


def _queue_alone(site: Site) -> Iterator[Line]:
    """The worker's set-up, with the queue's handler in the place of those that it has inherited."""
    found = source.calls(site.file, "QueueHandler")
    made = source.text_of(site, found[0]) if found else "QueueHandler(queue)"
    for call in source.calls(site.file, "addHandler"):
        if found and found[0] in call.args and isinstance(call.func, ast.Attribute):
            logger = source.text_of(site, call.func.value)
            before, after = source.replaced(site, call, f"{logger}.handlers[:] = [{made}]")
            yield Line(call.lineno, "-", before)
            yield Line(call.lineno, "+", after)
            return
    yield Line(0, "+", f"logging.getLogger().handlers[:] = [{made}]   # first thing in the worker")


def _without_initializer(text: str) -> str:
    """A line of code without that argument, when the whole of it is on the line."""
    return re.sub(r",?\s*initializer=[\w.]+", "", text)
