"""Chaos on the command line: ``python -m tests.chaos --seed 1 --method fork``.

Runs, prints a table, and ends with status 1 when a result was lost, something hung or was
left behind. Nothing is decided here.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from typing import Literal

from onecopy.pool import Method
from tests.chaos.run import Plan, Report, run

_METHODS: tuple[Method | Literal["hosts"], ...] = ("fork", "forkserver", "spawn", "hosts")


def main() -> int:
    """Runs what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of all choices; a fresh one by default")
    parser.add_argument("--seconds", type=float, default=1200, help="for each method, at most")
    parser.add_argument("--tasks", type=int, default=100_000, help="for each method, at least")
    parser.add_argument("--faults", type=int, default=500, help="under each method")
    parser.add_argument("--method", choices=[*_METHODS, "all"], default="all")
    parser.add_argument("--workers", type=int, default=4)
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 31) if chosen.seed is None else chosen.seed
    reports = []
    for method in _METHODS if chosen.method == "all" else [chosen.method]:
        plan = Plan(method, seed, chosen.seconds, chosen.tasks, chosen.faults, chosen.workers)
        print(plan, flush=True)
        report = run(plan)
        reports.append(report)
        print(report if report.failed else f"  all right in {report.seconds:.0f} s", flush=True)
        if report.hung:
            break  # what hangs holds on to things: nothing after it would be judged fairly
    print(table(reports), flush=True)
    status = int(any(report.failed for report in reports))
    if any(report.hung for report in reports):
        os._exit(status)  # not through an exit that waits for what hangs
    return status


def table(reports: list[Report]) -> str:
    """The work done under each method, and the faults found."""
    rows: list[list[str]] = [["", *(report.plan.method for report in reports)]]

    def row(name: str, values: list[int]) -> None:
        rows.append([name, *(f"{value:,}" for value in values)])

    row("tasks", [report.tasks for report in reports])
    row("faults", [report.faults.total() for report in reports])
    for kind in sorted({kind for report in reports for kind in report.faults}):
        row(f"  {kind}", [report.faults[kind] for report in reports])
    row("results lost", [len(report.lost) for report in reports])
    row("hangs", [len(report.hung) for report in reports])
    row("leaks", [len(report.leaked) for report in reports])
    row("seconds", [round(report.seconds) for report in reports])
    width = max(len(cells[0]) for cells in rows)
    return "\n".join(
        cells[0].ljust(width) + "".join(cell.rjust(13) for cell in cells[1:]) for cells in rows
    )


if __name__ == "__main__":
    sys.exit(main())
