"""The form of advice, and the base of the modules that give it."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Accounting, Run
from .words import count, percent, seconds

# Advice that would save less is left out: a share of the run's time, and seconds.
_SHARE, _LEAST = 0.03, 0.05


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Attributes:
        kind: the cause, in a word.
        title: the problem, in a few words.
        evidence: the figures of this run that show it.
        change: the remedy, with code.
        gain: the estimated saving, as text.
        saves: seconds of the run's time that it would save; 0 if it is not about time.
        cpu: seconds of CPU time that it would save, if it is about that.
        nbytes: bytes of memory that it would save, if it is about that.
        part: the part of a call's time that it is about: only the first advice on each part is
            given.
        line: of the program, where the call is.
    """

    kind: str
    title: str
    evidence: str
    change: str
    gain: str
    saves: float = 0.0
    cpu: float = 0.0
    nbytes: float = 0.0
    part: str = ""
    line: str = ""


def of_all(run: Run, number: int) -> str:
    """Return ``3 of 100 tasks``; items are counted if a task had several."""
    items = int(run.totals["items"].sum())
    what = "item" if items > run.tasks else "task"
    return f"{number:,} of {count(max(items, number), what)}"


@dataclass(frozen=True)
class Look:
    """A run, as the givers of advice see it."""

    run: Run
    parts: Accounting

    @property
    def workers(self) -> int:
        return self.run.wanted

    @property
    def pool(self) -> str:
        """The beginning of the call that makes such a pool."""
        return "oc.Pool(cluster=..." if self.run.hosts else f"oc.Pool({self.workers}"

    @property
    def at_once(self) -> int:
        """The number of workers that can compute at the same time."""
        return max(1, min(self.run.wanted, self.run.cpus))

    @property
    def taken_by_owner(self) -> float:
        """The share of the workers' time that the main process takes from them while it computes
        beside them: there may be fewer CPUs than that needs."""
        if self.run.hosts:
            return 0.0
        return max(0.0, 1.0 - self.run.cpus / (self.run.wanted + 1))

    @property
    def worth(self) -> float:
        """The seconds below which a saving is not mentioned."""
        return max(_SHARE * self.parts.wall, _LEAST)

    def gain(self, saves: float) -> str:
        """Return ``about 1.2 s of 4 s (30 %)``."""
        wall = self.parts.wall
        return f"about {seconds(saves)} of {seconds(wall)} ({percent(saves, wall)})"
