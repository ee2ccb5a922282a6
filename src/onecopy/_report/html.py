"""A run as one self-contained page of HTML: no network, no other file.

Text and tables are plain HTML, and can be read without scripts. The spans are embedded as binary
columns, deflated and in base64, and ``page/lanes.js`` draws them. A policy in the page itself
forbids the browser to fetch anything.

Everything in a page that comes from outside is escaped: names of functions are the user's, and may
be anything.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import IO, Any

import numpy as np

from .._observe.columns import LOST, OTHER, OWNER, STATES
from .._observe.spans import split
from . import hosts
from .advice import advice, verdict
from .calls import calls
from .heaviest import heaviest, tree
from .kinds import spent
from .model import Run, Table
from .terminal import slowest
from .words import count, escape, human_bytes, items, percent, seconds

# The page's own columns: times in nanoseconds from the run's start, durations and sizes as floats.
# The columns that are drawn come first, so that a page of a million tasks soon shows something.
_DRAWN = (
    ("received", "f8"),
    ("imported", "f4"),
    ("decode", "f4"),
    ("pausing", "f4"),
    ("wanting", "f4"),
    ("running", "f4"),
    ("encode", "f4"),
    ("function", "u4"),
    ("task", "u4"),
    ("state", "u1"),
)
_DETAILS = (
    ("start", "u4"),
    ("stop", "u4"),
    ("faults", "u4"),
    ("queued", "f4"),
    ("deliver", "f4"),
    ("waited", "f4"),
    ("cpu", "f4"),
    ("args_moved", "f4"),
    ("args_shared", "f4"),
    ("result_moved", "f4"),
    ("result_shared", "f4"),
)
# Three digits of the details' floats are shown: the rest of the mantissa would be noise that cannot
# be deflated. With very many spans the third digit is dropped as well.
_DIGITS, _FEWER = np.uint32(0xFFFFF000), np.uint32(0xFFFF8000)
_MANY = 200_000
_SLOWEST = 15
_FAILURES = 15
# Parts of the workers' time below this, in percent, are not in the legend.
_SEEN = 0.1
_PROFILED, _LINES = 10, 8
# The part of the time, at its end, for which the highest memory reading then and later is drawn.
_LAST = 0.01
# The number of points of the memory curves; more cannot be seen.
_POINTS = 1_500
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
_FACTS = {
    "segments": "shared memory blocks",
    "segment_bytes": "bytes in them",
    "arenas": "message buffers",
    "arena_bytes": "bytes in them at most",
    "saved_bytes": "saved by pages that processes share",
    "bytes_through_pipes": "through pipes",
    "argument_bytes_copied": "arguments copied",
    "argument_bytes_shared": "arguments passed by reference",
    "inherited_bytes_copied": "inherited memory copied by forked workers",
    "workers_started": "workers started",
    "pools_before": "pools that the program made before",
}


@dataclass(frozen=True)
class Preface:
    """The text of a page in place of the run's own; for programs that do not use us.

    Attributes:
        title, subtitle: of the page.
        verdict: one sentence.
        findings: HTML in the place of the advice, escaped already.
        lanes: further lanes, above the workers': a label, and marks with ``from`` and ``to`` in
            nanoseconds since the run's begin and a ``kind`` of time.
    """

    title: str
    subtitle: str
    verdict: str
    findings: str
    lanes: Sequence[dict[str, Any]] = ()


def write_html(run: Run, file: IO[str], preface: Preface | None = None) -> None:
    """Write the page."""
    ordered, lanes = _lanes(run)
    if preface is not None:
        lanes = [{"lo": 0, "hi": 0, **each} for each in preface.lanes] + lanes
    head = {
        "count": len(ordered),
        "drawn": _DRAWN,
        "details": _DETAILS,
        "functions": run.functions,
        "states": STATES,
        "lanes": lanes,
        "wall": max(1, run.ended - run.began),
        "memory": _memory(run),
        "flame": tree(run) if run.profile else None,
    }
    preface = preface or _own_words(run)
    file.write(_head(preface))
    file.write(_body(run, ordered, preface))
    file.write(f'<script type="application/json" id="run">{_json(head)}</script>\n')
    values = _values(run, ordered)
    file.write(f'<script type="text/plain" id="drawn">{_packed(values, _DRAWN)}</script>\n')
    for name in ("uplot.js", "memory.js", "lanes.js", "flame.js", "page.js"):
        file.write(f"<script>{asset(name)}</script>\n")
    # After the scripts: they start before this has been read.
    file.write(f'<script type="text/plain" id="details">{_packed(values, _DETAILS)}</script>\n')
    file.write("</body>\n</html>\n")


def asset(name: str) -> str:
    """Return a file of the page, as text."""
    return files(__package__).joinpath("page", name).read_text("utf-8")


def _json(value: Any) -> str:
    """Return JSON for a script element, without anything that would end the element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


# The data.


def _lanes(run: Run) -> tuple[Table, list[dict[str, Any]]]:
    """Return the spans that can be drawn, lane by lane, and the lanes."""
    drawn = run.spans[run.spans["finished"] > 0]
    drawn = drawn[np.lexsort((drawn["received"], drawn["worker"]))]
    lanes: list[dict[str, Any]] = []
    host = 0
    for life in run.workers:
        if life["host"] != host:
            host = int(life["host"])
            lanes += _host_lanes(run, host)
        low, high = np.searchsorted(drawn["worker"], [life["worker"], life["worker"] + 1])
        gone = int(life["gone"]) or run.ended
        born, initializing, ready = run.start(life)
        marks = [_mark(run, born, initializing, "startup")]
        if initializing < ready:
            marks.append(_mark(run, initializing, ready, "initializing"))
        mine = run.spans["worker"] == life["worker"]
        if (run.spans["state"][mine] == LOST).any():
            marks.append(_mark(run, max(int(life["last"]), ready), gone, "lost"))
        label = f"worker {life['worker']}"
        lanes.append({"label": label, "lo": int(low), "hi": int(high), "marks": marks})
    return drawn, lanes


def _host_lanes(run: Run, host: int) -> list[dict[str, Any]]:
    """Return the lanes above those of a host's workers: its name, and all of them together."""
    row, count = run.hosts[host], int((run.workers["host"] == host).sum())
    said = f"{row.name}: {row.why}" if row.why else row.name
    return [
        {"label": said, "lo": 0, "hi": 0, "marks": [], "head": True},
        {"label": "together", "lo": 0, "hi": 0, "marks": [], "of": count},
    ]


def _mark(run: Run, begin: int, end: int, kind: str) -> dict[str, Any]:
    return {"from": begin - run.began, "to": max(begin, end) - run.began, "kind": kind}


def _values(run: Run, spans: Table) -> dict[str, Table]:
    same = {name: spans[name] for name in spans.dtype.names or ()}
    return same | {
        "received": spans["received"] - run.began,
        **split(spans),
        "encode": spans["encoded"] - spans["finished"],
        "queued": np.maximum(0, spans["sent"] - spans["submitted"]),
        "deliver": spans["returned"] - spans["encoded"],
        "faults": spans["minor_faults"] + spans["major_faults"],
    }


def _packed(values: dict[str, Table], columns: Iterable[tuple[str, str]]) -> str:
    """Return the columns one after the other, each from a multiple of 8 bytes on."""
    press = zlib.compressobj(1)
    parts = []
    for name, kind in columns:
        data = np.ascontiguousarray(values[name], "<" + kind)
        if kind == "f4" and columns is _DETAILS:
            data = (data.view("<u4") & (_DIGITS if len(data) < _MANY else _FEWER)).astype("<u4")
        parts.append(press.compress(data.tobytes().ljust(-(-data.nbytes // 8) * 8, b"\0")))
    parts.append(press.flush())
    return base64.b64encode(b"".join(parts)).decode()


def _memory(run: Run) -> dict[str, Any]:
    """Return the curves of each process, or of each host, on common times."""
    if run.hosts:
        return _memory_of_hosts(run)
    table = run.memory
    times, rows = np.unique(table["time"], return_inverse=True)
    step = -(-len(times) // _POINTS) if len(times) else 1
    late = int(
        np.searchsorted(times, run.ended - _LAST * (run.ended - run.began))
    )  # of these, the peak is drawn
    kept = np.concatenate([np.arange(0, late, step), np.arange(late, len(times))])
    processes = []
    keys: Any = np.unique(np.stack([table["worker"], table["pid"]]), axis=1).T if len(table) else []
    for worker, pid in sorted(keys, key=lambda key: (key[0] != OWNER, key[0] == OTHER, key[0])):
        mine = (table["worker"] == worker) & (table["pid"] == pid)
        curves = {}
        for name in ("pss", "rss"):
            full = np.full(len(times), np.nan)
            full[rows[mine]] = table[name][mine]
            curves[name] = _or_none(full[kept])
        label = {OWNER: "main process", OTHER: "fork server"}.get(worker, f"worker {worker}")
        processes.append({"label": label, **curves})
    at = [round((int(time) - run.began) / 1e9, 4) for time in times[kept]]
    return _to_the_end(run, at, processes)


def _to_the_end(run: Run, times: list[float], processes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return curves that fill the time of the run.

    A reading is drawn until the next one: the last is held until the end. Of those at the end
    of the last task and after it, the highest is drawn just before the end, so that a peak that
    results have in the main process is seen.
    """
    end = round((run.ended - run.began) / 1e9, 4)
    edge = (1 - _LAST) * end
    kept = [at for at, time in enumerate(times) if time < edge]
    late = range(len(kept), len(times))
    drawn = [times[at] for at in kept]
    if late:
        kept.append(max(late, key=lambda at: sum(each["pss"][at] or 0 for each in processes)))
        drawn.append(edge)
    if kept:
        kept.append(kept[-1])
        drawn.append(end)
    for each in processes:
        for name in ("pss", "rss"):
            each[name] = [each[name][at] for at in kept]
    return {"times": drawn, "processes": processes}


def _memory_of_hosts(run: Run) -> dict[str, Any]:
    times, pss = hosts.sums(run, "pss")
    _, rss = hosts.sums(run, "rss")
    kept = np.arange(0, len(times), -(-len(times) // _POINTS) if len(times) else 1)
    processes = [
        {
            "label": "main process" if not at else row.name,
            **{name: _or_none(curve[at][kept]) for name, curve in (("pss", pss), ("rss", rss))},
        }
        for at, row in enumerate(run.hosts)
    ]
    at = [round((int(time) - run.began) / 1e9, 4) for time in times[kept]]
    return _to_the_end(run, at, processes)


def _or_none(values: Table) -> list[int | None]:
    return [None if np.isnan(value) else int(value) for value in values]


# The text.


def _own_words(run: Run) -> Preface:
    when = datetime.fromtimestamp(run.clock, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Preface(
        title=f"onecopy: {count(run.tasks, 'task')} in {seconds(run.wall)}",
        subtitle=f"{run.method}, {hosts.staff(run)}, {when}",
        verdict=verdict(run),
        findings=_advice(run),
    )


def _head(preface: Preface) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(preface.title)}</title>\n"
        f"<style>{asset('uplot.css')}{asset('style.css')}</style>\n</head>\n"
    )


def _body(run: Run, ordered: Table, preface: Preface) -> str:
    return f"""<body>
<main>
<header><h1>onecopy <span>{escape(preface.subtitle)}</span></h1>
<button id="theme" type="button" hidden>Dark</button></header>
<p class="verdict">{escape(preface.verdict)}</p>
{_accounting(run) if run.wanted else ""}
{preface.findings}
<noscript><p>The lanes and curves need JavaScript; everything in words and tables does not.</p>
</noscript>
<section hidden>
<div class="tools"><h2>What each worker did</h2>
<input id="search" type="search" placeholder="function or task number"
 aria-label="Search by function or task number">
<button id="previous" type="button" aria-label="previous match">&lsaquo;</button>
<button id="next" type="button" aria-label="next match">&rsaquo;</button>
<output id="found"></output><button id="whole" type="button">Whole run</button></div>
<div class="lanes"><canvas id="lanes" role="application"
 aria-label="Time lanes of the workers. Arrow keys move, plus and minus zoom, 0 shows all, comma and full stop go from task to task."></canvas></div>
<p class="hint">Wheel (after a click, or with Ctrl) or <kbd>+</kbd> <kbd>&minus;</kbd> zoom, drag or <kbd>←</kbd> <kbd>→</kbd> move, <kbd>0</kbd> whole run,
 <kbd>,</kbd> <kbd>.</kbd> from task to task, <kbd>Enter</kbd> to see it close. Where there are many tasks to a pixel, the height is the share of time.</p>
<div id="live" class="live" aria-live="polite"></div>
</section>
<section id="curves" hidden>
<div class="tools"><h2>Memory</h2><select id="kind" aria-label="which figure">
<option value="pss">PSS, stacked</option><option value="rss">RSS</option></select></div>
<p id="rss" class="warn" style="display:none">RSS counts a shared page once for each process that maps it: these curves must not be added up.</p>
<div id="memory"></div>
<ul class="legend" id="processes"></ul>
</section>
{_failures(run)}
{_hosts(run)}
{_calls(run)}
{_profile(run)}
{_slowest(run, ordered)}
<h2>Facts</h2>
{_facts(run)}
</main>
<div id="tip" class="tip" role="tooltip"></div>
"""


def _accounting(run: Run) -> str:
    parts = run.accounting()
    bars, legend = [], []
    for kind, value in spent(parts):
        share = 100 * value / parts.total if parts.total else 0.0
        bars.append(
            f'<i class="k-{kind.paint}" style="width:{share:.4f}%" title="{kind.label}"></i>'
        )
        if share < _SEEN:
            continue
        legend.append(
            f'<li title="{kind.explained}"><i class="k-{kind.paint}"></i>{kind.label} '
            f"<b>{seconds(value)}</b> <span>{percent(value, parts.total)}</span></li>"
        )
    whole = f"{count(parts.workers, 'worker')} × {seconds(parts.wall)} = {seconds(parts.total)}"
    if abs(parts.other) > 0.02 * parts.total:
        whole += f", {seconds(parts.other)} of it unaccounted for"
    return (
        f'<div class="bar" role="img" aria-label="{escape(whole)}">{"".join(bars)}</div>\n'
        f'<ul class="legend">{"".join(legend)}<li><span>of {escape(whole)}</span></li></ul>'
    )


def _advice(run: Run) -> str:
    items = [
        f"<li><b>{escape(each.title)}</b><p class='line'>{escape(each.line)}</p>"
        f"<p>{escape(each.evidence)}</p><p>{escape(each.change)}</p>"
        f'<p class="gain">Gain: {escape(each.gain)}.</p></li>'
        for each in advice(run)
    ]
    return f'<ul class="advice">{"".join(items)}</ul>' if items else ""


Cell = str | tuple[str, float]
"""A table's cell: its text, and the number that it is sorted by, where it is one."""


def data_table(
    head: Sequence[str],
    rows: Iterable[tuple[str, Sequence[Cell]]],
    left: Container[int] = (0,),
    *,
    sorts: bool = False,
) -> str:
    """Return a table of text, which is escaped here. Columns without any text are left out.

    Args:
        head: names of the columns.
        rows: attributes of the row, and its cells.
        left: columns aligned left; figures are aligned right.
        sorts: it can be sorted by each column, if scripts run.
    """
    rows = list(rows)
    there = [at for at in range(len(head)) if not rows or any(cells[at] != "" for _, cells in rows)]
    aligned = {at: "" if at not in left or at == 0 else ' class="left"' for at in there}
    top = "".join(f"<th{aligned[at]}>{escape(head[at])}</th>" for at in there)
    body = "".join(
        f"<tr{attributes}>"
        + "".join(_cell(cells[at], aligned[at], first=at == 0) for at in there)
        + "</tr>"
        for attributes, cells in rows
    )
    kind = "data sorts" if sorts else "data"
    return f'<div class="scroll"><table class="{kind}"><tr>{top}</tr>{body}</table></div>'


def _cell(cell: Cell, side: str, *, first: bool) -> str:
    text, key = cell if isinstance(cell, tuple) else (cell, None)
    if first:
        side += f' title="{escape(text)}"'
    if key is not None:
        side += f' data-key="{key:.9g}"'
    return f"<td{side}>{escape(text)}</td>"


def _time(value: float) -> Cell:
    return seconds(value), value


def _size(value: float) -> Cell:
    return human_bytes(int(value)), value


def _number(value: float) -> Cell:
    return f"{int(value):,}", value


def _failures(run: Run) -> str:
    """Return the failures, by type and message."""
    if not run.failures:
        return ""
    rows: list[tuple[str, Sequence[Cell]]] = []
    for each in run.failures[:_FAILURES]:
        method, function, file, line, _ = run.sites[each.site]
        which = f"{'item' if 'map' in method else 'task'} {each.first}"
        where = f"{file.rpartition('/')[2]}:{line}" if file else ""
        cells = (each.kind, each.message, function, where, which, _number(each.number))
        rows.append(("", cells))
    if len(run.failures) > _FAILURES:
        rows.append(("", (f"… and {len(run.failures) - _FAILURES:,} more", *[""] * 5)))
    head = ("error", "message", "function", "called at", "first in", "times")
    return f"<h2>Failures</h2>\n{data_table(head, rows, left=(0, 1, 2, 3, 4), sorts=True)}"


def _slowest(run: Run, ordered: Table) -> str:
    rows: list[tuple[str, Sequence[Cell]]] = []
    for span in slowest(run, _SLOWEST):
        drawn = np.flatnonzero(
            (ordered["worker"] == span["worker"]) & (ordered["received"] == span["received"])
        )
        attributes = f' data-span="{drawn[0]}" tabindex="0"' if len(drawn) else ""
        parts = {name: float(each[0]) / 1e9 for name, each in split(span.reshape(1)).items()}
        cells = (
            run.functions[int(span["function"])],
            items(int(span["start"]), int(span["stop"]), int(span["task"])),
            STATES[int(span["state"])],
            (hosts.named(run, int(span["worker"])), float(span["worker"])),
            _time(max(0, int(span["started"]) - run.began) / 1e9),
            _time(parts["compute"]),
            _time(parts["running"]),
            _time(parts["pausing"]),
            _size(int(span["args_moved"]) + int(span["result_moved"])),
        )
        rows.append((attributes, cells))
    head = ("function", "which", "state", "worker", "after", "took", "on a CPU", "waiting", "moved")
    return f"<h2>Slowest tasks</h2>\n{data_table(head, rows, sorts=True)}" if rows else ""


def _hosts(run: Run) -> str:
    """Return a row for each host; nothing for a pool on this machine."""
    head = (
        *("host", "state", "PSS at most", "workers", "tasks", "took", "data sent", "data there"),
        "times wrong by at most",
    )
    rows: list[tuple[str, Sequence[Cell]]] = []
    for each in hosts.done(run):
        row = each.row
        state = "main process" if row.state == "driver" else row.state
        cells: list[Cell] = [row.name, f"{state}: {row.why}" if row.why else state, _size(each.pss)]
        if row.workers:
            cells += [_number(row.workers), _number(each.tasks), _time(each.compute)]
            cells += [_size(row.shipped), _size(row.shared), _time(row.clock_error)]
        rows.append(("", [*cells, *[""] * (len(head) - len(cells))]))
    return f"<h2>Hosts</h2>\n{data_table(head, rows, left=(0, 1), sorts=True)}" if rows else ""


def _calls(run: Run) -> str:
    """Return the functions, by the line of the program that calls them."""
    rows: list[tuple[str, Sequence[Cell]]] = []
    for call in calls(run):
        parts, tasks = call.parts, max(1, call.tasks)
        cells = (
            call.function,
            call.method,
            call.line.rpartition("/")[2],
            _number(call.tasks),
            _number(parts["failed"] + parts["lost"]),
            _time(call.compute),
            _time(parts["running"]),
            _time(call.pausing),
            _time(call.compute / tasks),
            _time(parts["imported"]),
            _size(parts["args_moved"] + parts["result_moved"]),
            _size(parts["args_shared"] + parts["result_shared"]),
        )
        rows.append(("", cells))
    head = (
        *("function", "by", "called at", "tasks", "failed", "took", "on a CPU", "waiting"),
        *("mean", "importing", "moved", "by reference"),
    )
    return f"<h2>Calls</h2>\n{data_table(head, rows, left=(0, 1, 2), sorts=True)}" if rows else ""


def _profile(run: Run) -> str:
    """Return the heaviest lines, and the place of the flame graph."""
    if not run.profile:
        return ""
    rows: list[tuple[str, Sequence[Cell]]] = [
        (
            "",
            (
                each.function,
                each.where,
                each.into,
                _time(each.spent),
                (percent(each.share, 1), each.share),
            ),
        )
        for each in heaviest(run, _PROFILED, _LINES)
    ]
    head = ("function", "line of your program", "mostly in", "time", "of the function")
    return (
        '<h2>Where your functions spend their time</h2>\n<div id="flame" class="flame"></div>\n'
        + data_table(head, rows, left=(0, 1, 2), sorts=True)
    )


def _facts(run: Run) -> str:
    shown = {_FACTS.get(name, name): _figure(name, value) for name, value in run.facts.items()}
    if run.wanted:  # a program without a pool has no such thread
        shown["CPU of the pool's thread in the main process"] = seconds(run.owner_cpu)
    shown["CPUs"] = str(run.cpus)
    shown.update(run.machine)
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in shown.items()
    )
    return f'<table class="facts">{rows}</table>'


def _figure(name: str, value: float) -> str:
    return human_bytes(int(value)) if "bytes" in name else f"{value:,.0f}"
