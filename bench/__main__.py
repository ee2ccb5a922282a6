"""The command: ``python -m bench``, or ``make bench ARGS="..."``.

Prints tables, writes ``results.json``, and, when the main job was run, draws the chart.
Exits with 1 when a bar was missed that this run could judge.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from rich.console import Console

from . import chart, record, runner, table
from .face import DEFAULT_RECORDS, FULL_RECORDS, Size
from .figures import NAMES, figure
from .runner import Outcome

HERE = Path(__file__).resolve().parent


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description="onecopy beside its peers")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="NAME", help="a figure; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="print the figures and end")
    parser.add_argument("--full", action="store_true", help="main job on the 4.6 GB file")
    parser.add_argument("--records", type=int, metavar="N", help="main job on N records")
    parser.add_argument("--rounds", type=int, metavar="N", help="samples per contender")
    parser.add_argument("--dir", type=Path, default=HERE / ".cache", help="where the file is kept")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="for JSON and chart")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds is at least 1")
    return options


def _list(console: Console) -> None:
    for name in NAMES:
        console.print(f"[bold]{name:16}[/bold] {figure(name).what}")


def _measure(options: argparse.Namespace, size: Size, console: Console) -> list[Outcome]:
    outcomes = []
    for name in options.only or NAMES:
        with console.status(name) as status:
            outcome = runner.run(figure(name), size, options.rounds, status.update)
        console.print(table.one(outcome, full=size.full))
        outcomes.append(outcome)
    return outcomes


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    console = table.console()
    if options.list:
        _list(console)
        return 0
    # Pools that fork while others have threads: the peers' default on this system, and
    # what Python 3.12 and later warn of. All are made before work is given to any.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    records = options.records or (FULL_RECORDS if options.full else DEFAULT_RECORDS)
    size = Size(records, options.dir.resolve())
    facts = record.machine()
    outcomes = _measure(options, size, console)
    console.print(table.summary(outcomes, full=size.full))
    content = record.document(facts, size, outcomes)
    record.write(options.out / "results.json", content)
    console.print(f"written: {options.out / 'results.json'}")
    for drawn in chart.draw(options.out, content):
        console.print(f"written: {drawn}")
    judged = [one for one in outcomes if size.full or not one.figure.sized]
    return int(any(verdict.met is False for one in judged for verdict in one.verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
