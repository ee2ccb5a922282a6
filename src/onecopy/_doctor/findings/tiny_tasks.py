"""Tasks so small that handing them out and back takes longer than they do."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

from .. import repeating, source
from ..cures import SUBMITS, imports, with_keyword
from ..finding import Case, Finding, Line, arrow, count, seconds
from ..history import Site
from ..pools import Pool

_MANY = 500
_SHORT = 300e-6


def look(case: Case) -> Iterator[Finding]:
    for pool in case.pools:
        parts = pool.parts
        if pool.count < _MANY or not len(pool.done):
            continue
        around = parts.unpickle + parts.pickle + parts.waiting + parts.write
        if float(np.median(pool.compute)) <= _SHORT and around >= parts.compute:
            yield _finding(pool)


def _finding(pool: Pool) -> Finding:
    median = float(np.median(pool.compute))
    share = pool.count / len(pool.done)
    works = pool.work
    sent = pool.tasks[pool.tasks["sent"] > 0]
    items = max(pool.count, round(float(sent["items"].sum()) * pool.count / max(1, len(sent))))
    busy = max(1e-6, pool.wall - pool.lead)
    message, item = busy / pool.count, max(works / items, 1e-7)
    # A message is a twentieth of a chunk, and there are four chunks a worker.
    chunk = max(2, int(min(20 * message / item, max(1, items / (4 * pool.lanes)))))
    predicted = pool.lead + works / pool.lane_limit + items / chunk * message
    site, _ = pool.submit
    name = pool.function(sent[0])
    by_joblib = "joblib" in pool.kind
    lines = _batches(site, chunk) if by_joblib else _chunks(site, chunk, name)
    return Finding(
        id="tiny-tasks",
        level="time",
        title=f"Tasks are tiny: {seconds(median)} of work each, {seconds(message)} for handing it "
        "out and back",
        evidence=f"{count(pool.count, 'message')} for {items:,} calls of "
        f"{name}: {seconds(pool.parts.compute)} of computing in {seconds(busy)}.",
        where=site,
        change=tuple(lines)
        if by_joblib
        else (*lines, Line(0, " ", "# or, without a number to choose:"), *imports(pool)),
        advice='batch_size="auto", which joblib takes where none is given, finds a size by itself.'
        if by_joblib
        else "onecopy's map finds the size of chunks by itself.",
        saving=max(0.0, pool.wall - predicted),
        of=pool.wall,
        gain=arrow(pool.wall, predicted),
        figures={
            "tasks": pool.count,
            "items": items,
            "median": median,
            "message": message,
            "chunksize": chunk,
            "wall": pool.wall,
        },
        pool=pool,
        confidence="measured" if share < 1.01 else f"estimated from 1 in {share:.0f}",
    )


def _chunks(site: Site, size: int, name: str) -> list[Line]:
    """The call of a map with a size of chunks; where there is none, such a call."""
    lines = with_keyword(site, "chunksize", str(size))
    if lines:
        return lines
    call = source.call_at(site, SUBMITS)
    by, items = "pool", "items"
    gone = [Line(site.line, "-", source.line(site))] if source.line(site) else []
    if call is not None and isinstance(call.func, ast.Attribute):
        by = source.text_of(site, call.func.value)
        repeat = repeating.of(site, call)
        found = repeating.as_map(repeat, call, site)
        if found is not None:
            name, items = found
        if repeat is not None and isinstance(repeat.loop, ast.For):
            gone = list(repeating.gone(site, repeat.loop))
    return [*gone, Line(site.line, "+", f"results = {by}.map({name}, {items}, chunksize={size})")]


def _batches(site: Site, size: int) -> list[Line]:
    call = source.call_at(site, ("Parallel",))
    if call is None:
        return [Line(0, "+", f"Parallel(..., batch_size={size})")]
    before, after = source.with_keyword(site, call, "batch_size", str(size))
    return [Line(call.lineno, "-", before), Line(call.lineno, "+", after)]
