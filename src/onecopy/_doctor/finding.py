"""A finding, and the case that it is made from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .._report.words import count, human_bytes, percent, seconds
from .history import NOWHERE, History, Site
from .pools import Pool
from .recording import Facts

__all__ = ["LEVELS", "Case", "Finding", "Line", "count", "human_bytes", "percent", "seconds"]

LEVELS = ("wrong", "crash", "time", "memory", "note")
"""What is looked at first: results that are wrong, ends, time, memory, and what is good to know."""


class Line(NamedTuple):
    """A line of the change: ``-`` goes, ``+`` comes, a space stays; 0: no number of its own."""

    number: int
    sign: str
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing that is off.

    Attributes:
        id: the kind; ``explain`` has a text for each.
        level: one of ``LEVELS``.
        title: what it is, in one sentence.
        evidence: what in this run shows it.
        where: the place in the program.
        change: the change, as code of this program; often several lines.
        advice: what the lines cannot say.
        saving: seconds that it would save; None: not known, or not promised.
        of: seconds of what.
        memory: bytes that it would save.
        gain: the saving in words.
        figures: the evidence as numbers.
        pool: the pool that it is about, for what explains what.
        confidence: how the saving is known.
    """

    id: str
    level: str
    title: str
    evidence: str
    where: Site = NOWHERE
    change: tuple[Line, ...] = ()
    advice: str = ""
    saving: float | None = None
    of: float | None = None
    memory: float | None = None
    gain: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    pool: Pool | None = None
    confidence: str = "measured"

    def without_promise(self, why: str) -> Finding:
        """The same, which says why nothing is promised."""
        return replace(self, saving=None, gain=why, confidence="machine busy")


@dataclass(frozen=True)
class Case:
    """The data that findings are made from."""

    history: History
    pools: list[Pool]

    @property
    def facts(self) -> Facts:
        """The launcher's."""
        return self.history.facts

    @property
    def wall(self) -> float:
        """Of the program, in seconds."""
        return self.facts.wall


def arrow(before: float, after: float) -> str:
    """``3.4 s -> about 1.2 s``."""
    return f"{seconds(before)} -> about {seconds(max(0.0, after))}"
