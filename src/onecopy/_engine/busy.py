"""A description of what keeps a pool's workers busy: for ``repr``, and for a call that waits.

A call that waits because all workers are busy, for example with what an interrupted notebook cell
left behind, says so once, in one line on standard error. ``warnings`` would not do: a warning may
be an error, which would end the call. Nor would ``logging``: most interactive programs have not set
it up.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from time import monotonic_ns
from typing import Protocol

from .runs import Run, parts
from .work import Entry, Work

# Assignments that ``lone`` searches.
_MANY = 16
_LONG = 1_000_000_000  # nanoseconds after which a call says what it waits for


class Timed(Protocol):
    """The attributes of a worker that this module reads."""

    last: int
    """The time of its last known event; nanoseconds."""


class Holding(Protocol):
    """The attributes of the pool's table that this module reads."""

    told_of: set[int]

    def held(self) -> list[tuple[Work, int]]:
        """Return what each busy worker is running, and since when."""

    def ready(self) -> int:
        """Return the number of ready workers."""


def heads(assigned: Iterable[Entry], workers: Mapping[int, Timed]) -> list[tuple[Entry, int]]:
    """Return what each busy worker is running, and since when.

    A worker runs the first of the assignments that it was sent. It runs nothing yet if that one has
    still to be sent: to a host, a thread of its own does that.
    """
    heads: dict[int, Entry] = {}
    for entry in assigned:
        head = heads.get(entry.worker)
        if head is None or entry.assignment.id < head.assignment.id:
            heads[entry.worker] = entry
    return [
        (head, max(entry.sent, workers[worker].last))
        for worker, entry in heads.items()
        if worker in workers and entry.sent
        for head in islice(parts(entry), 1)
    ]


def words(held: list[tuple[Work, int]]) -> str:
    """Return ``2 busy with f of map (task 3) for 12.5 s``, or an empty string if nothing is
    held."""
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


def lone(assigned: Collection[Entry], task: int) -> Entry | None:
    """Return the assignment of a task, if its worker has no other and there are not many."""
    if len(assigned) > _MANY:
        return None
    for found in assigned:
        if found.assignment.work == task and type(found.work) is not Run:
            alone = all(each is found or each.worker != found.worker for each in assigned)
            return found if alone else None
    return None


class Waiting:
    """Reports, once, what the workers are busy with; called at intervals of a second while waiting
    for ``work``."""

    __slots__ = ("_before", "_engine", "_work")

    def __init__(self, engine: Holding, work: Work) -> None:
        self._engine = engine
        self._work = work
        self._before: set[int] = set()  # the works that workers were running at the last call

    def __call__(self) -> None:
        engine, now = self._engine, monotonic_ns()
        held = engine.held()
        before, works = self._before, {work.number for work, _ in held}
        self._before = works
        # One long task, or many tasks of one call.
        kept = all(
            work is not self._work and (now - since > _LONG or work.number in before)
            for work, since in held
        )
        if not held or not kept or len(held) < engine.ready():
            return  # a worker is running it, or is about to
        if works <= engine.told_of:
            return
        engine.told_of |= works
        line = f"onecopy: {self._work.called} of {self._work.name} waits: {words(held)}\n"
        # Standard error may be None, closed, or a broken object: then there is no message.
        with contextlib.suppress(Exception):
            sys.stderr.write(line)
            sys.stderr.flush()
