"""The engine of a pool on several hosts: creates the parts, and connects them.

It is an ``Engine`` as the others are: the same table, scheduler, submission and outcomes. Its
workers are slots of hosts. Callers' threads append to a host's queue, ``senders`` send, the carrier's
threads read, and the service does the rest.
"""

from __future__ import annotations

import atexit
import os
import signal
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from socket import gethostname
from typing import Any

from .. import errors
from .._codec.blame import without_ours
from .._codec.pickling import PEER
from .._engine.core import Core
from .._engine.engine import unheld
from .._engine.following import Follower
from .._engine.functions import Function
from .._engine.history import History, WorkerRow
from .._engine.known_functions import KnownFunctions
from .._engine.lifetime import Lifetime, no_thread
from .._engine.options import Options
from .._engine.outcomes import Outcomes
from .._engine.output_dispatch import OutputDispatcher
from .._engine.rules import Rules
from .._engine.submission import Submission
from .._engine.work import Entry
from .._engine.workers import importing
from .._memory.arena import Arena
from .._memory.segment import registry
from .._observe.columns import OWNER
from .._observe.memory import Memory, memory
from .._observe.series import Watch
from .._protocol import inheriting
from .._protocol.failures import name_of
from .._protocol.log_settings import settings
from .._protocol.preparation import prepare
from .._schedule.events import Assignment
from .._schedule.scheduler import Scheduler
from .._system import forking
from .._system.interrupts import Event
from .arrivals import Arrivals
from .host import Host, HostStatus, State
from .interface import Carrier, HostInfo, Item
from .losses import Losses
from .messages import Setup
from .present import Present
from .relays import Relays
from .room import Room
from .senders import Senders
from .sending import Sending
from .service import Parts, Service

# Round trips that set a host's clock at its start.
PINGS = 4
# Seconds to wait for answers of hosts.
_ANSWER = 10.0

# Strong references: an engine whose pool is gone lives until its service has ended.
_engines: set[ClusterEngine] = set()


@dataclass(frozen=True)
class ClusterOptions:
    """The settings that only a pool on several hosts has.

    Attributes:
        reruns: how often work that was lost with a host is given to another.
        files: see ``shipping.Shipping``.
        hosts_timeout: seconds that work waits for a host when none is left.
    """

    reruns: int = 3
    files: str = "auto"
    hosts_timeout: float = 60.0


class NoLimits:
    """Limits of tasks are kept by the hosts; see ``_engine.core.Limited``."""

    def add(self, assignment: int, worker: Any, rules: Rules, task: str) -> None:
        """Nothing to do."""

    def remove(self, assignment: int) -> None:
        """Nothing to do."""


class ClusterEngine:
    """See the module; an ``Engine``.

    Args:
        options: the pool's settings; ``workers`` is the sum over all hosts.
        cluster: the others.
        carrier: reaches the hosts.

    Raises:
        NotPicklable: the initializer or its arguments cannot be pickled.
        OSError: there are no more descriptors.
    """

    def __init__(self, options: Options, cluster: ClusterOptions, carrier: Carrier) -> None:
        self.options = options
        self._cluster = cluster
        self._carrier = carrier
        self._arena = Arena()
        self.history = History(options.spans, importing)
        self._numbers = count(1)
        self.core = Core(
            Scheduler(options.workers, holds=True),
            on_lost=self._on_lost,
            start_worker=_start_worker,
            wake=self._wake,
            limits=NoLimits(),
        )
        self._follower = Follower(
            None, None, modules=options.state == "follow", replaces=lambda version: None
        )
        self._initializer = _initializer(options, self._follower)
        self._preparation = prepare(self.history.before, None, options.preload)
        known = KnownFunctions(PEER, self._follower, self._forget)
        # Results come when a chunk has ended: where each is wanted at once, items go singly.
        self.submission = Submission(
            self.core, self.history, known, PEER, self._wake, None, singly=True
        )
        self._known = known
        self._output = OutputDispatcher(
            self._wake, self._malformed, self.history.diary, prefixed=options.prints == "prefixed"
        )
        self._outcomes = Outcomes(self.core, self.history, self._output)
        table = self._table = Hosts(self, carrier.link)
        self.history.hosts = table.places
        self.history.peak_elsewhere = lambda: sum(each.memory.peak_pss for each in table.all())
        lifetime = self._lifetime = Lifetime(
            self.core, self.submission, self.history, self._stop_workers
        )
        arrivals = self._arrivals = Arrivals(
            self.core,
            self._outcomes,
            lifetime,
            self._output,
            self._wake,
            Room(self.core, self._table.all, self._wake),
            table.relays,
        )
        losses = Losses(self.core, self._outcomes, cluster.reruns)
        parts = Parts(self.core, self.submission, lifetime, arrivals, losses)
        self._service = Service(parts, carrier, self._table, cluster.hosts_timeout)
        self._start()

    def _start(self) -> None:
        wakeup = self._service.wakeup
        wakeup.open()
        try:
            elsewhere, questions = not self._carrier.local, self._arrivals.questions
            self._present = Present(self, self._table.all, questions, elsewhere, wakeup.end)
        except OSError:
            wakeup.close()
            raise
        _engines.add(self)
        registry.listeners.add(self._service)
        try:
            self.history.watch = Watch(
                self._processes, lambda: self.core.tasks_ended, self.core.occupied
            )
            self._table.senders.start()
            self._thread = self._service.start(
                self._begin, partial(unheld, self), self._finished, self._present.asked
            )
        except RuntimeError as error:
            self._finished()
            raise no_thread(error) from error

    # The methods of ``Engine``, for doors and reports.

    def close(self) -> None:
        self._lifetime.close()
        self._wake()

    def terminate(self) -> None:
        self._lifetime.terminate()

    def kill(self, how: signal.Signals) -> None:
        if not self.core.foreign:
            ended = errors.BrokenWorker("the pool's workers were ended by its owner")
            self._service.stop(how)
            self._lifetime.fail(ended, None)

    def join(self, timeout: float | None = None) -> bool:
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def release(self) -> None:
        self._service.release()

    def pids(self) -> list[int]:
        """Wait until all hosts that were expected are ready, or have gone."""
        self._table.ready.wait()
        return [pid for host in self._table.all() for pid in host.pids()]

    def traffic(self) -> tuple[int, int, int, int]:
        hosts = [host.traffic for host in self._table.all()]
        sent, received, copied, shared = map(sum, zip([0] * 4, *hosts, strict=True))
        return sent, received, copied, shared

    def worker_history(self) -> list[WorkerRow]:
        return [row for host in self._table.all() for row in host.rows()]

    def owner_cpu(self) -> float:
        return self._service.cpu

    # For ``Pool``.

    def hosts(self) -> list[HostStatus]:
        """Return every host so far."""
        return [host.status() for host in self._table.all()]

    def seen(self) -> list[Host]:
        """Return every host so far, for reports."""
        return self._table.all()

    def look(self) -> None:
        """Wait, up to 10 s, until each host has read its memory."""
        self._arrivals.questions.ask(self._table.all(), "look", _ANSWER)

    def memory(self) -> dict[str, Memory]:
        """Return the memory by host: see ``Pool.memory``."""
        found = self._arrivals.questions.ask(self._table.all(), "weigh", _ANSWER)
        ours = memory()
        if self._carrier.local:  # they are children of this process
            theirs = {each.pid for answer in found.values() for each in answer.processes}
            ours = Memory(tuple(each for each in ours.processes if each.pid not in theirs))
        there = sorted(found, key=lambda host: host.info.key)
        return {gethostname(): ours, **{host.name: found[host] for host in there}}

    # For the carrier: ``interface.Events``.

    def came(self, info: HostInfo) -> None:
        self._service.came(info)

    def received(self, key: int, items: list[Item]) -> None:
        host = self._table.by_key(key)
        if host is not None:
            host.inbox.received(items)

    def _take(self, host: Host, items: list[Item]) -> None:
        """Handle a message of a host, in one thread at a time."""
        if host.state is State.GONE:
            return
        try:
            self._arrivals.take(host, items)
        except Exception as error:  # a bug: no caller may wait for ever because of it
            failure = errors.BrokenWorker(f"what {host.name} sent makes no sense: {error!r}")
            self._lifetime.fail(failure, error)
        self._table.look()

    def leaving(self, key: int) -> None:
        self._service.leaving(key)

    def left(self, key: int, why: str) -> None:
        self._service.left(key, why)

    def over(self, why: str) -> None:
        self._service.over(why)

    # Called by the parts.

    def connect(self, info: HostInfo, slots: list[int]) -> Host:
        """Return a host that has come, with its first messages in its queue."""
        senders = self._table.senders
        host = Host(info, slots, self._arena, self._cluster.files, self._numbers, senders)
        end = partial(self._carrier.end, info.key)
        host.inbox.open(self._carrier.bulk(info.key), partial(self._take, host), end)
        host.sent.settings, said = settings.now()
        options = self.options._replace(
            workers=info.workers,
            initializer=None,
            initargs=(),
            main="value",
            spans=0,
        )
        name = name_of(self.options.initializer) if self._initializer is not None else None
        if not self._carrier.local:
            # The first is answered when the agent has started, and the others at once.
            for _ in range(PINGS):
                host.queue.append(("ping",))
        host.queue.append(
            (
                "begin",
                Setup(options, self._preparation, name, said, self._carrier.local, info.name),
            )
        )
        if self._initializer is not None:
            host.queue.append(("initializer", self._initializer))
        return host

    def begin_sending(self, host: Host) -> None:
        """Send what is in a host's queue, and all that comes into it."""
        Sending(
            host,
            self._carrier,
            self._table.relays,
            unsendable=self._unsendable,
            unprepared=self._unprepared,
            versions=self._follower.versions,
            speaks=self.options.logs,
        )

    def _begin(self) -> None:
        # Import them now, and not when the first worker ends: by then memory may be short.
        with importing():
            errors.import_broken_errors()
        self._carrier.open(self, self._preparation)

    def _processes(self) -> dict[int, int]:
        """Return the processes whose memory is read here: hosts read that of their own."""
        return {os.getpid(): OWNER}

    def _on_lost(self, entry: Entry, error: BaseException) -> None:
        entry.worker = 0  # see ``losses``
        self._outcomes.lose(entry, error)

    def _wake(self) -> None:
        self._service.wakeup()

    def _stop_workers(self) -> None:
        self._service.stop()

    def _forget(self, function: Function) -> None:
        self.core.forget_function(function.id).carry_out()

    def _malformed(self, worker: int, error: Exception) -> None:
        """Nothing more can be done: the output of a worker of another host makes no sense."""
        failure = errors.BrokenWorker(f"worker {worker} wrote output that makes no sense: {error}")
        self._lifetime.fail(failure, error)

    def _unsendable(self, slot: int, assignment: Assignment, error: BaseException) -> None:
        without_ours(error)
        entry, effects = self.core.unsent(slot, assignment.id)
        effects.carry_out()
        if entry is not None:
            self._outcomes.unsent(entry, error)

    def _unprepared(self, host: Host, error: errors.NotEnoughMemory) -> None:
        if self._arrivals.room.unprepared(host, error):
            self._service.leaving(host.info.key)
        else:
            self._lifetime.fail(error, None)

    def _finished(self) -> None:
        registry.listeners.discard(self._service)
        if self.history.watch is not None:
            self.history.watch.stop()
        for host in self._table.all():
            if host.state is not State.GONE:
                host.lost("")
        self._table.relays.close()
        self._carrier.close()
        self._table.senders.close()
        for host in self._table.all():
            host.link.abandon()
        self._table.ready.set()
        self._output.close()
        self._present.close()
        self._service.wakeup.close()
        self._arena.close()
        self._initializer = None
        self._known.clear()
        self.core.inbox.forget()
        self.history.over()
        _engines.discard(self)

    def after_fork(self) -> None:
        """Mark this copy, in a forked child: the hosts are the parent's."""
        self.core.after_fork()
        self._table.senders.after_fork()
        self._table.relays.after_fork()
        self._carrier.after_fork()
        self._present.after_fork()
        self._service.wakeup.close()


class Hosts:
    """The hosts of a pool; ``service.Table``. Written by the service's thread.

    Attributes:
        ready: set when the expected workers are ready.
        senders: the threads that send to them.
        relays: which host has what.

    Args:
        engine: the pool's.
        link: see ``Carrier``.
    """

    def __init__(self, engine: ClusterEngine, link: Callable[[int, int], bool]) -> None:
        self._engine = weakref.proxy(engine)
        self._hosts: dict[int, Host] = {}
        self._slots = count(1)
        self.ready = Event()
        self.senders = Senders()
        self.relays = Relays(self.all, link)

    def all(self) -> list[Host]:
        """Return every host so far."""
        return list(self._hosts.values())

    def places(self) -> dict[int, str]:
        """Return the host's name for the number of each slot."""
        return {slot.number: host.name for host in self.all() for slot in host.slots}

    def by_key(self, key: int) -> Host | None:
        """Return the host that the carrier knows by this key."""
        return self._hosts.get(key)

    def add(self, info: HostInfo) -> None:
        """Take in a host."""
        slots = [next(self._slots) for _ in range(info.workers)]
        host = self._hosts[info.key] = self._engine.connect(info, slots)
        # Not before it is in the table: what it answers would be dropped.
        self._engine.begin_sending(host)

    def look(self, *, unreached: bool = False) -> None:
        """Set ``ready`` if all expected workers are, or cannot be."""
        if unreached:
            self.ready.set()
        if not self.ready.is_set():
            there = [host for host in self.all() if host.state is not State.STARTING]
            if sum(len(host.slots) for host in there) >= self._engine.options.workers:
                self.ready.set()


def _start_worker() -> None:
    """Called when a worker is missing: agents replace their own workers."""


def _initializer(options: Options, follower: Follower) -> Function | None:
    """Return the initializer as it is sent to each host.

    Raises:
        NotPicklable: it cannot be pickled.
        NotShared: it needs what only a child of this process can have.
    """
    if options.initializer is None:
        return None
    encoded = inheriting.encode_initial((options.initializer, options.initargs), PEER)
    if encoded.carried:
        raise errors.NotShared(
            "the initializer needs a lock, event, queue or pipe of multiprocessing, which is "
            "on this machine: no other host can have it"
        )
    encoded.anchor()
    function = Function(0, options.initializer, encoded)
    function.versions = follower.versions(encoded.references)
    return function


def _after_fork() -> None:
    for engine in list(_engines):
        engine.after_fork()
    _engines.clear()


def _at_exit() -> None:
    """End the pools that are left when the program ends."""
    for engine in list(_engines):
        engine.terminate()
        engine.join(10)


forking.in_child(_after_fork)
atexit.register(_at_exit)
