"""The pool's own thread in the driver: what is due, and what other threads have asked for.

It starts the carrier, takes in hosts that come and go, has running tasks killed that were
cancelled, takes work back from behind something long while another host is idle, tells hosts to
forget segments, and ends everything. It never waits for a host.
"""

from __future__ import annotations

import select
import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import Protocol

from .. import errors
from .._engine.core import Core
from .._engine.held_back import HeldBack
from .._engine.lifetime import Lifetime
from .._engine.submission import Submission
from .._engine.wakeup import Wakeup
from .._schedule import events
from .arrivals import LOOK, Arrivals
from .host import Host, State
from .interface import Carrier, HostInfo
from .losses import Losses

# Seconds. Work behind something that takes longer than this, and several times longer than
# estimated, is asked for again; if nothing comes back, less and less often.
_PATIENCE = 0.03
_TIMES = 2.5
_SELDOM = 1.0
# Between two looks whether hosts may be given work again.
_ROOM = 0.1
# Seconds between two looks at the clocks of other machines.
_PERIOD = 30.0
# Seconds that agents have to end in, before they are killed.
_GRACE = 3.0


class Table(Protocol):
    """The hosts of the pool, as the engine keeps them."""

    def all(self) -> list[Host]:
        """Return every host so far, those that have gone included."""

    def add(self, info: HostInfo) -> None:
        """Take in a host that has come, and begin to send to it."""

    def look(self, *, unreached: bool = False) -> None:
        """Note that a host has become ready, or has gone; ``unreached``: before it came."""


@dataclass(frozen=True)
class Parts:
    """The parts of the engine that the service uses; see each part's own module."""

    core: Core
    submission: Submission
    lifetime: Lifetime
    arrivals: Arrivals
    losses: Losses


class Service:
    """See the module.

    Args:
        parts: of the engine.
        carrier: reaches the hosts.
        hosts: the table of hosts.
        timeout: seconds that work waits for a host when none is left.

    Attributes:
        wakeup: wakes the thread, from any other.
        cpu: CPU seconds that the thread has used.
    """

    def __init__(
        self,
        parts: Parts,
        carrier: Carrier,
        hosts: Table,
        timeout: float,
    ) -> None:
        self._core = parts.core
        self._held = HeldBack(parts.core)
        self._submission = parts.submission
        self._lifetime = parts.lifetime
        self._arrivals = parts.arrivals
        self._losses = parts.losses
        self._carrier = carrier
        self._hosts = hosts
        self._timeout = timeout
        self._come: deque[HostInfo] = deque()
        self._left: deque[tuple[int, str | None]] = deque()  # None: it is to go
        self._gone: deque[int] = deque()
        self._aborted: set[int] = set()
        self._unreached: list[str] = []
        self._heads: dict[int, tuple[int, float, float]] = {}
        self._flags = Flags()
        self._asked = monotonic()  # for the time
        self._alone = 0.0  # since when there is no host
        self.wakeup = Wakeup()
        self.cpu = 0.0

    # Any thread.

    def came(self, info: HostInfo) -> None:
        """See ``interface.Events``."""
        self._come.append(info)
        self._flags.over = ""
        self.wakeup()

    def leaving(self, key: int) -> None:
        """See ``interface.Events``."""
        self._left.append((key, None))
        self.wakeup()

    def left(self, key: int, why: str) -> None:
        """See ``interface.Events``."""
        self._left.append((key, why))
        self.wakeup()

    def over(self, why: str) -> None:
        """See ``interface.Events``."""
        self._flags.over = why
        self.wakeup()

    def segment_gone(self, segment_id: int) -> None:
        """Note a segment without views. Inside a finalizer: only appends to a queue."""
        self._gone.append(segment_id)
        self.wakeup()

    def segment_frozen(self, segment_id: int) -> None:
        """Nothing to do: no host has open memory."""

    def stop(self, how: signal.Signals | None = None) -> None:
        """End all agents now; with a signal: their workers first."""
        self._flags.how = how or self._flags.how
        self._flags.stopping = True
        self.wakeup()

    def release(self) -> None:
        """Set a flag: the pool was garbage-collected. Safe in finalizers."""
        self._flags.released = True
        self.wakeup()

    def start(
        self,
        begin: Callable[[], None],
        unheld: Callable[[], None],
        finished: Callable[[], None],
        asked: Callable[[], None],
    ) -> threading.Thread:
        """Start the thread, and return it. Raises RuntimeError if there can be no more threads.

        Args:
            begin: called first in the thread; starts the carrier.
            unheld: called when the pool has been garbage-collected.
            finished: called when the thread ends.
            asked: called when another process asks for the pool's state.
        """
        thread = threading.Thread(
            target=self._run,
            args=(begin, unheld, finished, asked),
            name="onecopy-cluster",
            daemon=True,
        )
        thread.start()
        return thread

    # The thread.

    def _run(
        self,
        begin: Callable[[], None],
        unheld: Callable[[], None],
        finished: Callable[[], None],
        asked: Callable[[], None],
    ) -> None:
        try:
            self._alone = monotonic()
            begin()
            woken = select.poll()
            woken.register(self.wakeup.fileno(), select.POLLIN)
            while not self._at_end(unheld):
                wait = self._housekeeping()
                self.cpu = thread_time()
                if woken.poll(None if wait is None else 1000 * wait) and self.wakeup.clear():
                    asked()
        except OSError as error:  # no agent can be started
            unreached = errors.InitializerFailed(f"no host can be reached: {error}")
            self._lifetime.fail(unreached, error)
        except BaseException as error:  # a bug: no caller may wait for ever because of it
            failure = errors.BrokenWorker(f"the pool's service failed: {error!r}")
            self._lifetime.fail(failure, error)
            raise
        finally:
            finished()

    def _at_end(self, unheld: Callable[[], None]) -> bool:
        """Act on the flags that other threads have set; return True if nothing is left to do."""
        flags = self._flags
        if flags.released:
            flags.released = False
            unheld()
        self._submission.drop_unwanted()
        while self._come:
            self._hosts.add(self._come.popleft())
        while self._left:
            key, why = self._left.popleft()
            if why is None:
                self._let_go(key)
            else:
                self._lose(key, why)
        there = [host for host in self._hosts.all() if host.state is not State.GONE]
        if flags.stopping and not flags.stopped:
            flags.stopped = monotonic()
            for host in there:
                how = flags.how
                host.queue.put(("terminate",) if how is None else ("kill", int(how)))
                if host.state is State.STARTING:  # it would first finish that
                    self._carrier.end(host.info.key)
        if flags.stopped and monotonic() > flags.stopped + _GRACE:
            for host in there:
                self._carrier.end(host.info.key)
        if not there and self._wants_hosts():
            return self._without_hosts()
        self._alone = monotonic()
        return self._core.closed and not there

    def _without_hosts(self) -> bool:
        """Wait for a host, but not for ever."""
        over = self._flags.over
        if over or monotonic() > self._alone + self._timeout:
            said = [f"{host.name}: {host.why}" for host in self._hosts.all()] + self._unreached
            known = f" ({'; '.join(said)})" if said else ""
            failure = errors.NoHosts(f"{over or f'no host for {self._timeout:g} s'}{known}")
            self._lifetime.fail(failure, None)
            return True
        return False

    def _lose(self, key: int, why: str) -> None:
        hosts = self._hosts.all()
        known = any(host.info.key == key for host in hosts)
        if not known:
            self._unreached.append(why)
        for host in hosts:
            if host.info.key == key and host.state is not State.GONE:
                expected = host.state is State.CLOSING or self._flags.stopping
                retired = host.state is State.LEAVING
                host.lost(host.why if expected else why)
                self._arrivals.relays.lost(host)
                host.link.abandon()
                if not self._flags.stopping:
                    self._losses.lose(host, counts=not retired)
        self._hosts.look(unreached=not known)

    def _let_go(self, key: int) -> None:
        """Give a host that is to go no more work, and ask for what it has not begun."""
        for host in self._hosts.all():
            there = host.state in (State.STARTING, State.READY, State.FULL)
            if host.info.key == key and there:
                host.state = State.LEAVING
                numbers = [slot.number for slot in host.slots]
                self._core.handle(*map(events.WorkerEnding, numbers)).carry_out()
                self._ask_back(numbers)

    def _end_leaving(self) -> float | None:
        """Let the workers of hosts end that are to go and have nothing left; return in how many
        seconds to look again."""
        leaving = [host for host in self._hosts.all() if host.state is State.LEAVING]
        if not leaving:
            return None
        with self._core.lock:
            busy = {entry.worker for entry in self._core.assigned.values()}
        for host in leaving:
            if not any(slot.number in busy for slot in host.slots):
                host.state = State.CLOSING
                host.queue.put(("close",))
        return _PATIENCE

    def _housekeeping(self) -> float | None:
        """Carry out what is due; return in how many seconds there is more."""
        while self._gone:
            segment = self._gone.popleft()
            for host in self._hosts.all():
                if host.link.knows(segment):
                    host.queue.put(("forget", segment))
        self._arrivals.relieve()
        self._end_aborted()
        waits = [self._held.give_out(), self._take_back(), self._ask_times(), self._end_leaving()]
        waits.append(_ROOM if self._arrivals.room.relieve() else None)
        if self._flags.stopped or (self._wants_hosts() and self._is_alone()):
            waits.append(_PATIENCE)
        return min((wait for wait in waits if wait is not None), default=None)

    def _ask_times(self) -> float | None:
        """Ask hosts of other machines for their time now and then; return in how many seconds."""
        if self._carrier.local:
            return None
        left = self._asked + _PERIOD - monotonic()
        if left > 0:
            return left
        self._asked = monotonic()
        for host in self._hosts.all():
            if host.state is State.READY:
                host.queue.put(("ping",))
        return _PERIOD

    def _wants_hosts(self) -> bool:
        """Return True if there is work, or may be. A stream that takes no more items is none."""
        return not self._core.closed or self._core.busy

    def _is_alone(self) -> bool:
        return all(host.state is State.GONE for host in self._hosts.all())

    def _host_of(self, slot: int) -> Host | None:
        for host in self._hosts.all():
            if any(each.number == slot for each in host.slots):
                return host
        return None

    def _end_aborted(self) -> None:
        """Make the agents kill what runs cancelled work."""
        self._aborted &= set(self._core.aborting)
        for number in list(self._core.aborting):
            if number not in self._aborted:
                found = self._core.assignment_of(number)
                host = self._host_of(found.worker) if found is not None else None
                if host is not None:
                    self._aborted.add(number)
                    host.queue.put(("abort", number))

    def _take_back(self) -> float | None:
        """Ask for work that waits behind something long while another host is idle; return in how
        many seconds to ask again."""
        if self._arrivals.due:
            left = self._arrivals.looked + LOOK - monotonic()
            if left > 0:
                return left
            self._arrivals.due = False
            self._arrivals.looked = monotonic()
        blocked = self._core.blocked_workers()
        if not blocked:
            self._heads.clear()
            return None
        now = monotonic()
        before, self._heads = self._heads, {}
        waits = []
        asked = []
        for slot, head, estimate in blocked:
            patience = max(_PATIENCE, _TIMES * estimate / 1e9)
            known, since, wait = before.get(slot, (0, now, patience))
            if known != head:
                since, wait = now, patience
            if now >= since + wait:
                asked.append(slot)
                since, wait = now, min(_SELDOM, 2 * wait)
            self._heads[slot] = head, since, wait
            waits.append(since + wait - now)
        if asked:
            self._ask_back(asked)
        # With many slots one is due at any moment: those of some milliseconds are done together.
        return max(LOOK, min(waits))

    def _ask_back(self, slots: list[int]) -> None:
        held: dict[int, list[int]] = {slot: [] for slot in slots}
        with self._core.lock:
            for number, entry in self._core.assigned.items():
                if entry.worker in held:
                    held[entry.worker].append(number)
        for host in self._hosts.all():
            for slot in host.slots:
                if numbers := held.get(slot.number):
                    host.queue.put(("withdraw", numbers))


class Flags:
    """Requests to the thread.

    Attributes:
        released: the pool was garbage-collected.
        stopping: all agents are to end.
        how: the signal that ends their workers first, or None.
        stopped: when they were told so; 0 before.
        over: the reason why no host can come any more; empty while one can.
    """

    def __init__(self) -> None:
        self.released = False
        self.stopping = False
        self.how: signal.Signals | None = None
        self.stopped = 0.0
        self.over = ""
