"""The terminal's view: for each figure its contenders and its bars; all bars at the end.

Fits 80 columns. A ratio beside a contender is its time over the best of ours, so a peer's
"12" means that it takes twelve times as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .face import Sense
from .ratios import Spread, Verdict, compare, spread
from .runner import Outcome

WIDTH = 80


def number(value: float, unit: str) -> str:
    """A sample for people: ``12.3 ms``, ``4.58 GB``, ``17``."""
    if unit == "s":
        for factor, name in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
            if abs(value) * factor >= 0.9995:
                return f"{value * factor:.3g} {name}"
        return f"{value * 1e6:.2g} µs" if value else "0 s"
    if unit == "B":
        for factor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if abs(value) >= factor:
                return f"{value / factor:.3g} {name}"
        return f"{value:.0f} B"
    return f"{value:g}"


def _is_ours(name: str) -> bool:
    return name.startswith("onecopy")


def _reference(outcome: Outcome) -> str | None:
    """The best of ours, when there are others to compare it with."""
    ours = [name for name in outcome.samples if _is_ours(name)]
    if not ours or len(ours) == len(outcome.samples):
        return None
    return min(ours, key=lambda name: median(outcome.samples[name]))


def contenders(outcome: Outcome) -> Table:
    """One row per contender: median, range, rounds and ratio."""
    unit, reference = outcome.figure.unit, _reference(outcome)
    table = Table(box=box.SIMPLE, width=WIDTH, pad_edge=False, show_edge=False)
    table.add_column("", ratio=1)
    for title in ("median", "least – greatest", "n", "× ours"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, values in outcome.samples.items():
        found = spread(values)
        ratio = ""
        if reference is not None:
            pair = compare(Sense.AT_MOST, values, outcome.samples[reference])
            ratio = "1" if name == reference else f"{pair.median:.3g}"
        table.add_row(
            Text(name, style="bold" if _is_ours(name) else ""),
            number(found.median, unit),
            f"{number(found.low, unit)} – {number(found.high, unit)}",
            str(len(values)),
            ratio,
        )
    return table


def _measured(verdict: Verdict, unit: str) -> tuple[str, str, str]:
    """The bar's number, its range, and its limit, as they are shown."""
    found = verdict.measured
    sense, limit = verdict.bar.sense, verdict.bar.limit
    if sense in (Sense.OVER, Sense.VALUE):
        sign = "≤"
        parts = [number(value, unit) for value in (limit, *_values(found))]
    else:
        sign = "≥" if sense is Sense.AT_LEAST else "≤"
        parts = [f"{value:.3g}×" for value in (limit, *_values(found))]
    if found is None:
        return "–", "", f"{sign} {parts[0]}"
    return parts[1], f"{parts[2]} – {parts[3]}", f"{sign} {parts[0]}"


def _values(found: Spread | None) -> tuple[float, ...]:
    return () if found is None else (found.median, found.low, found.high)


def _judged(verdict: Verdict, *, final: bool) -> Text:
    if verdict.met is None:
        return Text("–")
    text, style = ("met", "green") if verdict.met else ("MISSED", "bold red")
    return Text(text if final else f"({text})", style=style if final else "dim")


def _bar_table() -> Table:
    table = Table(box=box.SIMPLE, width=WIDTH, pad_edge=False, show_edge=False)
    table.add_column("bar", ratio=1)
    table.add_column("measured", justify="right", no_wrap=True, min_width=8)
    table.add_column("range", justify="right", no_wrap=True, min_width=15)
    table.add_column("limit", justify="right", no_wrap=True, min_width=8)
    table.add_column("", no_wrap=True, min_width=8)
    return table


def _add(table: Table, verdict: Verdict, unit: str, *, final: bool) -> None:
    label = Text(verdict.bar.text)
    if verdict.ours and verdict.bar.ours != (verdict.ours,):
        label.append(f"; worst: {verdict.ours}", style="dim")
    if len(verdict.bar.theirs) > 1 and verdict.theirs:
        label.append(f"; best of theirs: {verdict.theirs}", style="dim")
    table.add_row(label, *_measured(verdict, unit), _judged(verdict, final=final))


def _add_bars(table: Table, outcome: Outcome, *, full: bool) -> None:
    for verdict in outcome.verdicts:
        final = full or not outcome.figure.sized
        _add(table, verdict, outcome.figure.unit, final=final)


def verdicts(title: str, found: Iterable[Verdict], unit: str = "") -> RenderableType:
    """Bars that belong to no figure, in one table."""
    table = _bar_table()
    for verdict in found:
        _add(table, verdict, unit, final=True)
    return Group(Text(title, style="bold"), table)


def one(outcome: Outcome, *, full: bool) -> RenderableType:
    """All there is to say about one figure."""
    parts: list[RenderableType] = [
        Text.assemble((outcome.figure.name, "bold"), f"  {outcome.figure.what}"),
        contenders(outcome),
    ]
    if outcome.verdicts:
        bars = _bar_table()
        _add_bars(bars, outcome, full=full)
        parts += ["", bars]
    parts += [Text(f"note: {note}", style="yellow") for note in outcome.notes]
    return Group(*parts, "")


def summary(outcomes: Iterable[Outcome], *, full: bool) -> RenderableType:
    """Every bar of the run, in one table."""
    table = _bar_table()
    indicative = False
    for outcome in outcomes:
        _add_bars(table, outcome, full=full)
        indicative = indicative or (outcome.figure.sized and not full)
    note = "In brackets: the bar holds for --full, this run was smaller." if indicative else ""
    return Group(Text("All bars", style="bold"), table, Text(note, style="dim"))


def console(**options: object) -> Console:
    """A terminal of the right width."""
    return Console(width=WIDTH, highlight=False, **options)  # type: ignore[arg-type]
