"""Reading what workers say: results, records, printed lines, and words between the engines.

The part of the engine on processes that reads sockets. Each is read by the driver thread, or
by a caller who waits for one result and has taken it out of the driver's hands (``_await``);
whoever reads it holds its ``receiving``.
"""

from __future__ import annotations

import marshal
import pickle
import signal
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
from .._protocol import wire
from .._protocol.failures import fits_failures, fits_values, revive
from .._protocol.import_watch import SlowImport
from .._schedule import events
from .._schedule.events import Assignment
from .._system.poller import Poller
from . import output_dispatch
from .channel import Channel
from .engine import NOTHING
from .freezer import Freezes
from .options import Options
from .output_dispatch import Hearing
from .preemption import Revoking
from .work import SLICE, Call, Direct, Entry
from .worker_handle import Member, flush

_SAYS = {
    (wire.RECORD, 0): output_dispatch.RECORD,
    (wire.RECORD, wire.TAKEN): output_dispatch.TAKEN,
    (wire.WARNING, 0): output_dispatch.WARNING,
    (wire.TEXT, 1): output_dispatch.STDOUT,
    (wire.TEXT, 2): output_dispatch.STDERR,
    (wire.TEXT, 1 | wire.FLUSHED): output_dispatch.STDOUT_FLUSHED,
    (wire.TEXT, 2 | wire.FLUSHED): output_dispatch.STDERR_FLUSHED,
}


# Results of more bytes (a rich one has at least a head) take a while to unpack.
_LARGE = 32
# How often to look for results of chunks that are still being run, in seconds.
_TELL = 0.02


class Listening(Revoking):
    """See the module."""

    _freezes: Freezes
    _poller: Poller

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._readers: set[int] = set()  # threads that read a socket in ``_await``
        self._false_starts = 0.0
        self._tell_at = 0.0
        self._distrusted: deque[tuple[int, Exception]] = deque()
        self._hearing = Hearing(
            self._nudge, self._distrust, self.diary, prefixed=options.prints == "prefixed"
        )

    def _await(self, member: Member, call: Direct) -> None:
        """Sends, and reads this worker's socket until ``call`` has its outcome.

        Leaves early, and everything to the driver, when the socket is full or has ended.
        When Ctrl-C arrives while frames are being handled, nobody can tell which have
        been: the worker is ended, and what it had fails with WorkerDied instead of staying
        without an answer.
        """
        assert isinstance(member, Channel)
        handling = False
        with member.receiving:
            if member.ended:
                return
            self._unwatch(member)
            member.muted = False
            self._readers.add(threading.get_ident())
            try:
                member.flush()
                while call.done.locked() and not (call.answered or member.blocked):
                    if self._hearing.is_full(member.worker):
                        self._hearing.wait_for_room(member.worker, SLICE)
                        continue
                    frames = member.reader.read()
                    handling = True
                    self._on_frames(member, frames)
                    handling = False
            except EOFError:
                pass  # the driver will read the same
            except (wire.BrokenFrame, OSError) as error:
                self._mistrust(member, error)
            except BaseException:
                if handling:
                    self._end_process(member)
                raise
            finally:
                self._readers.discard(threading.get_ident())
                self._watch(member)

    # Watching sockets: any thread, but one channel in one thread at a time.

    def _watch(self, channel: Channel) -> None:
        self._poller.add(channel.fd, write=channel.blocked)
        channel.watched = True

    def _unwatch(self, channel: Channel) -> None:
        if channel.watched:
            channel.watched = False
            self._poller.remove(channel.fd)

    def _want_write(self, channel: Channel, wanted: bool) -> None:
        if channel.watched:
            self._poller.change(channel.fd, write=wanted)

    # What workers say: called with ``channel.receiving`` held.

    def _on_frames(self, channel: Channel, frames: list[wire.Frame]) -> None:
        """Workers are given new work before what they said is unpacked.

        Raises BrokenFrame, after what was said before it has had its effect.
        """
        ended: dict[int, tuple[Entry, bytes]] = {}
        known: set[int] = set()
        with self._lock:
            happened: list[events.Event] = []
            for frame in frames:
                if frame.type != wire.RESULT or len(frame.body) < wire.SPENT.size:
                    continue
                entry = self._assigned.get(frame.id)
                if entry is None or entry.worker != channel.worker:
                    continue
                self._pop(frame.id)
                known.add(frame.id)
                spent = frame.body[: wire.SPENT.size]
                received, decoded, started, finished, channel.last = wire.TIMES.unpack_from(spent)
                # Loading the function is left out: the next task will not take that long.
                took: int | None = finished - started + decoded - received
                if type(entry.work) is Direct:
                    entry.work.answered = True
                if frame.flags >> wire.SHORT:
                    happened += self._ended_short(entry, frame.flags)
                again = self._halved(entry) if frame.flags & wire.UNRUN else []
                if frame.flags & wire.UNRUN:
                    took = None
                happened += [*again, events.Finished(channel.worker, frame.id, took)]
                if again:
                    happened.append(events.Settled(frame.id))
                else:
                    ended[frame.id] = entry, spent
            dirty, later = self._take(happened)
            # A reader other than the driver may be the one to make a worker idle.
            if self._readers and self._scheduler.stuck():
                later.append(self._nudge)
        flush(dirty, later)
        try:
            said: list[output_dispatch.Said] = []
            for frame in frames:
                says = _SAYS.get((frame.type, frame.flags))
                if says is not None:
                    said.append((frame.id, says, frame.body))
                    continue
                if said:  # before what comes after it
                    self._hearing.put(channel.worker, said)
                    said = []
                if frame.type != wire.RESULT:
                    self._on_word(channel, frame)
                elif frame.id in ended:
                    self._deliver(channel, frame, *ended.pop(frame.id))
                elif frame.id not in known and self._failure is None and not self._terminated:
                    raise wire.BrokenFrame(f"a result for assignment {frame.id}, not one of its")
            if said:
                self._hearing.put(channel.worker, said)
            if channel.reader.broken is not None:
                raise channel.reader.broken
        finally:
            for entry, spent in ended.values():  # none, unless something was raised
                nonsense = self._nonsense(channel, entry)
                self._conclude(channel, entry, spent, FAILED, self._failed, nonsense)

    def _ended_short(self, entry: Entry, flags: int) -> list[events.Event]:
        """Under the lock: a worker has ended its chunk, at a result that is too large to be
        told early, or at an item that failed: the rest is handed out again."""
        assignment = entry.assignment
        stop = assignment.start + (flags >> wire.SHORT)
        if not (entry.work.streams and entry.can_be_cut() and stop < assignment.stop):
            return []
        entry.assignment = assignment._replace(stop=stop)
        singly = not flags & wire.ERRORS
        return [events.Cut(entry.worker, assignment.id, stop, None, singly)]

    def _nonsense(self, channel: Channel, entry: Entry) -> BaseException:
        """The error of what has been answered, but not so that it could be used."""
        task = entry.work.describe(entry.assignment)
        error = errors.WorkerDied(channel.pid, -signal.SIGKILL, task)
        error.add_note("the pool ended it: what it wrote made no sense, or was not read to its end")
        return error

    def _deliver(self, channel: Channel, frame: wire.Frame, entry: Entry, spent: bytes) -> None:
        assignment, work = entry.assignment, entry.work
        body = memoryview(frame.body)[wire.SPENT.size :]
        bad = frame.flags & wire.ERRORS
        began = monotonic_ns() if len(body) > _LARGE else 0
        try:
            value = decode(bool(frame.flags & wire.RICH), body, channel.link)
            size = None if isinstance(work, Call) else assignment.stop - assignment.start
            fits = fits_failures(value, size or 1) if bad else fits_values(value, size)
            if bad and fits:
                value = value[0], {at: revive(how) for at, how in value[1].items()}
        except BaseException as error:
            note = f"raised while the result of {work.describe(assignment)} was unpickled"
            errors.add_note(error, note)
            self._conclude(channel, entry, spent, FAILED, self._failed, error)
            return
        if began:
            self.diary.add(RESULTS, began, monotonic_ns())
        if not fits:
            nonsense = self._nonsense(channel, entry)
            self._conclude(channel, entry, spent, FAILED, self._failed, nonsense)
            raise wire.BrokenFrame("a result that is none of what was asked for")
        early = entry.early
        if bad:
            if early:
                value = [
                    {at - early: it for at, it in part.items() if at >= early} for part in value
                ]
            self._conclude(channel, entry, spent, FAILED, self._partly, *value)
        else:
            value = value[early:] if early else value
            self._conclude(channel, entry, spent, DONE, self._delivered, value)

    def _conclude(
        self,
        channel: Channel,
        entry: Entry,
        spent: bytes,
        state: int,
        settle: Callable[..., None],
        *outcome: Any,
    ) -> None:
        """Makes an outcome known, after what its task said before it."""
        task = entry.assignment.work
        if self._hearing.is_behind(task):
            act = partial(self._made_known, channel.pid, entry, spent, state, settle, *outcome)
            if self._hearing.after(task, act):
                return
        self._made_known(channel.pid, entry, spent, state, settle, *outcome)

    def _made_known(
        self,
        pid: int,
        entry: Entry,
        spent: bytes,
        state: int,
        settle: Callable[..., None],
        *outcome: Any,
    ) -> None:
        # First: who has the result finds the task among the spans.
        self._note(entry, state, spent, pid)
        settle(entry.rest(), entry.work, *outcome)

    def _tell_early(self) -> float | None:
        """Delivers results of chunks that are still being run; in how many seconds to look
        again. In the driver thread.

        A result is delivered the next time that it is seen. What the task has said before it
        was in the socket then, and has been read since.
        """
        if not self._streams:
            return None
        now = monotonic()
        if now < self._tell_at:
            return self._tell_at - now
        self._tell_at = now + _TELL
        for channel in list(self._fleet.by_fd.values()):
            with self._lock:
                entry = self._assigned.get(self._fleet.claimed(channel))
            if entry is not None and entry.work.streams and not channel.muted:
                self._tell(channel, entry)
        return _TELL

    def _tell(self, channel: Channel, entry: Entry) -> None:
        assignment, work = entry.assignment, entry.work
        found = self._fleet.early(channel, assignment.id, entry.early)
        ready, entry.seen = entry.seen - entry.early, entry.early + len(found)
        if ready <= 0 or not found:
            return
        try:
            values = [pickle.loads(stream) for stream in found[:ready]]
        except Exception:
            return  # it is said of the whole chunk, when that has ended
        start = assignment.start + entry.early
        with self._lock:
            if self._assigned.get(assignment.id) is not entry or work.number not in self._work:
                return
            # From now on its end is about the others; see ``Entry.rest``.
            entry.early += len(values)
        part = assignment._replace(start=start, stop=start + len(values))
        act = partial(work.deliver, part, values)
        if not self._hearing.after(work.number, act):
            act()

    def _lose(self, entry: Entry, error: BaseException) -> None:
        lose = partial(super()._lose, entry, error)
        if not self._hearing.after(entry.assignment.work, lose):
            lose()

    def _on_word(self, channel: Channel, frame: wire.Frame) -> None:
        try:
            self._heed(channel, frame)
        except wire.BrokenFrame:
            raise
        except Exception as error:
            raise wire.BrokenFrame(f"type {frame.type}: {error!r}") from error

    def _heed(self, channel: Channel, frame: wire.Frame) -> None:
        if frame.type == wire.ANNOUNCE:
            channel.link.announced(marshal.loads(frame.body), frame.fds)
        elif frame.type == wire.FREE:
            channel.link.came_back(list(wire.PAIR.iter_unpack(frame.body)))
        elif frame.type == wire.FORGOTTEN:
            channel.link.forgotten(frame.id)
        elif frame.type == wire.FROZEN:
            self._freezes.answered(frame.id, channel.worker)
        elif frame.type == wire.PROFILE:
            self.profile.add(marshal.loads(frame.body))
        elif frame.type == wire.IMPORTED:
            self.recorder.imported(marshal.loads(frame.body))
        elif frame.type == wire.SLOW:
            self._warn_of_import(SlowImport(*wire.SLOW_IMPORT.unpack(frame.body)))
        elif channel.ready and frame.type in (wire.READY, wire.FAILED):
            raise wire.BrokenFrame(f"type {frame.type} of a worker that was ready")
        elif frame.type == wire.READY:
            (channel.since,) = wire.SINCE.unpack(frame.body)
            channel.last = channel.since
            channel.pid = frame.id
            channel.ready = True
            self._false_starts = 0.0
            self._join_in(channel)
        elif frame.type == wire.FAILED:
            what, failed = pickle.loads(frame.body)
            error = revive(failed)
            self._fail(errors.InitializerFailed(f"{what}: {short(error, 300)}"), error)
        else:
            raise wire.BrokenFrame(f"type {frame.type}")

    def _warn_of_import(self, slow: SlowImport) -> None:
        """Workers import the main module, at a price: the warning is the owner's own."""
        took = f"{slow.milliseconds / 1000:.1f} s and {slow.nbytes / 1e6:,.0f} MB"
        text = (
            f"workers import the main module, which takes {took}, most of it here; put that "
            'under if __name__ == "__main__":, or make the pool with main="value"'
        )
        kinds = [("onecopy.errors", "SlowImportWarning"), ("builtins", "UserWarning")]
        said = marshal.dumps((text, kinds, self._fleet.main_path, slow.line, "__main__"))
        self._hearing.put(0, [(0, output_dispatch.WARNING, said)])

    def _unsendable(self, channel: Channel, assignment: Assignment, error: BaseException) -> None:
        """An assignment never left: its payload cannot be pickled, or there is no room."""
        without_ours(error)
        with self._lock:
            found = self._pop(assignment.id)
            again = self._halved(found) if found is not None else []
            finished = events.Finished(channel.worker, assignment.id, None)
            settled = [events.Settled(assignment.id)] if again else []
            dirty, later = self._take([*again, finished, *settled])
        flush(dirty, later)
        if found is not None and not again:
            self._note(found, FAILED, NOTHING, 0)
            self._failed(assignment, found.work, error)

    def _mistrust(self, channel: Channel, error: BaseException) -> None:
        """Nothing more that this worker says counts."""
        channel.broken = channel.broken or str(error)
        self._end_process(channel)

    def _distrust(self, worker: int, error: Exception) -> None:
        """What a worker said made no sense. In the hearing's thread: only leaves word."""
        self._distrusted.append((worker, error))
        self._nudge()

    def _unmute(self) -> None:
        """Reads on from workers whose words have been heard; ends those that made no sense."""
        while self._distrusted:
            worker, error = self._distrusted.popleft()
            if worker in self._fleet.channels:
                self._mistrust(self._fleet.channels[worker], error)
        for channel in list(self._fleet.by_fd.values()):
            if not channel.muted or self._hearing.is_full(channel.worker):
                continue
            if channel.receiving.acquire(blocking=False):
                channel.muted = False
                self._watch(channel)
                channel.receiving.release()
            # Else whoever holds it is about to watch it himself.
