"""Runs that are kept, a line of JSON each, and the ranges over them that pages show.

``--record`` adds a line to ``results/runs.jsonl``: the machine, and of each figure its bars and its
contenders' medians. ``--publish`` writes the ranges over these lines into the pages, between the
comments

    <!-- figures: NAME NAME ... -->
    <!-- figures: end -->

where ``all`` stands for every figure that has enough runs. Runs of another machine than that of the
last line do not count, and of runs that began within half an hour of each other the first alone
does. Nothing is written unless each figure that a page names has ``LEAST`` runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from .face import Sense
from .process import ROOT
from .table import number

FILE = "runs.jsonl"
LEAST = 5
APART = timedelta(minutes=30)
PAGES = ("README.md", "bench/README.md", "docs/scale.md")
_BLOCK = re.compile(r"(<!-- figures: (?!end)([\w ]+) -->\n).*?(<!-- figures: end -->)", re.DOTALL)
_SAME = ("cpu", "cores", "memory", "system", "python")

Run = dict[str, Any]


class TooFewRunsError(Exception):
    """A page names a figure that has not been recorded often enough."""


def entry(
    verdicts: Iterable[Mapping[str, Any]], unit: str, medians: Mapping[str, float]
) -> dict[str, Any]:
    """A figure in a line; ``verdicts`` as ``record.verdict`` makes them."""
    kept = ("bar", "sense", "limit", "measured", "met")
    return {
        "unit": unit,
        "bars": [{key: one[key] for key in kept} for one in verdicts],
        "medians": {name: float(f"{value:.4g}") for name, value in medians.items()},
    }


def add(path: Path, machine: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Adds a run to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"machine": machine, "figures": figures}) + "\n")


def read(path: Path) -> list[Run]:
    """The runs of the last line's machine, in the order in which they began."""
    lines = path.read_text().splitlines() if path.exists() else []
    runs = [json.loads(line) for line in lines]
    same = [run for run in runs if _machine(run) == _machine(runs[-1])]
    return sorted(same, key=lambda run: str(run["machine"]["date"]))


def _machine(run: Run) -> list[Any]:
    return [run["machine"][key] for key in _SAME]


def of_figure(runs: Iterable[Run], name: str) -> list[Run]:
    """Those that have the figure and began at different times."""
    found: list[Run] = []
    for run in runs:
        if name in run["figures"] and (not found or _began(run) - _began(found[-1]) >= APART):
            found.append(run)
    return found


def _began(run: Run) -> datetime:
    return datetime.fromisoformat(run["machine"]["date"])


def _range(values: list[float], sense: str, unit: str) -> str:
    ratio = sense in (Sense.AT_MOST.value, Sense.AT_LEAST.value)
    shown = [
        f"{value:.3g}" if ratio else number(float(f"{value:.4g}"), unit)
        for value in (min(values), max(values))
    ]
    return shown[0] if shown[0] == shown[1] else f"{shown[0]} to {shown[1]}"


def _rows(name: str, runs: list[Run]) -> list[str]:
    """A row for each bar of the figure: its range, its limit, in how many runs it was met."""
    last = runs[-1]["figures"][name]
    rows = []
    for at, bar in enumerate(last["bars"]):
        same = [run["figures"][name]["bars"] for run in runs]
        seen = [bars[at] for bars in same if at < len(bars) and bars[at]["bar"] == bar["bar"]]
        values = [one["measured"] for one in seen if one["measured"] is not None]
        if not values:
            continue
        sign = "≥" if bar["sense"] == Sense.AT_LEAST.value else "≤"
        met = sum(bool(one["met"]) for one in seen)
        limit = _range([bar["limit"]], bar["sense"], last["unit"])
        found = _range(values, bar["sense"], last["unit"])
        rows.append(f"| {bar['bar']} | {found} | {sign} {limit} | {met} of {len(values)} |")
    return rows


def _about(runs: list[Run]) -> str:
    machine = runs[-1]["machine"]
    loads = [run["machine"]["load"] for run in runs]
    first, last = (_began(run).date().isoformat() for run in (runs[0], runs[-1]))
    return (
        f"Ranges of medians over {len(runs)} runs from {first} to {last}: {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['memory'] / 1e9:.0f} GB, {machine['system']}, "
        f"Python {machine['python']}; load before a run {min(loads):.1f} to {max(loads):.1f}."
    )


def block(names: list[str], runs: list[Run]) -> str:
    """Return the text between the comments. Raises ``TooFewRunsError``."""
    if names == ["all"]:
        every = list(dict.fromkeys(name for run in runs for name in run["figures"]))
        names = [name for name in every if len(of_figure(runs, name)) >= LEAST]
    rows: list[str] = []
    used: list[Run] = []
    for name in names or ["any figure"]:
        found = of_figure(runs, name)
        if len(found) < LEAST:
            raise TooFewRunsError(f"{name}: {len(found)} recorded runs, {LEAST} are needed")
        rows += _rows(name, found)
        used += [run for run in found if run not in used]
    used.sort(key=_began)
    head = ["| figure, within one run | range | bar | met |", "|---|---|---|---|"]
    return "\n".join([_about(used), "", *head, *rows])


def publish(path: Path, pages: Iterable[Path] | None = None) -> list[Path]:
    """Writes the ranges into every page that has the comments; returns these. Raises
    ``TooFewRunsError``, and then writes nothing."""
    runs = read(path)
    changed: dict[Path, str] = {}
    for page in pages if pages is not None else [ROOT / name for name in PAGES]:
        text = page.read_text()
        new = _BLOCK.sub(lambda hit: f"{hit[1]}{block(hit[2].split(), runs)}\n{hit[3]}", text)
        if _BLOCK.search(text):
            changed[page] = new
    for page, text in changed.items():
        page.write_text(text)
    return list(changed)
