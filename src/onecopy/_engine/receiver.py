"""Receives frames from workers: results, log records, printed lines, control messages.

A worker's socket is read by the driver, or by a caller that waits for one result and has taken the
socket over from the driver (``wait_for``), which saves two of the four context switches of a round
trip. The thread that reads holds the worker's ``receiving``. The driver only tries that lock; a
caller waits for it, and holds no other lock then.
"""

from __future__ import annotations

import marshal
import pickle
import signal
import struct
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic, monotonic_ns
from typing import Any

from .. import errors
from .._codec.blame import short, without_ours
from .._codec.codec import decode
from .._observe.columns import DONE, FAILED
from .._observe.diary import RESULTS
from .._protocol import outcome_page, wire
from .._protocol.failures import fits_failures, fits_values, revive, revived
from .._protocol.import_watch import SlowImport
from .._protocol.outcome_page import Outcome
from .._protocol.wire import NOTHING
from .._schedule.events import Assignment
from .._system.interrupts import SLICE, Uninterrupted
from .._system.poller import Poller
from . import output_dispatch
from .core import Core, Ended, PoolState
from .effects import ReadyWorker
from .freezer import Freezes
from .lifetime import Lifetime
from .outcomes import Deliver, Outcomes
from .output_dispatch import OutputDispatcher
from .runs import Run, part
from .work import Call, Entry, FutureCall
from .worker_handle import WorkerHandle, WorkerState
from .workers import Workers

_SAYS = {
    (wire.RECORD, 0): output_dispatch.RECORD,
    (wire.RECORD, wire.TAKEN): output_dispatch.TAKEN,
    (wire.WARNING, 0): output_dispatch.WARNING,
    (wire.TEXT, 1): output_dispatch.STDOUT,
    (wire.TEXT, 2): output_dispatch.STDERR,
    (wire.TEXT, 1 | wire.FLUSHED): output_dispatch.STDOUT_FLUSHED,
    (wire.TEXT, 2 | wire.FLUSHED): output_dispatch.STDERR_FLUSHED,
}

# Results from this size on take a while to unpickle. Those in shared memory are a head of as many
# bytes here.
_LARGE = 32
# Seconds between two checks for results of running chunks.
_TELL = 0.02


class Receiver:
    """See the module.

    Args:
        core: the pool's table.
        outcomes: delivers results.
        lifetime: fails the pool when an initializer has failed.
        workers: of the pool.
        freezes: learns which workers have frozen a segment.
        output: dispatches what workers log and print.
        poller: the driver waits on it.
    """

    def __init__(
        self,
        core: Core,
        outcomes: Outcomes,
        lifetime: Lifetime,
        workers: Workers,
        freezes: Freezes,
        output: OutputDispatcher,
        poller: Poller,
    ) -> None:
        self._core = core
        self._outcomes = outcomes
        self._lifetime = lifetime
        self._workers = workers
        self._freezes = freezes
        self._output = output
        self._poller = poller
        self._waiting: set[int] = set()  # threads that read a socket in ``wait_for``
        self._handed: deque[Callable[[], None]] = deque()
        self._tell_at = 0.0
        # Not all workers: this is checked each time that the driver wakes.
        self._muted: set[WorkerHandle] = set()
        self._lenders: set[WorkerHandle] = set()  # the owner has, or had, blocks of theirs
        self._distrusted: deque[tuple[int, Exception]] = deque()
        self.ready = 0
        """The number of workers that have become ready so far."""

    # Reading.

    def wait_for(
        self, worker: ReadyWorker, missing: Callable[[], bool], signals: Uninterrupted
    ) -> None:
        """Send, and read this worker's socket while an outcome is ``missing``; in the caller's
        thread, which holds ``signals``: frames that have been read are handled before Ctrl-C is.

        Returns early, and leaves everything to the driver, if the socket is full or closed, or if
        this thread reads a socket already: it is in a callback of another task. If a
        second Ctrl-C arrives while frames are being handled, it is unknown which have been: the
        worker is killed, and its work fails with WorkerDied instead of getting no outcome at all.
        """
        assert isinstance(worker, WorkerHandle)
        channel, handling = worker.channel, False
        thread = threading.get_ident()
        if thread in self._waiting:
            worker.flush()
            return
        with worker.receiving:
            if worker.state is WorkerState.ENDED:
                return
            self.unwatch(worker)
            worker.muted = False
            self._waiting.add(thread)
            try:
                channel.flush()
                while missing() and not channel.blocked:
                    if self._output.is_full(worker.number):
                        signals.pass_on(partial(self._output.wait_for_room, worker.number, SLICE))
                    elif signals.pass_on(worker.readable):
                        handling = True
                        self._on_frames(worker, channel.reader.read(wire.NOW))
                        handling = False
            except EOFError:
                pass  # the driver will read the same
            except (wire.BrokenFrame, OSError) as error:
                self.protocol_error(worker, error)
            except BaseException:
                if handling:
                    self._workers.kill(worker)
                raise
            finally:
                self._waiting.discard(thread)
                self.watch(worker)

    def is_waiting(self, thread: int) -> bool:
        """Return True for a thread that reads a socket in ``wait_for``."""
        return thread in self._waiting

    def read(self, worker: WorkerHandle) -> bool:
        """Read what a worker has sent, in the driver thread; return False when its socket is
        closed."""
        if not worker.receiving.acquire(blocking=False):
            return True  # ``wait_for`` reads it
        try:
            self.deliver_handed()
            if worker.ended:
                return True
            if self._output.is_full(worker.number):
                # ``resume_reading`` comes before the driver sleeps, and sees room.
                self.unwatch(worker)
                worker.muted = True
                self._muted.add(worker)
                return True
            return self._read(worker)
        finally:
            worker.receiving.release()

    def _read(self, worker: WorkerHandle) -> bool:
        try:
            self._on_frames(worker, worker.channel.reader.read(wire.NOW))
        except BlockingIOError:
            pass  # ``wait_for`` has read it meanwhile
        except (EOFError, wire.BrokenFrame, OSError) as error:
            # The socket is closed; or the worker broke the protocol, or has used up our
            # descriptors: then it is killed, and its task fails. What is posted to it from now on
            # is not sent, and goes back to the queue when it is gone.
            if not isinstance(error, EOFError):
                self.protocol_error(worker, error)
            self.unwatch(worker)
            self._workers.on_end(worker)
            return False
        return True

    # Watching sockets: any thread, but one thread at a time per worker.

    def watch(self, worker: WorkerHandle) -> None:
        """Make the driver wait for the worker's socket."""
        self._poller.add(worker.channel.fd, write=worker.channel.blocked)
        worker.watched = True

    def unwatch(self, worker: WorkerHandle) -> None:
        """Make the driver ignore the worker's socket."""
        if worker.watched:
            worker.watched = False
            self._poller.remove(worker.channel.fd)

    def want_write(self, number: int, wanted: bool) -> None:
        """Wait, or wait no more, for room in a worker's socket."""
        worker = self._workers.by_number.get(number)
        if worker is not None and worker.watched:
            self._poller.change(worker.channel.fd, write=wanted)

    def resume_reading(self) -> None:
        """Resume reading from workers whose output has been dispatched; kill those whose output was
        malformed. In the driver thread."""
        while self._distrusted:
            number, error = self._distrusted.popleft()
            if number in self._workers.by_number:
                self.protocol_error(self._workers.by_number[number], error)
        for worker in list(self._muted):
            if not worker.muted or worker.ended:
                self._muted.discard(worker)
                continue
            if self._output.is_full(worker.number):
                continue
            if worker.receiving.acquire(blocking=False):
                worker.muted = False
                self.watch(worker)
                worker.receiving.release()
            # Otherwise the thread that holds it is about to watch it.

    def return_blocks(self) -> bool:
        """Return to workers the blocks that no view in this process needs any more; return True if
        there are others. In the driver thread."""
        borrowed = False
        for worker in list(self._lenders):
            # First: a block whose view dies meanwhile is returned the next time.
            if worker.channel.link.borrowed and not worker.ended:
                borrowed = True
            else:
                self._lenders.discard(worker)
            worker.flush()
        return borrowed

    # Frames. With the worker's ``receiving`` held.

    def _on_frames(self, worker: WorkerHandle, frames: list[wire.Frame]) -> None:
        """Handle a worker's frames; new work is posted to it before their contents are unpickled.

        Raises BrokenFrame, after the frames before the broken one were handled.
        """
        results: list[Ended] = []
        for frame in frames:
            if frame.type == wire.RESULT and len(frame.body) >= wire.SPENT.size:
                received, decoded, started, finished, worker.last = wire.TIMES.unpack_from(
                    frame.body
                )
                flags = frame.flags
                unrun = bool(flags & wire.UNRUN)
                # The time to load the function is left out: the next task will not need it.
                took = None if unrun else finished - started + decoded - received
                failed = bool(flags & wire.ERRORS)
                results.append((frame.id, took, flags >> wire.SHORT, failed, unrun))
        ended: dict[int, Entry] = {}
        halved: set[int] = set()
        if results:
            # A thread other than the driver may be the one that makes a worker idle.
            ended, halved, effects = self._core.ended(
                worker.number, results, look_for_blocked=bool(self._waiting)
            )
            effects.carry_out()
        known = {*ended, *halved}
        try:
            self._on_each(worker, frames, ended, known)
            if worker.channel.reader.broken is not None:
                raise worker.channel.reader.broken
        finally:
            for entry in ended.values():  # none, unless something was raised
                self._conclude_bad(worker, entry, NOTHING)

    def _on_each(
        self,
        worker: WorkerHandle,
        frames: list[wire.Frame],
        ended: dict[int, Entry],
        known: set[int],
    ) -> None:
        said: list[output_dispatch.OutputItem] = []
        for frame in frames:
            says = _SAYS.get((frame.type, frame.flags))
            if says is not None:
                said.append((frame.id, says, frame.body))
                continue
            if said:  # before what comes after it
                self._output.put(worker.number, said)
                said = []
            if frame.type == wire.OUTCOMES:
                self._on_outcomes(worker, frame)
            elif frame.type != wire.RESULT:
                self._on_control(worker, frame)
            elif frame.id in ended:
                self._deliver(worker, frame, ended.pop(frame.id))
            elif frame.id not in known and self._core.state < PoolState.TERMINATED:
                raise wire.BrokenFrame(f"a result for assignment {frame.id}, not one of its")
        if said:
            self._output.put(worker.number, said)

    def _on_outcomes(self, worker: WorkerHandle, frame: wire.Frame) -> None:
        try:
            start, outcomes = outcome_page.parse(frame.body)
        except struct.error as error:
            raise wire.BrokenFrame(f"outcomes of run {frame.id}: {error}") from error
        last = bool(frame.flags & wire.LAST)
        if (
            not self.on_outcomes(worker, frame.id, start, outcomes, last=last)
            and self._core.state < PoolState.TERMINATED
        ):
            raise wire.BrokenFrame(f"outcomes of run {frame.id}, not one of its")

    def on_outcomes(
        self, worker: WorkerHandle, run: int, start: int, outcomes: list[Outcome], *, last: bool
    ) -> bool:
        """Take in outcomes of a run; return False if it is not the worker's.

        The caller holds the worker's ``receiving``, or is the driver: two threads never deliver
        the same outcome, for ``Runs.advanced`` tells which are new.
        """
        unpack, took = wire.TIMES.unpack_from, []
        for _, spent, _ in outcomes:
            received, decoded, started, finished, encoded = unpack(spent)
            took.append(finished - started + decoded - received)
        if outcomes and encoded:
            worker.last = max(worker.last, encoded)
        found = self._core.runs.advanced(worker.number, run, start, took, last=last)
        if found is None:
            return False
        entry, calls, effects = found
        if effects is not None:
            effects.carry_out()  # first: the worker's next work
            if self._waiting:  # a thread other than the driver may have made a worker idle
                self._core.wake()
        new = outcomes[len(outcomes) - len(calls) :]
        left = deque((call, *of_it) for call, of_it in zip(calls, new, strict=True) if call)
        try:
            self._deliver_run(worker, entry, left)
        finally:
            for call, *_ in left:  # none, unless something was raised
                self._conclude_bad(worker, part(entry, call), NOTHING)
        return True

    def _deliver_run(
        self,
        worker: WorkerHandle,
        entry: Entry,
        left: deque[tuple[FutureCall, int, bytes, bytes]],
    ) -> None:
        """Deliver outcomes of a run; they are removed from ``left`` as their calls get them."""
        waits = bool(self._waiting) and self.is_waiting(threading.get_ident())
        is_behind, loads = self._output.is_behind, pickle.loads
        while left:
            values = []
            for call, flags, spent, body in left:
                if flags or waits or is_behind(call.number):
                    break
                try:
                    values.append((call, spent, loads(body)))
                except Exception:
                    break  # it raises again below, which notes it
            if values:
                self._outcomes.delivered_together(worker.pid, entry, values)
                for _ in values:
                    left.popleft()
            if left:
                call, flags, spent, body = left.popleft()
                run = entry.assignment.id
                one = wire.Frame(wire.RESULT, flags, run, spent + body, wire.NO_FDS)
                self._deliver(worker, one, part(entry, call))

    def _deliver(self, worker: WorkerHandle, frame: wire.Frame, entry: Entry) -> None:
        assignment, work = entry.assignment, entry.work
        spent = frame.body[: wire.SPENT.size]
        body = memoryview(frame.body)[wire.SPENT.size :]
        bad = frame.flags & wire.ERRORS
        began = monotonic_ns() if len(body) >= _LARGE else 0
        try:
            value = decode(bool(frame.flags & wire.RICH), body, worker.channel.link)
            size = None if isinstance(work, Call) else assignment.stop - assignment.start
            if not bad:  # a call may answer anything
                fits = size is None or fits_values(value, size)
            elif fits := fits_failures(value, size or 1):
                first = None if size is None else assignment.start
                value = value[0], revived(value[1], first)
        except BaseException as error:
            note = f"raised while the result of {work.describe(assignment)} was unpickled"
            errors.add_note(error, note)
            self._conclude(worker.pid, entry, spent, FAILED, self._outcomes.failed, error)
            return
        finally:
            link = worker.channel.link
            if began and (link.borrowed or link.frees):
                self._lenders.add(worker)
        if began:
            self._outcomes.history.diary.add(RESULTS, began, monotonic_ns())
        if not fits:
            self._conclude_bad(worker, entry, spent)
            raise wire.BrokenFrame("a result that is none of what was asked for")
        early = entry.early
        if bad:
            if early:
                value = [
                    {at - early: it for at, it in part.items() if at >= early} for part in value
                ]
            self._conclude(worker.pid, entry, spent, FAILED, self._outcomes.partly, *value)
        else:
            value = value[early:] if early else value
            self._conclude(worker.pid, entry, spent, DONE, self._outcomes.delivered, value)

    def _conclude(
        self, pid: int, entry: Entry, spent: bytes, state: int, deliver: Deliver, *outcome: Any
    ) -> None:
        """Record an outcome and deliver it; see ``Outcomes.conclude``.

        The program's callbacks do not run in a thread that reads a socket for its caller, which may
        hold what a callback waits for: the driver calls them, before it reads more of this worker.
        """
        if self._waiting and self.is_waiting(threading.get_ident()) and entry.work.calls_back():
            conclude = self._outcomes.conclude
            self._handed.append(partial(conclude, pid, entry, spent, state, deliver, *outcome))
            self._core.wake()
            return
        self._outcomes.conclude(pid, entry, spent, state, deliver, *outcome)

    def deliver_handed(self) -> None:
        """Deliver what threads that read sockets have left to the driver. In the driver thread."""
        while self._handed:
            self._handed.popleft()()

    def _conclude_bad(self, worker: WorkerHandle, entry: Entry, spent: bytes) -> None:
        """Fail an assignment whose result arrived malformed."""
        task = entry.work.describe(entry.assignment)
        error = errors.WorkerDied(worker.pid, -signal.SIGKILL, task)
        error.add_note("the pool ended it: what it wrote made no sense, or was not read to its end")
        self._conclude(worker.pid, entry, spent, FAILED, self._outcomes.failed, error)

    def _on_control(self, worker: WorkerHandle, frame: wire.Frame) -> None:
        try:
            self._control(worker, frame)
        except wire.BrokenFrame:
            raise
        except Exception as error:
            raise wire.BrokenFrame(f"type {frame.type}: {error!r}") from error

    def _control(self, worker: WorkerHandle, frame: wire.Frame) -> None:
        link = worker.channel.link
        if frame.type == wire.ANNOUNCE:
            link.announced(marshal.loads(frame.body), frame.fds)
        elif frame.type == wire.FREE:
            link.came_back(list(wire.PAIR.iter_unpack(frame.body)))
        elif frame.type == wire.FORGOTTEN:
            link.forgotten(frame.id)
        elif frame.type == wire.FROZEN:
            self._freezes.answered(frame.id, worker.number)
        elif frame.type == wire.PROFILE:
            self._outcomes.history.profile.add(marshal.loads(frame.body))
        elif frame.type == wire.IMPORTED:
            self._outcomes.history.recorder.imported(marshal.loads(frame.body))
        elif frame.type == wire.SLOW:
            self.warn_of_import(SlowImport(*wire.SLOW_IMPORT.unpack(frame.body)))
        elif worker.state is WorkerState.READY and frame.type in (wire.READY, wire.FAILED):
            raise wire.BrokenFrame(f"type {frame.type} of a worker that was ready")
        elif frame.type == wire.READY:
            worker.ready_now(frame.id, *wire.READY_TIMES.unpack(frame.body))
            self.ready += 1
            self._core.join(worker).carry_out()
        elif frame.type == wire.FAILED:
            what, failed = pickle.loads(frame.body)
            error = revive(failed)
            self._lifetime.fail(errors.InitializerFailed(f"{what}: {short(error, 300)}"), error)
        else:
            raise wire.BrokenFrame(f"type {frame.type}")

    # Results of running chunks. In the driver thread.

    def tell_early(self) -> float | None:
        """Deliver results of chunks that are still running; return in how many seconds to check
        again.

        A result is delivered the second time that it is seen. The task's earlier output was in the
        socket the first time, and has been read since.
        """
        core = self._core
        if not (core.streams or core.runs.out):
            return None
        now = monotonic()
        if now < self._tell_at:
            return self._tell_at - now
        self._tell_at = now + _TELL
        for run in list(core.runs.out):
            self._tell_of_run(run)
        for worker in list(self._workers.by_fd.values()) if core.streams else ():
            with core.lock:
                entry = core.assigned.get(self._workers.claims.claimed(worker.slot))
            if entry is not None and entry.work.streams and not worker.muted:
                self._tell(worker, entry)
        return _TELL

    def _tell(self, worker: WorkerHandle, entry: Entry) -> None:
        assignment, work = entry.assignment, entry.work
        found = self._workers.claims.early(worker.slot, assignment.id, entry.early)
        ready, entry.seen = entry.seen - entry.early, entry.early + len(found)
        if ready <= 0 or not found:
            return
        try:
            values = [pickle.loads(stream) for stream in found[:ready]]
        except Exception:
            return  # it fails with the whole chunk, when that has ended
        start = assignment.start + entry.early
        core = self._core
        with core.lock:
            if core.assigned.get(assignment.id) is not entry or work.number not in core.work:
                return
            # From now on the entry stands for the others; see ``Entry.rest``.
            entry.early += len(values)
        part = assignment._replace(start=start, stop=start + len(values))
        act = partial(work.deliver, part, values)
        if not self._output.after(work.number, act):
            act()

    def _tell_of_run(self, run: int) -> None:
        entry = self._core.assigned.get(run)
        worker = self._workers.by_number.get(entry.worker) if entry is not None else None
        if entry is None or worker is None or worker.muted or worker.ended:
            return
        found = self._workers.claims.outcomes(worker.slot, run)
        if found is None:
            return
        start, outcomes = found
        ready, entry.seen = outcomes[: max(0, entry.seen - start)], start + len(outcomes)
        if ready:
            self.on_outcomes(worker, run, start, ready, last=False)

    def take_rest(self, worker: WorkerHandle, claimed: int) -> int:
        """Take in outcomes of a run that a worker, which has ended, has not sent; return how many
        calls of it the worker had started. Its slot has no other worker yet."""
        with self._core.lock:
            entry = self._core.assigned.get(claimed)
        if entry is None or type(entry.work) is not Run:
            return 0
        claims = self._workers.claims
        found = None if worker.broken else claims.outcomes(worker.slot, claimed)
        if found is not None:
            self.on_outcomes(worker, claimed, *found, last=False)
        return claims.begun(worker.slot, claimed) or 0

    # Errors.

    def unsendable(self, number: int, assignment: Assignment, error: BaseException) -> None:
        """Fail an assignment that was never sent: its payload cannot be pickled, or there is no
        memory. In the sending thread."""
        without_ours(error)
        entry, effects = self._core.unsent(number, assignment.id)
        effects.carry_out()
        if entry is not None:
            self._outcomes.unsent(entry, error)

    def protocol_error(self, worker: WorkerHandle, error: BaseException) -> None:
        """Kill a worker that broke the protocol; the rest of what it wrote is ignored."""
        worker.broken = worker.broken or str(error)
        self._workers.kill(worker)

    def distrust(self, number: int, error: Exception) -> None:
        """Set a worker aside whose output was malformed. In the dispatching thread: only sets a
        flag."""
        self._distrusted.append((number, error))

    def warn_of_import(self, slow: SlowImport) -> None:
        """Warn that workers import the main module and that this is slow: the warning is the
        owner's."""
        took = f"{slow.milliseconds / 1000:.1f} s and {slow.nbytes / 1e6:,.0f} MB"
        text = (
            f"workers import the main module, which takes {took}, most of it here; put that "
            'under if __name__ == "__main__":, or make the pool with main="value"'
        )
        kinds = [("onecopy.errors", "SlowImportWarning"), ("builtins", "UserWarning")]
        path = self._workers.source.main_path
        said = marshal.dumps((text, kinds, path, slow.line, "__main__"))
        self._output.put(0, [(0, output_dispatch.WARNING, said)])
