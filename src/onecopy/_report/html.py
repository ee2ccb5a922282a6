"""A run as one page of HTML that needs nothing else: no network, no other file.

What is said in words and tables is plain HTML, and can be read without scripts. The spans
travel as binary columns, deflated and in base64, and ``page/lanes.js`` draws them. A policy
in the page itself forbids the browser to fetch anything.

Everything that stands in a page and was not written here is escaped: names of functions are
the user's, and may be anything.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from typing import IO, Any

import numpy as np

from .._observe.columns import LOST, OTHER, OWNER, STATES
from .advice import advice, verdict
from .model import Run, Table
from .terminal import slowest
from .words import count, human_bytes, items, percent, seconds

# The page's own columns: times in nanoseconds from the run's begin, stretches of time and
# sizes as floats. First what is drawn, so that a page of a million tasks is soon alive.
_DRAWN = (
    ("received", "f8"),
    ("unpack", "f4"),
    ("compute", "f4"),
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
    ("load", "f4"),
    ("deliver", "f4"),
    ("waited", "f4"),
    ("cpu", "f4"),
    ("args_moved", "f4"),
    ("args_shared", "f4"),
    ("result_moved", "f4"),
    ("result_shared", "f4"),
)
# Of the details' floats three digits are shown: the rest of the mantissa would be noise that
# cannot be deflated. With very many spans the third digit goes as well.
_DIGITS, _FEWER = np.uint32(0xFFFFF000), np.uint32(0xFFFF8000)
_MANY = 200_000
_SLOWEST = 15
_FUNCTIONS = 50
# Points of the memory curves: more than this nobody can see.
_POINTS = 1_500
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
_KINDS = {
    "compute": "inside your functions",
    "decode": "unpacking arguments, loading functions",
    "encode": "packing results",
    "blocked": "writing results that the owner had not read",
    "startup": "until a worker was ready",
    "waiting": "for tasks",
    "tail": "done, while others were still at work",
    "lost": "in what died with its worker",
}
_FACTS = {
    "segments": "segments in shared memory",
    "segment_bytes": "bytes in them",
    "arenas": "arenas for messages",
    "arena_bytes": "bytes in them at most",
    "saved_bytes": "saved by one copy of shared data",
    "bytes_through_pipes": "through pipes",
    "argument_bytes_copied": "arguments copied",
    "argument_bytes_shared": "arguments referred to",
    "inherited_bytes_copied": "inherited memory copied by forked workers",
    "workers_started": "workers started",
}


@dataclass(frozen=True)
class Preface:
    """What a page says in the place of the run's own words; for programs that are not ours.

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
    """Writes the page."""
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
    }
    preface = preface or _own_words(run)
    file.write(_head(preface))
    file.write(_body(run, ordered, preface))
    file.write(f'<script type="application/json" id="run">{_json(head)}</script>\n')
    values = _values(run, ordered)
    file.write(f'<script type="text/plain" id="drawn">{_packed(values, _DRAWN)}</script>\n')
    for name in ("uplot.js", "memory.js", "lanes.js", "page.js"):
        file.write(f"<script>{asset(name)}</script>\n")
    # Behind the scripts: they begin before this has been read.
    file.write(f'<script type="text/plain" id="details">{_packed(values, _DETAILS)}</script>\n')
    file.write("</body>\n</html>\n")


def asset(name: str) -> str:
    """A file of the page, as text."""
    return files(__package__).joinpath("page", name).read_text("utf-8")


def _json(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends one."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


# The data.


def _lanes(run: Run) -> tuple[Table, list[dict[str, Any]]]:
    """The spans that can be drawn, lane by lane, and the lanes."""
    drawn = run.spans[run.spans["finished"] > 0]
    drawn = drawn[np.lexsort((drawn["received"], drawn["worker"]))]
    lanes = []
    for life in run.workers:
        low, high = np.searchsorted(drawn["worker"], [life["worker"], life["worker"] + 1])
        gone = int(life["gone"]) or run.ended
        ready = int(life["ready"]) or gone
        marks = [_mark(run, int(life["born"]), ready, "startup")]
        mine = run.spans["worker"] == life["worker"]
        if (run.spans["state"][mine] == LOST).any():
            marks.append(_mark(run, max(int(life["last"]), ready), gone, "lost"))
        label = f"worker {life['worker']}"
        lanes.append({"label": label, "lo": int(low), "hi": int(high), "marks": marks})
    return drawn, lanes


def _mark(run: Run, begin: int, end: int, kind: str) -> dict[str, Any]:
    return {"from": begin - run.began, "to": max(begin, end) - run.began, "kind": kind}


def _values(run: Run, spans: Table) -> dict[str, Table]:
    same = {name: spans[name] for name in spans.dtype.names or ()}
    return same | {
        "received": spans["received"] - run.began,
        "unpack": spans["started"] - spans["received"],
        "compute": spans["finished"] - spans["started"],
        "encode": spans["encoded"] - spans["finished"],
        "queued": np.maximum(0, spans["sent"] - spans["submitted"]),
        "load": spans["started"] - spans["decoded"],
        "deliver": spans["returned"] - spans["encoded"],
        "faults": spans["minor_faults"] + spans["major_faults"],
    }


def _packed(values: dict[str, Table], columns: Iterable[tuple[str, str]]) -> str:
    """The columns one behind the other, each from a multiple of 8 bytes on."""
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
    """Curves of each process, on common times."""
    table = run.memory
    times, rows = np.unique(table["time"], return_inverse=True)
    step = -(-len(times) // _POINTS) if len(times) else 1
    kept = np.arange(0, len(times), step)
    processes = []
    keys: Any = np.unique(np.stack([table["worker"], table["pid"]]), axis=1).T if len(table) else []
    for worker, pid in sorted(keys, key=lambda key: (key[0] != OWNER, key[0] == OTHER, key[0])):
        mine = (table["worker"] == worker) & (table["pid"] == pid)
        curves = {}
        for name in ("pss", "rss"):
            full = np.full(len(times), np.nan)
            full[rows[mine]] = table[name][mine]
            curves[name] = [None if np.isnan(v) else int(v) for v in full[kept]]
        label = "owner" if worker == OWNER else f"worker {worker}" if worker >= 0 else "zygote"
        processes.append({"label": label, **curves})
    at = [round((int(time) - run.began) / 1e9, 4) for time in times[kept]]
    return {"times": at, "processes": processes}


# The words.


def _own_words(run: Run) -> Preface:
    when = datetime.fromtimestamp(run.clock, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return Preface(
        title=f"onecopy: {count(run.tasks, 'task')} in {seconds(run.wall)}",
        subtitle=f"{run.method}, {count(run.wanted, 'worker')}, {when}",
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
<p class="hint">Wheel or <kbd>+</kbd> <kbd>&minus;</kbd> zoom, drag or <kbd>←</kbd> <kbd>→</kbd> move, <kbd>0</kbd> whole run,
 <kbd>,</kbd> <kbd>.</kbd> from task to task, <kbd>Enter</kbd> to see it close. Where there are many tasks to a pixel, the height is the share of time.</p>
<div id="live" class="live" aria-live="polite"></div>
</section>
<section id="curves" hidden>
<div class="tools"><h2>Memory</h2><select id="kind" aria-label="which figure">
<option value="pss">PSS, stacked</option><option value="rss">RSS</option></select></div>
<p id="rss" class="warn" style="display:none">RSS counts a shared page once for each process that maps it: these curves must not be added up.</p>
<div id="memory"></div>
</section>
<h2>Slowest tasks</h2>
{_slowest(run, ordered)}
<div class="columns">
<div><h2>Functions</h2>{_functions(run)}</div>
<div><h2>Facts</h2>{_facts(run)}</div>
</div>
</main>
<div id="tip" class="tip" role="tooltip"></div>
"""


def _accounting(run: Run) -> str:
    parts = run.accounting()
    bars, legend = [], []
    for kind, what in _KINDS.items():
        value = max(0.0, getattr(parts, kind))
        share = 100 * value / parts.total if parts.total else 0.0
        if not value:
            continue
        name = "start-up" if kind == "startup" else kind
        bars.append(f'<i class="k-{kind}" style="width:{share:.4f}%" title="{name}"></i>')
        legend.append(
            f'<li title="{what}"><i class="k-{kind}"></i>{name} <b>{seconds(value)}</b> '
            f"<span>{percent(value, parts.total)}</span></li>"
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
        f"<li><b>{escape(each.title)}</b><p>{escape(each.evidence)}</p><p>{escape(each.change)}</p>"
        f'<p class="gain">Gain: {escape(each.gain)}.</p></li>'
        for each in advice(run)
    ]
    return f'<ul class="advice">{"".join(items)}</ul>' if items else ""


def data_table(
    head: Sequence[str],
    rows: Iterable[tuple[str, Sequence[str]]],
    left: Container[int] = (0,),
) -> str:
    """A table of text, escaped here.

    Args:
        head: names of the columns.
        rows: attributes of the row, and its cells.
        left: columns that stand left; figures stand right.
    """
    aligned = ["" if at not in left or at == 0 else ' class="left"' for at in range(len(head))]
    top = "".join(
        f"<th{side}>{escape(name)}</th>" for side, name in zip(aligned, head, strict=True)
    )
    body = "".join(
        f"<tr{attributes}>"
        + "".join(
            f'<td title="{escape(cells[0])}">{escape(cells[0])}</td>'
            if at == 0
            else f"<td{aligned[at]}>{escape(cell)}</td>"
            for at, cell in enumerate(cells)
        )
        + "</tr>"
        for attributes, cells in rows
    )
    return f'<div class="scroll"><table class="data"><tr>{top}</tr>{body}</table></div>'


def _slowest(run: Run, ordered: Table) -> str:
    rows = []
    for span in slowest(run, _SLOWEST):
        drawn = np.flatnonzero(
            (ordered["worker"] == span["worker"]) & (ordered["received"] == span["received"])
        )
        attributes = f' data-span="{drawn[0]}" tabindex="0"' if len(drawn) else ""
        cells = (
            run.functions[int(span["function"])],
            items(int(span["start"]), int(span["stop"]), int(span["task"])),
            STATES[int(span["state"])],
            str(span["worker"]),
            seconds(max(0, int(span["started"]) - run.began) / 1e9),
            seconds(int(span["finished"] - span["started"]) / 1e9),
            seconds(int(span["cpu"]) / 1e9),
            human_bytes(int(span["args_moved"]) + int(span["result_moved"])),
        )
        rows.append((attributes, cells))
    head = ("function", "which", "state", "worker", "after", "compute", "CPU", "moved")
    return data_table(head, rows)


def _functions(run: Run) -> str:
    totals, rows = run.totals, []
    for index in np.unique(totals["function"]):
        some = totals[totals["function"] == index]
        sums = {name: int(some[name].sum()) for name in some.dtype.names or ()}
        rows.append((sums["compute"], run.functions[int(index)], sums))
    rows.sort(key=lambda row: -row[0])
    cells: list[tuple[str, Sequence[str]]] = [
        (
            "",
            (
                name,
                f"{sums['tasks']:,}",
                f"{sums['failed'] + sums['lost']:,}",
                seconds(compute / 1e9),
                seconds(compute / 1e9 / max(1, sums["tasks"])),
                human_bytes(sums["args_moved"] + sums["result_moved"]),
                human_bytes(sums["args_shared"] + sums["result_shared"]),
            ),
        )
        for compute, name, sums in rows[:_FUNCTIONS]
    ]
    if len(rows) > _FUNCTIONS:
        cells.append(("", (f"… and {len(rows) - _FUNCTIONS} more", *[""] * 6)))
    head = ("name", "tasks", "not done", "compute", "mean", "moved", "shared")
    return data_table(head, cells)


def _facts(run: Run) -> str:
    shown = {_FACTS.get(name, name): _figure(name, value) for name, value in run.facts.items()}
    shown["owner's thread, CPU"] = seconds(run.owner_cpu)
    shown["CPUs"] = str(run.cpus)
    shown.update(run.machine)
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in shown.items()
    )
    return f'<table class="facts">{rows}</table>'


def _figure(name: str, value: float) -> str:
    return human_bytes(int(value)) if "bytes" in name else f"{value:,.0f}"
