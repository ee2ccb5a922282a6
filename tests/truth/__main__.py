"""``python -m tests.truth [NAME ...]``: the table of all programs; see the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tests.truth.programs import Program
from tests.truth.shapes import PROGRAMS

# The best of this many runs counts: whatever else the machine does makes a run longer.
REPEATS = int(os.environ.get("TRUTH_REPEATS", "3"))
_NEAR = 0.25


@dataclass
class Row:
    """One program's line of the table."""

    program: Program
    got: str
    estimate: float
    measured: float
    right: bool

    def __str__(self) -> str:
        figures = ""
        if self.program.judged:
            unit = "MB" if self.program.judged == "memory" else "s"
            figures = f"{self.estimate:8.3f} {self.measured:8.3f} {unit} {self.program.judged}"
        mark = "right" if self.right else "WRONG"
        expected = self.program.fault or "nothing"
        return f"{self.program.name:26} {expected:11} {self.got:24} {figures:28} {mark}"


def run(program: Program, *, cured: bool = False) -> dict[str, Any]:
    """One run in a fresh interpreter."""
    command = [sys.executable, "-m", "tests.truth.child", program.name]
    own = {} if cured else dict(program.environment)
    done = subprocess.run(
        command + ["cured"] * cured,
        stdout=subprocess.PIPE,
        env=os.environ | own,
        timeout=120,
        check=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def best(runs: list[dict[str, Any]], judged: str) -> dict[str, Any]:
    """Of several runs the one that was disturbed least: the shortest. Of memory the middle one: what
    disturbs a run also delays the readings."""
    runs = sorted(runs, key=lambda each: float(each[judged or "wall"]))
    return runs[len(runs) // 2 if judged == "memory" else 0]


def judge(program: Program, repeats: int = REPEATS) -> Row:
    """Runs it without and with its cure, in turn: a machine is faster at one time than at another."""
    judged = program.judged
    # What is judged by CPU time saves little of much.
    rounds = 2 * repeats if judged == "cpu" else repeats
    plain, with_cure = [], []
    for _ in range(rounds):
        plain.append(run(program))
        if judged:
            with_cure.append(run(program, cured=True))
    faulty = best(plain, judged)
    kinds = [each["kind"] for each in faulty["advice"]]
    right = kinds[:1] == [program.fault] if program.fault else not kinds
    got = ", ".join(kinds) or "nothing"
    if not judged or not right:
        return Row(program, got, 0.0, 0.0, right)
    estimate = faulty["advice"][0]["saves" if judged == "wall" else judged]
    cured = best(with_cure, judged)
    measured = faulty[judged] - cured[judged]
    near = abs(measured - estimate) <= _NEAR * max(estimate, measured)
    scale = 1e-6 if judged == "memory" else 1.0
    return Row(program, got, estimate * scale, measured * scale, near)


def main(names: list[str]) -> int:
    wrong = 0
    print(f"{'program':26} {'expected':11} {'got':24} {'estimate':>8} {'measured':>8}")
    for name in names or PROGRAMS:
        program = PROGRAMS[name]
        if missing := [need for need in program.needs if find_spec(need) is None]:
            print(f"{name:26} left out: needs {', '.join(missing)}")
            continue
        row = judge(program)
        print(row, flush=True)
        wrong += not row.right
    print(f"{wrong} wrong" if wrong else "all right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
