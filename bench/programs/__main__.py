"""The command: ``python -m bench.programs``, or ``make bench-programs ARGS="..."``.

Prints ratios and geometric means, writes ``programs.json``, and with ``--record`` a line of the
bars for ``--publish`` (``bench.runs``). Exits with 1 when a bar was missed; the short form, whose
programs are few, has none.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .. import record, runs, table
from ..process import ROOT
from . import catalog, measure, outcome, show

PACKAGES = ("black", "dask", "deap", "dynesty", "emcee", "flake8", "lmfit", "pandas", "scikit-learn",
            "scipy", "torch", "tqdm")  # fmt: skip


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.programs", description="real programs")
    parser.add_argument(
        "--only", action="append", choices=catalog.NAMES, metavar="NAME", help="may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="print the programs and end")
    parser.add_argument("--short", action="store_true", help="a few programs, once: one minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="runs of each (3; --short: 1)")
    parser.add_argument("--record", action="store_true", help="keep the bars for --publish")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="for JSON")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds is at least 1")
    if options.record and (options.only or options.short):
        parser.error("--record is for runs of every program")
    return options


def _chosen(options: argparse.Namespace) -> list[catalog.Program]:
    if options.only:
        return [catalog.program(name) for name in options.only]
    return [one for one in catalog.PROGRAMS if one.short or not options.short]


def _document(facts: dict[str, Any], found: list[measure.Runs]) -> dict[str, Any]:
    return {
        "machine": facts,
        "programs": {
            one.program.name: {
                "walls": one.walls,
                "cpus": one.cpus,
                "equal": one.equal,
                "notes": one.notes,
            }
            for one in found
        },
        "verdicts": [record.verdict(each) for each in outcome.verdicts(found)],
    }


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    console = table.console()
    if options.list:
        for one in catalog.PROGRAMS:
            console.print(f"[bold]{one.name:16}[/bold] {', '.join(one.ways)}")
        return 0
    facts = record.machine(PACKAGES)
    rounds = options.rounds or (1 if options.short else 3)
    with console.status("") as status:
        found = measure.all_of(_chosen(options), rounds, status.update)
    verdicts = outcome.verdicts(found)
    console.print(show.programs(found, outcome.ratios(found)))
    console.print(show.bars(verdicts))
    record.write(options.out / "programs.json", _document(facts, found))
    console.print(f"written: {options.out / 'programs.json'}")
    if options.record:
        path = options.out / runs.FILE
        bars = [record.verdict(each) for each in verdicts]
        runs.add(path, facts, {"programs": runs.entry(bars, "", {})})
        console.print(f"recorded: {path}")
    failed = any(one.notes and one.program.missing == [] for one in found)
    judged = [] if options.short or options.only else verdicts
    return int(failed or any(verdict.met is False for verdict in judged))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
