"""``make doctor-truth``: every program, what was found, and what its cure saves.

``python -m tests.doctor [--rounds N] [--no-cures] [--overhead] [NAME...]``. With ``--overhead`` what
being watched costs is measured instead (see ``overhead``). A round in which other programs used
more than 15 % of the CPUs says nothing about times; savings are compared in the others alone.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from . import overhead, truth

_CALM = 0.15


def main() -> int:
    """Prints a line for each program; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.doctor")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-cures", action="store_true")
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    chosen = parser.parse_args()
    if chosen.overhead:
        return overhead.measure(max(5, chosen.rounds))
    programs = [each for each in truth.PROGRAMS if not chosen.names or each.name in chosen.names]
    bad = 0
    predictions: list[bool] = []
    for program in programs:
        if not truth.can_run(program):
            print(f"{program.title:28} left out: no mount namespace may be made here")
            continue
        rows = [truth.doctored(program, python=chosen.python) for _ in range(chosen.rounds)]
        for found in rows:
            said = truth.wrong(program, found)
            bad += bool(said)
            names = ", ".join(each["id"] for each in found["findings"]) or "-"
            print(f"{program.title:28} {found['wall']:5.1f} s  {names:50} {said}", flush=True)
        if program.cured and not chosen.no_cures:
            _cure(program, predictions)
    print(f"{len(programs)} programs x {chosen.rounds}: {bad} wrong")
    if predictions:
        good = sum(predictions)
        print(f"{good} of {len(predictions)} predictions within 25 % of the time")
        bad += good < 0.9 * len(predictions)
    return int(bad > 0)


def _cure(program: truth.Program, predictions: list[bool]) -> None:
    """Compares the share of the time that was predicted with the one that the cure saves."""
    calm: list[dict[str, Any]] = []
    for _ in range(9):
        begin, others = time.perf_counter(), truth.busy()
        row: dict[str, Any] = {
            "bad": truth.timed("programs", program),
            "fixed": truth.timed("fixed", program),
            "found": truth.doctored(program),
        }
        passed = time.perf_counter() - begin
        if (truth.busy() - others) / passed / row["found"]["cpus"] < _CALM:
            calm.append(row)
        if len(calm) == 3:
            break
    if not calm:
        print(f"{'':28}   never calm: nothing to compare")
        return
    measured = statistics.median(1 - row["fixed"] / row["bad"] for row in calm)
    said = [
        each["saving"] / row["found"]["wall"]
        for row in calm
        for each in row["found"]["findings"]
        if each["id"] == program.must and each["saving"] is not None
    ]
    if not said:
        print(f"{'':28}   saves {measured:.0%}, nothing was promised")
        return
    promised = statistics.median(said)
    predictions.append(abs(promised - measured) <= 0.25)
    print(
        f"{'':28}   promised {promised:4.0%}, measured {measured:4.0%} of the time "
        f"({len(calm)} calm rounds)"
    )


if __name__ == "__main__":
    sys.exit(main())
