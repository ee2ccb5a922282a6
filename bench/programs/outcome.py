"""Ratios of programs' times, their geometric means, and the bars.

A program's ratio is the median of the ratios of pairs taken in the same round. A pair of ways has
a mean over the programs that ran in both with equal results; a program whose results differ has no
ratio, and its bar is missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import geometric_mean

from ..face import Bar, Sense
from ..ratios import Spread, Verdict, compare
from .measure import Runs
from .ways import FORK, FORKSERVER, LOKY, OURS, OURS_FORK

# Ours, theirs, and the bar of the geometric mean.
PAIRS = (
    (OURS, FORKSERVER, 0.75),
    (OURS, FORK, 0.95),
    (OURS_FORK, FORK, 0.9),
    (OURS, LOKY, 0.75),
)
WORST = 1.1


@dataclass(frozen=True)
class Ratio:
    """Of one program: ours over theirs, of seconds and of processor seconds."""

    program: str
    ours: str
    theirs: str
    wall: Spread
    cpu: Spread


def ratios(runs: Iterable[Runs]) -> list[Ratio]:
    """Those of all pairs that were run, with equal results."""
    found = []
    for one in runs:
        for ours, theirs, _limit in PAIRS:
            if one.equal and one.walls.get(ours) and one.walls.get(theirs):
                wall, cpu = (
                    compare(Sense.AT_MOST, samples[ours], samples[theirs])
                    for samples in (one.walls, one.cpus)
                )
                found.append(Ratio(one.program.name, ours, theirs, wall, cpu))
    return found


def _mean(values: list[float]) -> Spread | None:
    return Spread(geometric_mean(values), min(values), max(values)) if values else None


def verdicts(runs: Iterable[Runs]) -> list[Verdict]:
    """The bars: a geometric mean for each pair, no program over ``WORST``, equal results."""
    runs = list(runs)
    known = ratios(runs)
    found = []
    for ours, theirs, limit in PAIRS:
        pair = [one.wall.median for one in known if (one.ours, one.theirs) == (ours, theirs)]
        bar = Bar(
            f"{ours}: geometric mean of {len(pair)} programs' times, of {theirs}'s",
            Sense.AT_MOST,
            limit,
            (ours,),
            (theirs,),
        )
        found.append(Verdict(bar, _mean(pair)))
    slowest = max(known, key=lambda one: one.wall.median, default=None)
    bar = Bar("the slowest of all pairs", Sense.AT_MOST, WORST, (OURS,), (FORK,))
    name = f"{slowest.program}, {slowest.ours} / {slowest.theirs}" if slowest else ""
    found.append(Verdict(bar, slowest.wall if slowest else None, name))
    unequal = float(sum(not one.equal for one in runs if one.digests))
    bar = Bar("programs with unequal results", Sense.VALUE, 0, (OURS,))
    found.append(Verdict(bar, Spread(unequal, unequal, unequal)))
    return found
