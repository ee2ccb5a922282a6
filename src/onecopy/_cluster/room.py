"""A host has no room for the data of some work: the work is given to another host.

The host has refused it before a worker began, so it runs once all the same. Until that work has
ended the host gets none: the scheduler knows workers, and not what each of them has room for. If no
other host is left, the work fails, with the name and the figures of each host that has refused it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from .. import errors
from .._engine.core import Core
from .._engine.work import Entry
from .._schedule import events
from .host import Host, Slot, State

_log = logging.getLogger(__name__)


# Nanoseconds of a round trip that count, at most: it may have been measured on a busy machine.
_FARTHEST = 100_000_000


def take_in(core: Core, slot: Slot) -> None:
    """Give a slot work: as much more than a worker here as runs while messages are under way."""
    core.join(slot).carry_out()
    trip = min(2 * slot.host.clock.error, _FARTHEST)
    if trip:
        core.handle(events.Distant(slot.number, trip)).carry_out()


class Room:
    """See the module. The carrier's threads call ``refused``, the service ``relieve``.

    Args:
        core: the pool's table.
        hosts: returns every host so far.
        wake: has the service call ``relieve``.
    """

    def __init__(
        self, core: Core, hosts: Callable[[], list[Host]], wake: Callable[[], None]
    ) -> None:
        self._core = core
        self._hosts = hosts
        self._wake = wake
        self._lock = threading.Lock()
        # By work: the hosts that have refused it, and what they have said. Not their errors: one that
        # a caller gets holds the caller's frames.
        self._refused: dict[int, dict[Host, str]] = {}
        self._warned: set[Host] = set()
        self._unprepared: set[str] = set()

    def refused(self, host: Host, entry: Entry, error: errors.NotEnoughMemory) -> bool:
        """Give work that a host has refused to another, and return True; or, if there is none that
        may have room, note in the error what each host has said, and return False."""
        with self._lock:
            self._forget()
            refused = self._refused.setdefault(entry.assignment.work, {})
            refused[host] = str(error)
            may = [h for h in self._hosts() if h.state in (State.STARTING, State.READY)]
            if all(other in refused for other in may):
                for name, said in {each.name: said for each, said in refused.items()}.items():
                    if name != host.name:
                        errors.add_note(error, f"onecopy: on {name}: {said}")
                return False
            first = host not in self._warned
            self._warned.add(host)
            with self._core.lock:
                if host.state is State.READY:
                    host.state = State.FULL
        if first:
            task = entry.work.describe(entry.assignment)
            text = "%s has no room for the data of %s, which is given to another host: %s"
            _log.warning(text, host.name, task, error)
        self._core.handle(*(events.WorkerEnding(s.number) for s in host.slots)).carry_out()
        self._core.requeue(entry.worker, [entry.assignment.id]).carry_out()
        self._wake()
        return True

    def unprepared(self, host: Host, error: errors.NotEnoughMemory) -> bool:
        """Leave out a host that has no room for the initializer, and return True; or, if there is no
        other, note in the error what each host has said, and return False."""
        with self._lock:
            host.why = f"no room for the initializer: {error}"
            hosts = self._hosts()
            there = (State.STARTING, State.READY, State.FULL)
            if not any(each.state in there and not each.why for each in hosts):
                errors.add_note(error, f"onecopy: for the initializer, on {host.name}")
                for each in hosts:
                    if each.why and each is not host:
                        errors.add_note(error, f"onecopy: on {each.name}: {each.why}")
                return False
            first = host.name not in self._unprepared
            self._unprepared.add(host.name)
        if first:
            _log.warning("%s is not used: it has %s", host.name, host.why)
        return True

    def _forget(self) -> None:
        """Forget work that has ended. With the lock held."""
        with self._core.lock:
            present = set(self._core.work)
        for work in self._refused.keys() - present:
            del self._refused[work]

    def relieve(self) -> bool:
        """Give work again to hosts that were left out for work that has ended; return True if there
        are others."""
        hosts = self._hosts()
        full = [host for host in hosts if host.state is State.FULL]
        if not full:
            return False
        with self._core.lock:
            busy = {entry.worker for entry in self._core.assigned.values()}
        with self._lock:
            self._forget()
            waiting = {host for refused in self._refused.values() for host in refused}
        # Without another host they have to say again that they have no room.
        alone = not any(host.state in (State.STARTING, State.READY) for host in hosts)
        left = False
        for host in full:
            if (host in waiting and not alone) or any(slot.number in busy for slot in host.slots):
                left = True
            else:
                self._take_back(host)
        return left

    def _take_back(self, host: Host) -> None:
        """Give a host work again; it holds none."""
        with self._core.lock:
            if host.state is State.FULL:
                host.state = State.READY
        for slot in host.slots:
            self._core.worker_gone(
                slot.number,
                0,
                broken=False,
                error=lambda task: errors.HostLost(host.name, "", task),
            ).carry_out()
            take_in(self._core, slot)
