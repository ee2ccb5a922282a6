"""What advice is, and what those who give it have in common."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Accounting, Run
from .words import percent, seconds

# Nothing is said of what saves less: a share of the run's time, and seconds.
_SHARE, _LEAST = 0.03, 0.05


@dataclass(frozen=True)
class Advice:
    """One thing to change.

    Attributes:
        kind: which cause it is, in a word.
        title: what is off, in a few words.
        evidence: what in this run shows it.
        change: what to do about it, with code.
        gain: what that would save, roughly.
        saves: seconds of the run's time that it would save; 0 when it is not about time.
        cpu: seconds of CPU time that it would save, where that is what is saved.
        nbytes: bytes of memory that it would save, likewise.
        part: of two pieces of advice on one call about the same part of its time only the
            first is given.
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


@dataclass(frozen=True)
class Look:
    """A run, as those see it who give advice."""

    run: Run
    parts: Accounting

    @property
    def workers(self) -> int:
        return self.run.wanted

    @property
    def at_once(self) -> int:
        """How many can compute at the same time."""
        return max(1, min(self.run.wanted, self.run.cpus))

    @property
    def worth(self) -> float:
        """What would save fewer seconds is not spoken of."""
        return max(_SHARE * self.parts.wall, _LEAST)

    def gain(self, saves: float) -> str:
        """``about 1.2 s of 4 s (30 %)``."""
        wall = self.parts.wall
        return f"about {seconds(saves)} of {seconds(wall)} ({percent(saves, wall)})"
