"""Experiments as one self-contained page of HTML: no network, no file, no script.

It uses the stylesheet of the pool's report, and the same function for its tables. Pictures are
vectors in the page (``svg``). All text from elsewhere is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..._report.html import asset, data_table
from ..._report.words import escape, seconds
from . import svg
from .face import Claim, Table, pictures, tables
from .finding import experiment
from .running import Run
from .terminal import load, summary

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# Styles that the report's stylesheet lacks.
_STYLE = """
section { margin: 0 0 44px; } section > h2 { font-size: 17px; color: var(--ink); margin: 34px 0 2px; }
p.where, p.note { color: var(--soft); font-size: 12.5px; margin: 2px 0 10px; max-width: 80em; }
table.data td { vertical-align: top; } table.data tr.strong td { font-weight: 600; }
table.data td, table.data th { white-space: normal; max-width: 32em; }
table.data td.left, table.data th.left { text-align: left; }
table.data :is(td, th):not(.left, :first-child) { white-space: nowrap; }
ul.claims { list-style: none; padding: 0; margin: 14px 0 0; max-width: 80em; }
ul.claims li { padding: 3px 0 3px 9.5em; text-indent: -9.5em; }
ul.claims b { display: inline-block; width: 9.5em; text-indent: 0; font-weight: 600; color: var(--running); }
ul.claims span, p.todo span { color: var(--soft); }
p.todo { max-width: 80em; margin: 10px 0 0; }
ul.claims li.not b { color: var(--lost); }
section > .scroll { margin-top: 18px; } figure { margin: 16px 0 0; } figcaption { color: var(--soft); margin: 0 0 6px; }
svg.lab { display: block; width: 100%; height: auto; max-width: 1100px; }
svg.lab text { fill: var(--soft); font-size: 12px; } svg.lab .axis { stroke: var(--line); }
details { margin: 14px 0 0; color: var(--soft); } details pre { font-size: 12px; overflow-x: auto; }
nav a { color: var(--focus); margin-right: 1.2em; }
figure .scroll { overflow-x: auto; }
@media (max-width: 640px) {
  ul.claims li { padding-left: 0; text-indent: 0; margin-bottom: 8px; } ul.claims b { display: block; }
  svg.lab { min-width: 720px; }
}
"""


def page(runs: Sequence[Run]) -> str:
    """Return the whole page."""
    names = [run.name for run in runs]
    title = f"onecopy lab: {names[0]}" if len(names) == 1 else "onecopy lab"
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in names)
    nav = f"<nav>{links}</nav>\n" if len(names) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{asset('style.css')}{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<header><h1>{escape(title)}</h1></header>\n{nav}"
        + "".join(_section(run) for run in runs)
        + "</main>\n</body>\n</html>\n"
    )


def _section(run: Run) -> str:
    found = experiment(run.name)
    where = run.machine
    line = (
        f"{run.size}, {seconds(run.seconds)}; {where['cores']} cores, {where['memory']}, "
        f"{where['system']}, {where['python']}, {where['date']}; {load(run)}"
    )
    claims = found.claims(run.data)
    return (
        f'<section id="{escape(run.name)}">\n<h2>{escape(run.name)}</h2>\n'
        f'<p class="verdict">{escape(found.QUESTION)}</p>\n<p class="where">{escape(line)}</p>\n'
        + _conclusion(run.name, found.ADVICE, claims)
        + _claims(claims)
        + "".join(_table(each) for each in tables(found, run.data))
        + "".join(svg.figure(each) for each in pictures(found, run.data))
        + _said(run.said)
        + "</section>\n"
    )


def _table(table: Table) -> str:
    """Return a table: the report's, which aligns only the first column left, or one with more."""
    title = f"<h2>{escape(table.title)}</h2>" if table.title else ""
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    rows = [
        (' class="strong"' if at in table.strong else "", row) for at, row in enumerate(table.rows)
    ]
    return title + data_table(table.head, rows, left=table.left) + note + "\n"


def _conclusion(name: str, advice: str, claims: Sequence[Claim]) -> str:
    return (
        f'<p class="todo"><b>{escape(summary(claims))}</b> {escape(advice)} '
        f"<span>More: <code>docs/lab/{escape(name)}.md</code></span></p>\n"
    )


def _claims(claims: Sequence[Claim]) -> str:
    verdicts = {True: "<li><b>holds</b>", False: '<li class="not"><b>not so here</b>'}
    items = "".join(
        f"{verdicts[each.holds]}{escape(each.sentence)} <span>Expected: {escape(each.expected)}.</span></li>"
        for each in claims
    )
    return f'<ul class="claims">{items}</ul>\n' if items else ""


def _said(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    text = escape("\n".join(lines))
    return f"<details><summary>What the processes said</summary><pre>{text}</pre></details>\n"
