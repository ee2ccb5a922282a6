"""A diagnosis as one page: findings first, then the lanes of all processes, then memory.

Drawn by the report's own page. The parent's sending and receiving has a lane of its own, without
which a serial sender would be a gap and no bar; so has each process that had no tasks.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np

from .._report.html import Preface, write_html
from .._report.model import Run
from .._report.words import escape, human_bytes, seconds
from . import lanes, runs, terminal
from .diagnosis import Diagnosis
from .finding import Finding, Line
from .history import Process
from .pools import Pool

# The page's own kinds of time.
_KINDS = {"pickle": "encode", "write": "blocked", "receive": "decode"}
# Marks of a lane: more than these cannot be told apart.
_MOST = 2_000


def html(found: Diagnosis) -> str:
    """The page."""
    run, pool = _chosen(found)
    when = datetime.fromtimestamp(found.facts.clock, UTC).strftime("%Y-%m-%d %H:%M UTC")
    title = terminal.title(found)
    preface = Preface(
        title=f"onecopy doctor: {title}",
        subtitle=f"doctor, {title}, {seconds(found.facts.wall)}, {when}",
        verdict=terminal.verdict(found),
        findings=_findings(found),
        lanes=[*_parent(pool), *_others(found, run)],
    )
    file = io.StringIO()
    write_html(run, file, preface)
    return file.getvalue()


def _chosen(found: Diagnosis) -> tuple[Run, Pool | None]:
    """The run of the pool that the first finding is about, or of the largest, onecopy's included."""
    named = [each.pool for each in found.findings if each.pool is not None]
    largest = max(found.pools, key=lambda pool: pool.total, default=None)
    pool = named[0] if named else largest
    ours = max(found.own, key=lambda run: run.wanted * run.wall, default=None)
    if ours is not None and not named and (pool is None or ours.wanted * ours.wall > pool.total):
        return ours, None
    if pool is not None:
        return runs.of(found.history, pool), pool
    return runs.without_pool(found.history), None


def _findings(found: Diagnosis) -> str:
    items = "".join(f'<li class="{each.level}">{_finding(each)}</li>' for each in found.findings)
    notes = "".join(f"<p>{escape(note)}</p>" for note in found.notes)
    return (f'<ul class="advice">{items}</ul>' if items else "") + notes


def _finding(each: Finding) -> str:
    gain = ""
    if each.saving is not None and each.of:
        gain = f" Saves {seconds(each.saving)} of {seconds(each.of)}."
    elif each.memory and each.level == "memory":
        gain = f" Saves {human_bytes(int(each.memory))}."
    where = f" {each.where}" if each.where.file else ""
    code = "".join(_line(line) for line in each.change)
    parts = [
        f"<b>{escape(each.title)}.</b>",
        f'<p class="gain">{escape(each.level + ": " + each.id + where + "." + gain)}</p>',
        f"<p>{escape(each.evidence)}</p>",
        f"<pre>{code}</pre>" if code else "",
        f"<p>{escape(each.advice)}</p>" if each.advice else "",
        f'<p class="gain">Gain: {escape(each.gain)}.</p>' if each.gain else "",
    ]
    return "".join(parts)


def _line(line: Line) -> str:
    number = f"{line.number:>4}" if line.number else " " * 4
    tag = {"+": "ins", "-": "del"}.get(line.sign, "span")
    return f"<{tag}>{number} {line.sign} {escape(line.text)}</{tag}>"


def _parent(pool: Pool | None) -> Iterator[dict[str, Any]]:
    if pool is None:
        return
    marks = []
    for each in lanes.stretches_of_parent(pool):
        begins, ends = _merged(each.begins, each.ends)
        for begin, end in zip(begins, ends, strict=True):
            mark = {"from": begin - pool.begin, "to": end - pool.begin, "kind": _KINDS[each.kind]}
            marks.append(mark)
    yield {"label": "parent", "marks": sorted(marks, key=lambda mark: mark["from"])}


def _merged(begins: Any, ends: Any) -> tuple[list[int], list[int]]:
    """At most ``_MOST`` stretches: those that lie nearest to each other become one."""
    order = np.argsort(begins)
    begins, ends = begins[order], ends[order]
    if len(begins) > _MOST:
        gaps = begins[1:] - ends[:-1]
        cuts = np.sort(np.argsort(-gaps)[: _MOST - 1])
        begins = np.concatenate([begins[:1], begins[1:][cuts]])
        ends = np.concatenate([ends[:-1][cuts], ends[-1:]])
    return begins.tolist(), ends.tolist()


def _others(found: Diagnosis, run: Run) -> Iterator[dict[str, Any]]:
    """Processes without a lane: when they got CPU time, as the sampler saw it."""
    shown = set(run.workers["pid"].tolist())
    for process in found.history.processes:
        if process.pid in shown or len(shown) > 200:
            continue
        marks = list(_busy(found, process, run.began, run.ended))
        if marks:
            main = process.pid == found.facts.pid
            label = "main, CPU" if main else process.name or f"pid {process.pid}"
            yield {"label": label[:16], "marks": marks}


def _busy(found: Diagnosis, process: Process, begin: int, end: int) -> Iterator[dict[str, Any]]:
    rows = found.history.looks.get(process.pid)
    if rows is None:
        return
    for before, after in pairwise(rows):
        took = (int(after["time"]) - int(before["time"])) / 1e9
        if after["cpu"] - before["cpu"] > 0.3 * took:
            start, stop = max(begin, int(before["time"])), min(end, int(after["time"]))
            if start < stop:
                yield {"from": start - begin, "to": stop - begin, "kind": "compute"}
