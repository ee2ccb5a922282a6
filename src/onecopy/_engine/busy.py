"""What keeps the workers of a pool busy, in words: for ``repr``, and for a call that waits.

A call that waits because all workers are at something else, such as what an interrupted cell
of a notebook has left, says so, once: one line on standard error. Not by ``warnings``, which
may be errors, and would then end the call; nor by ``logging``, which most interactive
programs have not set up.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping
from time import monotonic_ns
from typing import Protocol

from .work import Entry, Work
from .worker_handle import Member

_LONG = 1_000_000_000  # nanoseconds after which a call says what it waits for


class Holding(Protocol):
    """The engine, as far as it is asked here."""

    told_of: set[int]

    def held(self) -> list[tuple[Work, int]]:
        """For each worker that is at something: what that is, and since when."""

    def ready(self) -> int:
        """How many workers there are."""


def heads(assigned: Iterable[Entry], members: Mapping[int, Member]) -> list[tuple[Entry, int]]:
    """For each worker that is at something: what that is, and since when; of what it was sent,
    the first is what it is at."""
    heads: dict[int, Entry] = {}
    for entry in assigned:
        head = heads.get(entry.worker)
        if head is None or entry.assignment.id < head.assignment.id:
            heads[entry.worker] = entry
    return [
        (entry, max(entry.sent, members[worker].last))
        for worker, entry in heads.items()
        if worker in members
    ]


def words(held: list[tuple[Work, int]]) -> str:
    """``2 busy with f of map (task 3) for 12.5 s``; empty when nothing is held."""
    now = monotonic_ns()
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for work, since in held:
        groups.setdefault((work.name, work.called), []).append((work.number, since))
    return ", ".join(
        f"{len(group)} busy with {name} of {called} ({_tasks({number for number, _ in group})}) "
        f"for {(now - min(since for _, since in group)) / 1e9:.1f} s"
        for (name, called), group in groups.items()
    )


def _tasks(numbers: set[int]) -> str:
    first = min(numbers)
    return f"task {first}" if len(numbers) == 1 else f"tasks {first} to {max(numbers)}"


class Waiting:
    """Called now and then by whoever waits for ``work``: says what keeps the workers."""

    __slots__ = ("_engine", "_work")

    def __init__(self, engine: Holding, work: Work) -> None:
        self._engine = engine
        self._work = work

    def __call__(self) -> None:
        engine, now = self._engine, monotonic_ns()
        held = engine.held()
        kept = all(w is not self._work and now - since > _LONG for w, since in held)
        if not held or not kept or len(held) < engine.ready():
            return  # some worker is at it, or about to be
        works = {work.number for work, _ in held}
        if works <= engine.told_of:
            return
        engine.told_of |= works
        line = f"onecopy: {self._work.called} of {self._work.name} waits: {words(held)}\n"
        # None, closed, or somebody's that does not do as it should: then nobody is told.
        with contextlib.suppress(Exception):
            sys.stderr.write(line)
            sys.stderr.flush()
