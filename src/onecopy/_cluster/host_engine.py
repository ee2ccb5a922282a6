"""The engine of a host: an ordinary one, whose work and results stay pickled.

It takes ``Given`` work, and says what happens into an ``Outbox``: results as parcels, output as the
workers' own bytes, workers that come and go. The parts that differ from ``ProcessEngine``'s are
here, and are put in by ``_made``.
"""

from __future__ import annotations

import signal
from collections import deque
from time import monotonic_ns
from typing import Any

from .. import errors
from .._codec.parcel import Parcel, taken
from .._codec.pickling import PEER
from .._engine.core import Core, MakeError
from .._engine.effects import Effects, ReadyWorker
from .._engine.functions import Function
from .._engine.known_functions import KnownFunctions
from .._engine.lifetime import Lifetime
from .._engine.limits import Limits
from .._engine.options import Options
from .._engine.outcomes import Outcomes
from .._engine.output_dispatch import Act, OutputDispatcher, OutputItem
from .._engine.parts import Parts
from .._engine.preemption import Preemption
from .._engine.processes import ProcessEngine
from .._engine.receiver import Receiver
from .._engine.startup import Startup
from .._engine.submission import Submission
from .._engine.work import Entry, Work
from .._engine.worker_handle import WorkerHandle
from .._engine.workers import Workers
from .._protocol import wire
from .._schedule.events import Assignment
from .._schedule.scheduler import Scheduler
from .._system import procfs
from .given import Given
from .messages import Known
from .mirrors import Mirrors
from .outbox import Outbox, caused, packed

# Frames for the driver's report, and the names of their items.
_PASSED_ON = {wire.IMPORTED: "imported", wire.PROFILE: "profile"}


Values = dict[int, tuple[int, list[tuple[int, Parcel | errors.NotShared]]]]
"""By worker: the assignment whose result comes next, and the values that it has sent in front of that."""


class HostCore(Core):
    """A table that says which workers there are."""

    outbox: Outbox
    history: Any
    values: Values

    def join(self, worker: ReadyWorker) -> Effects:
        assert isinstance(worker, WorkerHandle)
        self.outbox.put("worker", worker.row(0))
        return super().join(worker)

    def worker_gone(
        self, worker: int, claimed: int, begun: int = 0, *, broken: bool, error: MakeError
    ) -> Effects:
        self.outbox.put("worker", self.history.gone[-1])
        self.values.pop(worker, None)
        return super().worker_gone(worker, claimed, begun, broken=broken, error=error)


class HostReceiver(Receiver):
    """Passes results on without unpickling them."""

    outbox: Outbox
    mirrors: Mirrors
    values: Values

    def _deliver(self, worker: WorkerHandle, frame: wire.Frame, entry: Entry) -> None:
        work = entry.work
        assert isinstance(work, Given)
        spent = frame.body[: wire.SPENT.size]
        parcel = self._taken(worker, frame, wire.SPENT.size)
        assignment, values = self.values.pop(worker.number, (0, []))
        if assignment != frame.id:
            values = []
        for each in (parcel, *(value for _, value in values)):
            if isinstance(each, errors.NotShared):
                work.fail(entry.assignment, each)
                return
        for at, value in values:
            self.outbox.put("value", work.order.id, at, value)
        who = worker.number, worker.pid
        self.outbox.put("ended", work.order.id, who, spent, frame.flags, parcel)
        work.done()

    def _taken(
        self, worker: WorkerHandle, frame: wire.Frame, start: int
    ) -> Parcel | errors.NotShared:
        rich = bool(frame.flags & wire.RICH)
        body = memoryview(frame.body)[start:]
        try:
            return taken(rich, body, worker.channel.link, self.mirrors.knows)
        except errors.NotShared as error:
            return error.with_traceback(None)
        finally:
            if worker.channel.link.borrowed:
                self._lenders.add(worker)

    def _control(self, worker: WorkerHandle, frame: wire.Frame) -> None:
        if frame.type in _PASSED_ON:
            self.outbox.put(_PASSED_ON[frame.type], frame.body)
        elif frame.type == wire.VALUE:
            assignment, values = self.values.get(worker.number, (0, []))
            if assignment != frame.id:
                values = []
                self.values[worker.number] = frame.id, values
            values.append((frame.flags >> wire.SHORT, self._taken(worker, frame, 0)))
        else:
            super()._control(worker, frame)

    def _conclude_bad(self, worker: WorkerHandle, entry: Entry, spent: bytes) -> None:
        error = errors.WorkerDied(
            worker.pid, -signal.SIGKILL, entry.work.describe(entry.assignment)
        )
        error.add_note("the pool ended it: what it wrote made no sense, or was not read to its end")
        entry.work.fail(entry.assignment, error)


class HostOutcomes(Outcomes):
    """Errors that the engine itself has made: the driver records and retries."""

    def lose(self, entry: Entry, error: BaseException) -> None:
        if isinstance(entry.work, Given):
            entry.work.worker = entry.worker
        entry.work.fail(entry.assignment, error)

    def unsent(self, entry: Entry, error: BaseException) -> None:
        entry.work.fail(entry.assignment, error)

    def failed(self, assignment: Assignment, work: Work, error: BaseException) -> None:
        work.fail(assignment, error)


class HostLifetime(Lifetime):
    """Says why the engine cannot be used."""

    outbox: Outbox

    def fail(self, failure: errors.OnecopyError, cause: BaseException | None) -> None:
        self.outbox.put("broken", packed(failure), caused(cause))
        super().fail(failure, cause)


class Relay(OutputDispatcher):
    """Passes workers' output on. It is put in front of the results that come after it, so nothing
    has to wait here."""

    outbox: Outbox
    hushed: set[int]

    def put(self, worker: int, said: list[OutputItem]) -> None:
        self.outbox.put("said", worker, said)

    def after(self, task: int, act: Act) -> bool:
        return False

    def is_behind(self, task: int) -> bool:
        return False

    def is_full(self, worker: int) -> bool:
        """Return True while the driver has more of this worker's output than its handlers manage."""
        return worker in self.hushed

    def wait_for_room(self, worker: int, timeout: float) -> None:
        """Not called: no caller waits for a result in place."""

    def close(self) -> None:
        """Nothing is kept here."""


class HostPreemption(Preemption):
    """Cuts chunks that run, if the driver has an idle worker on another host for the rest."""

    outbox: Outbox
    wanted: deque[Given]

    def take_back(self) -> float | None:
        while self.wanted:
            self._cut(self.wanted.popleft())
        return super().take_back()

    def _cut(self, work: Given) -> None:
        """Stop the worker before the items of this chunk that it has not started."""
        with self._core.lock:
            found = [entry for entry in self._core.assigned.values() if entry.work is work]
        worker = self._workers.by_number.get(found[0].worker) if found else None
        if worker is None or worker.ended:
            return
        claimed = self._workers.pause(worker)
        begun, cut = None, None
        if claimed == found[0].assignment.id:
            begun = self._workers.claims.begun(worker.slot, claimed)
        if begun is not None and begun < work.order.size:
            # Before the result, which the worker can only send when it goes on.
            self.outbox.put("cut", work.order.id, begun)
            cut = claimed, begun
        worker.resume([], cut)
        worker.flush()


class HostEngine(ProcessEngine):
    """See the module.

    Args:
        options: of this host's pool.
        initializer: as it was received, or None.
        outbox: takes what happens.
        mirrors: the driver's segments.
    """

    def __init__(
        self, options: Options, initializer: Function | None, outbox: Outbox, mirrors: Mirrors
    ) -> None:
        self._received = initializer
        self._outbox = outbox
        self._mirrors = mirrors
        super().__init__(options)
        assert self.history.watch is not None
        self.history.watch.told = lambda rows: outbox.put("memory", rows)
        self._parts.shown.close()  # the driver shows what runs here

    def _initializer(self, workers: Workers) -> Function | None:
        return self._received

    def _made(self, workers: Workers, *others: Any) -> Parts:
        freezes, segments, arena, wakeup, polled, shown = others
        history, limits = self.history, Limits()
        core = HostCore(
            # What no worker has been given yet can be taken back, so each gets one at a time.
            Scheduler(self.options.workers, self.options.max_tasks, ahead=False),
            on_lost=self._on_lost,
            start_worker=self._start_worker,
            wake=wakeup,
            limits=limits,
        )
        relay = Relay(wakeup, self._distrust, history.diary, prefixed=False)
        relay.hushed = set()
        known = KnownFunctions(PEER, None, self._forget)
        submission = Submission(core, history, known, PEER, wakeup, self._wait_for)
        lifetime = HostLifetime(core, submission, history, self._stop_workers)
        outcomes = HostOutcomes(core, history, relay)
        receiver = HostReceiver(core, outcomes, lifetime, workers, freezes, relay, polled)
        receiver.mirrors, core.history = self._mirrors, history
        receiver.values = core.values = {}
        preemption = HostPreemption(core, workers, limits)
        preemption.wanted = deque()
        for part in (core, lifetime, relay, receiver, preemption):
            part.outbox = self._outbox
        return Parts(
            core=core,
            history=history,
            known=known,
            submission=submission,
            outcomes=outcomes,
            lifetime=lifetime,
            workers=workers,
            startup=Startup(self.options.workers),
            receiver=receiver,
            preemption=preemption,
            output=relay,
            freezes=freezes,
            segments=segments,
            arena=arena,
            wakeup=wakeup,
            poller=polled,
            shown=shown,
        )

    # The agent's thread.

    def give(self, work: Given) -> None:
        """Put work behind what is waiting. Raises PoolClosed, or the failure, if there is none."""
        effects = self.core.submit(work)
        if effects is not None:
            effects.carry_out()

    def withdraw(self, works: list[Given]) -> list[Given]:
        """Take back those that no worker has been given; return them."""
        core = self.core
        with core.lock:
            begun = {id(entry.work) for entry in core.assigned.values()}
            back = [w for w in works if id(w) not in begun and core.work.pop(w.own, None) is w]
        return back

    def cut(self, work: Given) -> None:
        """Take back the items of a chunk that its worker has not started, if there are any."""
        preemption = self._parts.preemption
        assert isinstance(preemption, HostPreemption)
        preemption.wanted.append(work)
        self._parts.wakeup()

    def present(self) -> list[Known]:
        """Return what is known here alone of each worker."""
        now = monotonic_ns()
        ended = self.core.ended_by_worker()
        heads = {entry.worker: (entry.work, since) for entry, since in self.core.heads()}
        found = []
        for number, worker in list(self._parts.workers.by_number.items()):
            work, since = heads.get(number, (None, now))
            order = work.order.id if isinstance(work, Given) else 0
            status = procfs.status(worker.pid)
            cpu = status.cpu if status is not None else 0.0
            spent = max(0, now - since)
            found.append((number, number in ended, ended.get(number, 0), order, spent, cpu))
        return found

    def abort(self, work: Given) -> None:
        """Kill the worker that runs this, as soon as it does."""
        self.core.abort(work)
        self._parts.wakeup()

    def hush(self, worker: int, *, hushed: bool) -> None:
        """Read nothing more from a worker whose output the driver cannot handle so fast, or go on."""
        relay = self._parts.output
        assert isinstance(relay, Relay)
        (relay.hushed.add if hushed else relay.hushed.discard)(worker)
        self._parts.wakeup()
