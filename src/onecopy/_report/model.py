"""A run of a pool as the reports see it: tables, and what can be said of them by arithmetic.

``Pool`` fills one in, ``saved`` writes and reads them; ``terminal``, ``html``, ``perfetto``
and ``chrome`` show them. Nothing here knows how it is shown, and nothing here has a value of
the user's: names of functions, types and sizes are all that is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._observe.columns import MEMORY, SPAN, TOTAL, WORKER, dtype_of

Table = np.ndarray[Any, np.dtype[Any]]


class Accounting(NamedTuple):
    """Where ``workers`` x ``wall`` went, in seconds.

    The parts are measured each by itself, so that their sum is a check: ``other`` is what
    the measurements leave over, and may be below zero.

    Attributes:
        workers: how many the pool was to have.
        wall: from making the pool to the last result; to now, when something is running.
        startup: until a worker was ready, at first and after each replacement.
        compute: inside the user's functions.
        decode, encode: unpacking arguments and loading functions; packing results.
        blocked: writing results that the owner had not yet read.
        waiting: for tasks.
        tail: after a worker's last task, while others were still at theirs.
        lost: in what died with its worker.
        other: the rest.
    """

    workers: int
    wall: float
    startup: float
    compute: float
    decode: float
    encode: float
    blocked: float
    waiting: float
    tail: float
    lost: float
    other: float

    @property
    def total(self) -> float:
        """Worker-seconds: what the parts add up to."""
        return self.workers * self.wall


@dataclass(frozen=True)
class Run:
    """See the module.

    Attributes:
        spans: a record per task or chunk (``columns.SPAN``), in the order of their ends; the
            latest ones when there were more than are kept.
        slowest: the longest of those that are no longer among ``spans``.
        totals: exact sums over all tasks (``columns.TOTAL``).
        functions: names, by the index in ``spans`` and ``totals``.
        workers: every worker's life (``columns.WORKER``).
        memory: readings (``columns.MEMORY``), by time.
        began, ended: nanoseconds of CLOCK_MONOTONIC; see ``Accounting.wall``.
        clock: seconds since 1970 at ``began``.
        method: the start method.
        wanted: how many workers the pool was to have.
        cpus: what the pool's process may use.
        owner_cpu: seconds of CPU that the pool's own thread in the owner has used.
        owner_pid: the owner.
        machine: what ran it: names and figures, for people.
        facts: further figures, by name: segments and arenas and their bytes, bytes saved by
            one copy, restarts, inherited pages that forked workers have copied.
    """

    spans: Table
    totals: Table
    functions: tuple[str, ...]
    workers: Table
    memory: Table
    began: int
    ended: int
    clock: float
    method: str
    wanted: int
    cpus: int
    owner_cpu: float
    owner_pid: int
    slowest: Table = field(default_factory=lambda: np.zeros(0, dtype_of(SPAN)))
    machine: dict[str, str] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def wall(self) -> float:
        """Seconds."""
        return (self.ended - self.began) / 1e9

    @property
    def tasks(self) -> int:
        """All that have ended, kept or not."""
        return int(self.totals["tasks"].sum())

    def accounting(self) -> Accounting:
        """Where the workers' time went."""
        seconds = {name: float(self.totals[name].sum()) / 1e9 for name in _SUMMED}
        began, ended, lives = self.began, self.ended, self.workers
        gone = np.where(lives["gone"] > 0, lives["gone"], ended).clip(began, ended)
        born = lives["born"].clip(began, ended)
        ready = np.where(lives["ready"] > 0, lives["ready"], gone).clip(born, gone)
        last = lives["last"].clip(ready, gone)
        there = float((gone - born).sum()) / 1e9
        # A slot without a worker waits for one; two workers in one, while the old one ends,
        # have nobody's time.
        startup = float((ready - born).sum()) / 1e9 + max(0.0, self.wanted * self.wall - there)
        died = np.isin(lives["worker"], self.totals["worker"][self.totals["lost"] > 0])
        lost = float((gone - last)[died].sum()) / 1e9
        tail = float((gone - last)[~died].sum()) / 1e9
        parts = (startup, *seconds.values(), tail, lost)
        return Accounting(
            workers=self.wanted,
            wall=self.wall,
            startup=startup,
            compute=seconds["compute"],
            decode=seconds["decode"],
            encode=seconds["encode"],
            blocked=seconds["blocked"],
            waiting=seconds["waited"],
            tail=tail,
            lost=lost,
            other=self.wanted * self.wall - sum(parts),
        )


_SUMMED = ("compute", "decode", "encode", "blocked", "waited")


def empty_tables() -> dict[str, Table]:
    """``spans``, ``totals``, ``workers`` and ``memory`` without a row."""
    columns = {"spans": SPAN, "totals": TOTAL, "workers": WORKER, "memory": MEMORY}
    return {name: np.zeros(0, dtype_of(each)) for name, each in columns.items()}
