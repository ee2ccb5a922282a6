"""The command of a suite of figures: measure, print, keep, publish.

``python -m bench`` has our own figures, ``python -m bench.published`` those that others have
published. Prints tables, writes JSON, and, when the main job was run, draws the chart. Exits with
1 when a bar was missed that this run could judge, and with 2 when there is too little to publish.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from . import chart, record, runner, runs, table
from .face import DEFAULT_RECORDS, FULL_RECORDS, Figure, Size
from .runner import Outcome

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Suite:
    """Figures that are run together.

    Attributes:
        name: of its module.
        about: one line for ``--help``.
        names: of its figures, in the order in which they are run.
        figure: imports one, and its peers with it.
        file: the results' JSON.
        packages: whose versions belong to the record.
    """

    name: str
    about: str
    names: Sequence[str]
    figure: Callable[[str], Figure]
    file: str
    packages: tuple[str, ...] = ()


def _group(name: str) -> str:
    return name.partition("_")[0]


def _options(arguments: list[str], suite: Suite) -> argparse.Namespace:
    parser = argparse.ArgumentParser(f"python -m {suite.name}", description=suite.about)
    parser.add_argument(
        "--only",
        action="append",
        choices=[*suite.names, *(_group(name) for name in suite.names)],
        metavar="NAME",
        help="a figure, or the first word of several's names; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="print the figures and end")
    parser.add_argument("--full", action="store_true", help="main job on the 4.6 GB file")
    parser.add_argument("--records", type=int, metavar="N", help="main job on N records")
    parser.add_argument("--rounds", type=int, metavar="N", help="samples per contender")
    parser.add_argument("--dir", type=Path, default=HERE / ".cache", help="where the file is kept")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="for JSON and chart")
    parser.add_argument("--record", action="store_true", help="keep this run for --publish")
    parser.add_argument(
        "--publish",
        action="store_true",
        help=f"measure nothing; write the ranges over {runs.LEAST} or more kept runs into the pages",
    )
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds is at least 1")
    if options.record and options.rounds is not None:
        parser.error("--record is for runs with every round")
    return options


def _measure(
    options: argparse.Namespace, suite: Suite, size: Size, console: Console
) -> list[Outcome]:
    outcomes = []
    # A first word that is a figure's whole name is that figure.
    only = options.only or suite.names
    groups = set(only) - set(suite.names)
    for name in suite.names:
        if name not in only and _group(name) not in groups:
            continue
        with console.status(name) as status:
            outcome = runner.run(suite.figure(name), size, options.rounds, status.update)
        console.print(table.one(outcome, full=size.full))
        outcomes.append(outcome)
    return outcomes


def _publish(options: argparse.Namespace, console: Console) -> int:
    try:
        pages = runs.publish(options.out / runs.FILE)
    except runs.TooFewRunsError as error:
        console.print(f"nothing was written: {error} (--record keeps a run)")
        return 2
    for page in pages:
        console.print(f"written: {page}")
    return 0


def _keep(path: Path, content: dict[str, Any], size: Size, console: Console) -> None:
    """Keeps all figures that this run could judge."""
    kept = {
        name: runs.entry(found["verdicts"], found["unit"], found["medians"])
        for name, found in content["figures"].items()
        if size.full or not found["for_full_size"]
    }
    runs.add(path, content["machine"], kept)
    console.print(f"recorded: {path}")


def main(arguments: list[str], suite: Suite) -> int:
    options = _options(arguments, suite)
    console = table.console()
    if options.list:
        for name in suite.names:
            console.print(f"[bold]{name:16}[/bold] {suite.figure(name).what}")
        return 0
    if options.publish:
        return _publish(options, console)
    # Pools that fork while others have threads: the peers' default on this system, and
    # what Python 3.12 and later warn of. All are made before work is given to any.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    records = options.records or (FULL_RECORDS if options.full else DEFAULT_RECORDS)
    size = Size(records, options.dir.resolve())
    facts = record.machine(suite.packages)
    outcomes = _measure(options, suite, size, console)
    console.print(table.summary(outcomes, full=size.full))
    content = record.document(facts, size, outcomes)
    record.write(options.out / suite.file, content)
    console.print(f"written: {options.out / suite.file}")
    for drawn in chart.draw(options.out, content):
        console.print(f"written: {drawn}")
    if options.record:
        _keep(options.out / runs.FILE, content, size, console)
    judged = [one for one in outcomes if size.full or not one.figure.sized]
    return int(any(verdict.met is False for one in judged for verdict in one.verdicts))
