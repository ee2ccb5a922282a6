"""The arithmetic: medians, ratios of pairs, and the verdict on a bar.

Samples of one round were taken within the same seconds, so their ratio is steadier than
each of them: a ratio is the median over rounds of the ratio of a pair, and its range goes
from the least pair to the greatest. A contender that ran in fewer rounds than the other is
paired with every sample of it: one pair alone would be at the mercy of one sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median

from .face import Bar, Sense

Samples = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Spread:
    """A median and the range around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """The result of a bar; ``measured`` is None if a contender that it names did not run."""

    bar: Bar
    measured: Spread | None
    ours: str = ""
    theirs: str = ""

    @property
    def met(self) -> bool | None:
        """True if the median is on the right side of the bar. None if it was not measured."""
        if self.measured is None:
            return None
        if self.bar.sense is Sense.AT_LEAST:
            return self.measured.median >= self.bar.limit
        return self.measured.median <= self.bar.limit


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest; raises ValueError when there are none."""
    if not values:
        raise ValueError("no samples")
    return Spread(median(values), min(values), max(values))


def compare(sense: Sense, ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The bar's number, from samples in the order of rounds."""
    if sense is Sense.VALUE:
        return spread(ours)
    same = len(ours) == len(theirs)
    pairs = list(zip(ours, theirs, strict=True) if same else product(ours, theirs))
    if sense is Sense.AT_MOST:
        return spread([mine / other for mine, other in pairs])
    if sense is Sense.AT_LEAST:
        return spread([other / mine for mine, other in pairs])
    return spread([mine - other for mine, other in pairs])


def judge(bar: Bar, samples: Samples) -> Verdict:
    """The worst of ours against the best of theirs."""
    if any(not samples.get(name) for name in (*bar.ours, *bar.theirs)):
        return Verdict(bar, None)
    best = min(bar.theirs, key=lambda name: median(samples[name]), default="")
    found = [
        Verdict(bar, compare(bar.sense, samples[name], samples.get(best, ())), name, best)
        for name in bar.ours
    ]
    worst = min if bar.sense is Sense.AT_LEAST else max
    return worst(found, key=lambda one: one.measured.median if one.measured else 0.0)
