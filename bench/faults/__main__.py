"""The command: ``python -m bench.faults``, or ``make bench-faults ARGS="..."``.

Prints the table and writes ``faults.json``. A run of everything also puts the table into
``bench/README.md`` and a short one into ``README.md``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import record
from ..process import ROOT
from . import judge, peers, rows, show, watch
from .facts import Facts
from .judge import Defect
from .peers import Peer
from .rows import Fault

# Characters of an error's text, and of what was printed, that are kept in the record.
TEXT = 400

Runs = dict[tuple[str, str], list[Facts]]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.faults", description="what pools survive")
    parser.add_argument(
        "--only", action="append", choices=rows.NAMES, metavar="FAULT", help="may be repeated"
    )
    parser.add_argument(
        "--peer", action="append", choices=peers.NAMES, metavar="POOL", help="may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="print faults and pools, and end")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="runs of each cell (three times as many where it is luck)",
    )
    parser.add_argument("--details", action="store_true", help="print what was seen in each round")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results", help="for JSON")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    return options


def _list(console: Console) -> None:
    for fault in rows.FAULTS:
        console.print(f"[bold]{fault.name:16}[/bold] {fault.title}")
    for name in peers.NAMES:
        console.print(f"[bold]{name}[/bold]")


def _applies(fault: Fault, peer: Peer) -> bool:
    return not fault.needs or fault.needs in peer.offers


def _run(faults: list[Fault], pools: list[Peer], rounds: int, console: Console) -> Runs:
    """Every cell; rounds outermost, so that those of one cell are far apart."""
    runs: Runs = {}
    with console.status("") as status:
        for turn in range(rounds):
            for fault in faults:
                for peer in pools:
                    if not _applies(fault, peer):
                        continue
                    status.update(f"round {turn + 1}: {fault.title}, {peer.name}")
                    for number in range(turn * fault.times, (turn + 1) * fault.times):
                        facts = watch.run(peer, fault, number)
                        runs.setdefault((fault.name, peer.name), []).append(facts)
    return runs


def _judged(faults: list[Fault], pools: list[Peer], runs: Runs) -> dict[tuple[str, str], Any]:
    cells: dict[tuple[str, str], Defect | str] = {}
    for fault in faults:
        for peer in pools:
            found = runs.get((fault.name, peer.name))
            cell = judge.verdict(fault, found) if found else "n/a"
            cells[fault.name, peer.name] = "–" if cell is None else cell
    return cells


def _details(runs: Runs, console: Console) -> None:
    for (fault, peer), found in runs.items():
        for facts in found:
            marks = [defect.mark for defect in judge.defects(rows.fault(fault), facts)]
            console.print(f"{fault}, {peer}: {marks or 'ok'}", markup=False)
            console.print(f"  {facts}", markup=False, soft_wrap=True)


def _short(facts: Facts) -> dict[str, Any]:
    """The text that is recorded: the beginning of each text."""
    content = asdict(facts)
    content["noise"] = content["noise"][:TEXT]
    if content["answer"] is not None:
        content["answer"]["text"] = content["answer"]["text"][:TEXT]
    return content


def _document(runs: Runs, cells: dict[tuple[str, str], Any]) -> dict[str, Any]:
    machine = record.machine()
    for name in (name for peer in peers.PEERS for name in peer.packages):
        try:
            machine["packages"][name] = version(name)
        except PackageNotFoundError:
            machine["packages"][name] = "not installed"
    found: dict[str, dict[str, Any]] = {}
    for (fault, peer), cell in cells.items():
        seen = runs.get((fault, peer), [])
        found.setdefault(fault, {})[peer] = {
            "mark": cell if isinstance(cell, str) else cell.mark,
            "defects": [
                [defect.mark for defect in judge.defects(rows.fault(fault), one)] for one in seen
            ],
            "rounds": [_short(one) for one in seen],
        }
    return {"machine": machine, "legend": judge.LEGEND, "faults": found}


def _publish(cells: dict[tuple[str, str], Any], console: Console) -> None:
    brief = [fault for fault in rows.FAULTS if fault.brief]
    for path, text in (
        (ROOT / "bench" / "README.md", show.markdown(rows.FAULTS, peers.PEERS, cells)),
        (ROOT / "README.md", show.markdown(brief, peers.PEERS, cells, legend=False)),
    ):
        if show.insert(path, text):
            console.print(f"written: {path}")


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    console = show.console()
    if options.list:
        _list(console)
        return 0
    faults = [rows.fault(name) for name in options.only or rows.NAMES]
    pools = [peers.peer(name) for name in options.peer or peers.NAMES]
    runs = _run(faults, pools, options.rounds, console)
    cells = _judged(faults, pools, runs)
    if options.details:
        _details(runs, console)
    console.print(show.terminal(faults, pools, cells))
    record.write(options.out / "faults.json", _document(runs, cells))
    console.print(f"written: {options.out / 'faults.json'}")
    if not options.only and not options.peer:
        _publish(cells, console)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
