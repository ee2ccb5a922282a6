"""The measuring of programs: one whole process for each way in turn, round after round."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..process import ROOT
from .catalog import Program

# Seconds after which a program, and all that it has started, is ended.
PATIENCE = 300

Say = Callable[[str], None]


@dataclass
class Runs:
    """The outcome of one program.

    Attributes:
        walls, cpus: seconds by way, one for each round.
        digests: by way, that of its result in each round.
        notes: what failed, or was left out.
    """

    program: Program
    walls: dict[str, list[float]] = field(default_factory=dict)
    cpus: dict[str, list[float]] = field(default_factory=dict)
    digests: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """True if every way has found the same in every round."""
        return len({each for found in self.digests.values() for each in found}) == 1


def once(program: Program, way: str) -> tuple[float, float, str]:
    """Seconds, processor seconds, and the result's digest. Raises RuntimeError when it fails."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.reaper", "-m", program.module, way],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise RuntimeError(f"no end within {PATIENCE} seconds") from None
    if process.returncode:
        last = errors.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"exit code {process.returncode}: {last[0]}")
    found = json.loads(output)
    return found["wall"], found["cpu"], found["output"].strip()


def program(one: Program, rounds: int, say: Say) -> Runs:
    """All rounds of one program; a way that fails is left out from then on, with a note."""
    runs = Runs(one)
    if one.missing:
        runs.notes.append(f"left out: {', '.join(one.missing)} not installed")
        return runs
    ways = list(one.ways)
    for turn in range(rounds):
        for way in tuple(ways):
            say(f"{one.name}: round {turn + 1} of {rounds}, {way}")
            try:
                wall, cpu, digest = once(one, way)
            except RuntimeError as error:
                runs.notes.append(f"{way} failed: {error}")
                ways.remove(way)
                for found in (runs.walls, runs.cpus, runs.digests):
                    found.pop(way, None)
                continue
            runs.walls.setdefault(way, []).append(wall)
            runs.cpus.setdefault(way, []).append(cpu)
            runs.digests.setdefault(way, []).append(digest)
    return runs


def all_of(programs: Iterable[Program], rounds: int, say: Say) -> list[Runs]:
    return [program(one, rounds, say) for one in programs]
