"""A host has gone: what it held may have run, and is given to the others.

It is unknown which of it had begun, so each piece may run a second time: at least once, where one
machine has at most once. A piece that was lost with more hosts than ``reruns`` allows fails with
``HostLost``, so that a task that kills hosts does not kill them all.
"""

from __future__ import annotations

from .. import errors
from .._engine.core import Core
from .._engine.outcomes import Outcomes
from .._engine.work import Entry
from .._schedule import events
from .host import Host


class Losses:
    """See the module. One thread at a time: the service's.

    Args:
        core: the pool's table.
        outcomes: fails what is not given out again.
        reruns: how often a piece of work is given out again, at most.
    """

    def __init__(self, core: Core, outcomes: Outcomes, reruns: int) -> None:
        self._core = core
        self._outcomes = outcomes
        self._reruns = reruns
        # By piece of work: its items, and the host that was lost with them.
        self._lost: dict[int, list[tuple[int, int, str]]] = {}

    def lose(self, host: Host, *, counts: bool = True) -> None:
        """Give what a host held to others, or fail it.

        Args:
            host: the host.
            counts: its loss counts for ``reruns``. That of a host that was retired says nothing
                about the work; but with ``reruns=0`` nothing may run twice, for no reason.
        """
        slots = {slot.number for slot in host.slots}
        with self._core.lock:
            held = [entry for entry in self._core.assigned.values() if entry.worker in slots]
            present = set(self._core.work)
        self._lost = {work: runs for work, runs in self._lost.items() if work in present}
        for entry in held if counts or not self._reruns else ():
            names = self._note(entry, host)
            if len(names) > self._reruns:
                task = entry.work.describe(entry.assignment)
                self._fail(entry, errors.HostLost(host.name, host.why, task, tuple(names)))
        # None of its slots is given what comes back from another.
        self._core.handle(*(events.WorkerEnding(number) for number in slots)).carry_out()
        for slot in host.slots:
            self._core.worker_gone(
                slot.number,
                0,
                broken=False,
                error=lambda task: errors.HostLost(host.name, host.why, task),
            ).carry_out()

    def _note(self, entry: Entry, host: Host) -> list[str]:
        """Return the hosts that were lost with this work, this one included."""
        at = entry.assignment
        start, stop = at.start, max(at.stop, at.start + 1)
        runs = self._lost.setdefault(at.work, [])
        runs.append((start, stop, host.name))
        return [name for low, high, name in runs if low < stop and start < high]

    def _fail(self, entry: Entry, error: errors.HostLost) -> None:
        found, effects = self._core.finished(entry.worker, entry.assignment.id, None)
        effects.carry_out()
        if found is not None:
            found.worker = 0  # it is unknown which process has run it
            self._outcomes.lose(found, error)
