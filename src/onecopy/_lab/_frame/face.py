"""The interface of an experiment, and its results: plain values, no measuring and no drawing.

An experiment is a module with the members of ``Experiment``. ``run`` is called in a fresh
interpreter, and what it returns comes back as JSON; ``table``, ``picture`` and ``claims`` are
called in another process with that, so that a saved run can be shown again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Size = Literal["small", "full"]
Data = dict[str, Any]
"""The result of ``run`` after a round trip through JSON: keys are str, tuples are lists."""


@dataclass(frozen=True)
class Needs:
    """The needs of a run: bytes of memory, bytes of disk, and about how many seconds."""

    memory: int = 100_000_000
    disk: int = 0
    seconds: float = 3.0


@dataclass(frozen=True)
class Claim:
    """An expectation, and the measurement that confirms it here, or does not.

    Attributes:
        sentence: the measurement, which is true in any case.
        holds: True if it is what was expected.
        certain: True if it must hold on Linux; False if it depends on speed or on the load.
        expected: the expectation, in a few words that need the sentence.
    """

    sentence: str
    holds: bool
    certain: bool
    expected: str


@dataclass(frozen=True)
class Table:
    """Rows of text that fit 80 columns.

    Attributes:
        head: names of the columns.
        rows: cells; a cell that is too long is broken into lines.
        title: above it.
        note: a sentence under it, such as where published figures come from.
        left: columns aligned left; the others are figures and aligned right.
        strong: emphasised rows, such as onecopy's.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""
    left: Sequence[int] = (0,)
    strong: Sequence[int] = ()


@dataclass(frozen=True)
class Bar:
    """A stretch of time in a lane, in seconds from the start of the picture.

    ``kind`` names the activity. These have their own colours: compute, receive, return, start,
    wait, blocked, lost; any other word gets the next free one.
    """

    start: float
    stop: float
    kind: str = "compute"


@dataclass(frozen=True)
class Lane:
    """The activities of one process."""

    name: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Lanes:
    """Processes side by side, all on one axis of time in seconds."""

    lanes: Sequence[Lane]
    title: str = ""


@dataclass(frozen=True)
class Curve:
    """Points of one thing, in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """Curves over two axes.

    Attributes:
        curves: each has its own sign and colour.
        x, y: the quantities on the axes, with the unit.
        log_x, log_y: the axis is logarithmic; points at or below zero are left out.
        title: above it.
    """

    curves: Sequence[Curve]
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    title: str = ""


Picture = Lanes | Plot


class Experiment(Protocol):
    """The members of an experiment's module."""

    QUESTION: str
    """One line of at most 60 characters, for the list."""

    ADVICE: str
    """The conclusion: what to do, in a sentence or two; its page in ``docs/lab`` has more."""

    def needs(self, size: Size) -> Needs:
        """Return the needs of ``run(size)``, generously."""
        ...

    def run(self, size: Size) -> Data:
        """Measure; return data that JSON can represent. Narrates with ``narrate.say``."""
        ...

    def table(self, data: Data) -> Table | Sequence[Table]:
        """Return the measurements."""
        ...

    def picture(self, data: Data) -> Picture | Sequence[Picture] | None:
        """Return a picture of them, if it shows them better; otherwise None."""
        ...

    def claims(self, data: Data) -> Sequence[Claim]:
        """Return its claims, the most important first."""
        ...


def tables(experiment: Experiment, data: Data) -> list[Table]:
    """Return the experiment's table or tables."""
    found = experiment.table(data)
    return [found] if isinstance(found, Table) else list(found)


def pictures(experiment: Experiment, data: Data) -> list[Picture]:
    """Return the experiment's picture or pictures, or none."""
    found = experiment.picture(data)
    if found is None:
        return []
    return [found] if isinstance(found, Lanes | Plot) else list(found)
