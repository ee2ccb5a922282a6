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

from .. import source
from ..finding import Case, Finding, Line
from ..history import Process
from ..inside import kinds
from ..pools import Pool

_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
Settings = dict[str, tuple[int, list[int], bool]]


def look(case: Case) -> Iterator[Finding]:
    lost: Counter[tuple[str, int]] = Counter()
    bare: Counter[tuple[str, int]] = Counter()
    twice: Counter[tuple[str, int]] = Counter()
    method = ""
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
    if lost:
        yield _lost(case, lost, method)
    if bare:
        yield _bare(case, bare, method)
    if twice:
        yield _twice(case, twice)


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


def _set_up(case: Case) -> tuple[Pool | None, str, int]:
    """The pool, and the function of the program that sets logging up, when it has one."""
    pool = case.pools[0] if case.pools else None
    file = pool.site.file if pool is not None else ""
    tree = source.tree_of(file) if file else None
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.FunctionDef):
            for each in ast.walk(node):
                if isinstance(each, ast.Call) and source.name_of(each) in (
                    *("basicConfig", "addHandler", "dictConfig", "fileConfig"),
                ):
                    return pool, node.name, node.lineno
    return pool, "", 0


def _initializer(case: Case) -> tuple[Line, ...]:
    pool, name, _ = _set_up(case)
    if pool is None:
        return (Line(0, "+", "# call the set-up in the child's own function, first thing"),)
    call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
    lines = []
    if call is not None:
        before, after = source.with_keyword(
            pool.site, call, "initializer", name or "set_up_logging"
        )
        lines = [Line(call.lineno, "-", before), Line(call.lineno, "+", after)]
    kind = pool.kind if pool.kind in ("Pool", "ProcessPoolExecutor") else "Pool"
    lines += [
        Line(0, " ", "# or workers whose records reach the handlers of the main process:"),
        Line(0, "+", f"from onecopy import {kind}"),
    ]
    return tuple(lines)


def _lost(case: Case, lost: Counter[tuple[str, int]], method: str) -> Finding:
    whole = sum(lost.values())
    most = ", ".join(
        f"{times:,} {_LEVELS.get(level, str(level))} of {name!r}"
        for (name, level), times in lost.most_common(3)
    )
    pool, _, _ = _set_up(case)
    return Finding(
        id="logs-lost",
        level="wrong",
        title=f"{whole:,} log records of workers went nowhere",
        evidence=f"{most}. The main process would have written them; workers by "
        f"{method or 'this method'} begin without its set-up.",
        where=pool.site if pool is not None else case.history.workers()[0].started_at,
        change=_initializer(case),
        figures={"records": whole},
    )


def _bare(case: Case, bare: Counter[tuple[str, int]], method: str) -> Finding:
    whole = sum(bare.values())
    pool, _, _ = _set_up(case)
    return Finding(
        id="logs-unformatted",
        level="wrong",
        title=f"{whole:,} log records of workers passed your handlers by",
        evidence="There were none in the workers, and logging's last resort wrote the bare message "
        "to standard error.",
        where=pool.site if pool is not None else case.history.workers()[0].started_at,
        change=_initializer(case),
        figures={"records": whole},
    )


def _twice(case: Case, twice: Counter[tuple[str, int]]) -> Finding:
    whole = sum(twice.values())
    times = max(handlers for _, handlers in twice)
    names = ", ".join(sorted({repr(name) for name, _ in twice})[:3])
    pool, _, _ = _set_up(case)
    lines: tuple[Line, ...] = ()
    if pool is not None:
        call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
        lines = (
            Line(pool.site.line, " ", source.line(pool.site)),
            Line(0, " ", "# without initializer= under fork: what is set up is inherited"),
        )
        if call is not None and any(each.arg == "initializer" for each in call.keywords):
            before = source.line(pool.site)
            lines = (
                Line(call.lineno, "-", before),
                Line(call.lineno, "+", _without_initializer(before)),
            )
    return Finding(
        id="logs-doubled",
        level="wrong",
        title=f"{whole:,} log records of workers were written {times} times",
        evidence=f"Handlers for the same file hang on the way of {names}: the worker has inherited "
        "one by fork, and was given another.",
        where=pool.site if pool is not None else case.history.workers()[0].started_at,
        change=lines,
        advice="logging.basicConfig does nothing the second time; onecopy's workers write once "
        "under every start method.",
        figures={"records": whole, "times": times},
    )


def _without_initializer(text: str) -> str:
    """A line of code without that argument, when the whole of it is on the line."""
    return re.sub(r",?\s*initializer=[\w.]+", "", text)
