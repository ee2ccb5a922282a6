"""A run in a notebook's cell: the verdict, a bar, and its legend."""

from __future__ import annotations

import html

from .advice import advice, verdict
from .kinds import COLOURS, spent
from .model import Run
from .words import percent, seconds

# Parts of the workers' time below this, in percent, are not in the legend.
_SEEN = 0.1


def summary(run: Run) -> str:
    """Return a small summary, without a script."""
    parts = run.accounting()
    bars, legend = [], []
    for kind, value in spent(parts):
        colour, name = COLOURS[kind.paint], kind.label
        share = 100 * value / parts.total if parts.total else 0
        title = f"{name} {seconds(value)}"
        bars.append(
            f"<span title='{title}' style='display:inline-block;height:14px;width:{share:.3f}%;"
            f"background:{colour}'></span>"
        )
        if share < _SEEN:
            continue
        legend.append(
            f"<span style='white-space:nowrap;margin-right:1em'><span style='display:inline-block;"
            f"width:.8em;height:.8em;background:{colour}'></span> {name} {seconds(value)} "
            f"({percent(value, parts.total)})</span>"
        )
    said = "".join(
        f"<p><b>{html.escape(each.title)}.</b> {html.escape(each.evidence)} "
        f"{html.escape(each.change)} Gain: {html.escape(each.gain)}.</p>"
        for each in advice(run)
    )
    return (
        f"<div style='max-width:60em'><p>{html.escape(verdict(run))}</p>"
        f"<div style='line-height:0;white-space:nowrap'>{''.join(bars)}</div>"
        f"<p>{' '.join(legend)}</p>{said}</div>"
    )
