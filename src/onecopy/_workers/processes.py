"""The engine on worker processes.

One driver thread waits on every worker's socket, reads results and delivers them, and does
all that has to do with the workers' lives. The threads that submit send by themselves; one
that waits for a single result (``apply``) takes the worker's socket out of the driver's
hands and reads it itself, which saves two of the four context switches of a round trip.

Locks beyond the engine's: a channel's ``_sending`` is only ever tried; its ``receiving`` is
tried by the driver and waited for only by ``apply``, which holds nothing else then and
whose worker the driver can end without it. Finalizers (a shared array dies in any thread)
append to a deque and write to a pipe. So nobody waits in a circle.
"""

from __future__ import annotations

import atexit
import contextlib
import marshal
import os
import pickle
import signal
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic, monotonic_ns, thread_time
from typing import Any

from .. import errors
from .._memory.arena import Arena
from .._memory.codec import decode
from .._memory.registry import registry
from .._observe import hearing, progress
from .._observe.columns import DONE, FAILED, OWNER
from .._observe.hearing import Hearing
from .._observe.series import Watch
from .._observe.settings import settings
from .._schedule import events
from .._schedule.events import Assignment
from .._system.poller import poller
from . import fleet, inheriting, wire
from .channel import Channel
from .engine import FOREIGN, LIVES, NOTHING
from .fleet import Death, Fleet, import_broken_errors
from .freezing import Freezes
from .functions import Function
from .member import Member, flush
from .options import Options
from .outcome import fits_failures, fits_values, revive
from .revoking import Revoking
from .work import SLICE, Call, Direct, Entry

# How often arenas are looked after while there is something to look after, in seconds.
_TICK = 0.5
# A pool whose workers end this often in a row before they are ready is of no use.
_FALSE_STARTS = 3

_SAYS = {
    (wire.RECORD, 0): hearing.RECORD,
    (wire.WARNING, 0): hearing.WARNING,
    (wire.TEXT, 1): hearing.STDOUT,
    (wire.TEXT, 2): hearing.STDERR,
}

_engines: weakref.WeakSet[ProcessEngine] = weakref.WeakSet()


class ProcessEngine(Revoking):
    """See the module.

    Raises:
        NotPicklable: the initializer or its arguments cannot travel.
        OSError: no descriptor or no process is to be had.
    """

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._arena = Arena()
        self._gone: deque[int] = deque()
        self._woken = True  # there is no pipe yet
        self._freezes = Freezes(self._wake)
        self._readers: set[int] = set()  # threads that read a socket in ``_await``
        self._driver = threading.Thread(target=self._drive, name="onecopy-driver", daemon=True)
        # Before anything is forked: see ``sharing.freeze``. Whoever freezes now waits for the
        # driver, which looks for such wishes before it first sleeps.
        registry.listeners.add(self)
        try:
            self._fleet = Fleet(options, self._arena)
        except BaseException:
            self._unmade()
            raise
        self.namespace = self._fleet.namespace
        self._starts = options.workers
        self._false_starts = 0
        self._stopping = False
        self._doom: errors.InitializerFailed | None = None  # as soon as the last worker is gone
        self._released = False
        self._listening = False  # to the launcher
        self._past = [0, 0, 0, 0]  # traffic of workers that have gone
        self._lives: deque[tuple[int, int, int, int, int, int]] = deque(maxlen=LIVES)
        self._owner_cpu = 0.0
        self._distrusted: deque[tuple[int, Exception]] = deque()
        self._hearing = Hearing(self._wake, self._distrust, prefixed=options.prints == "prefixed")
        self._initializer: Function | None = None
        try:
            if options.initializer is not None:
                forks = options.method == "fork"  # then it is inherited
                what = (None, ()) if forks else (options.initializer, options.initargs)
                draft = inheriting.encode_initial(what, self.namespace)
                draft.anchor()
                self._initializer = Function(0, options.initializer, draft)
        except BaseException:
            self._fleet.close()
            self._unmade()
            raise
        self._poller = poller()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._woken = False
        self._poller.add(self._wake_read)
        _engines.add(self)
        self.watch = Watch(self._processes, lambda: self._tasks_ended)
        self._driver.start()

    def _unmade(self) -> None:
        """It could not be made: nobody waits for it."""
        registry.listeners.discard(self)
        self._freezes.end()

    # The engine's face.

    def _start_worker(self) -> None:
        with self._lock:
            self._starts += 1
        self._wake()

    def _stop_workers(self) -> None:
        self._stopping = True
        self._wake()

    def join(self, timeout: float | None = None) -> bool:
        self._driver.join(timeout)
        return not self._driver.is_alive()

    def close(self) -> None:
        super().close()
        self._wake()

    def release(self) -> None:
        self._released = True
        self._wake()

    def _nudge(self) -> None:
        self._wake()

    def pids(self) -> list[int]:
        return [c.pid for c in list(self._fleet.channels.values()) if c.pid]

    def traffic(self) -> tuple[int, int, int, int]:
        sent, received, copied, shared = self._past
        for channel in list(self._fleet.channels.values()):
            sent += channel.bytes_sent
            received += channel.reader.bytes_read
            copied += channel.link.bytes_copied
            shared += channel.link.bytes_shared
        return sent, received, copied, shared

    def _processes(self) -> dict[int, int]:
        return {os.getpid(): OWNER, **self._fleet.pids()}

    def lives(self) -> list[tuple[int, int, int, int, int, int]]:
        there = [_life(channel, 0) for channel in list(self._fleet.channels.values())]
        return [*self._lives, *there]

    def owner_cpu(self) -> float:
        return self._owner_cpu

    def _importing(self) -> AbstractContextManager[Any]:
        return fleet.launching

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

    def _wake(self) -> None:
        """Any thread, any moment: inside a finalizer too."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # full: it will wake; closed: it has ended
                os.write(self._wake_write, b"\0")

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
                later.append(self._wake)
        flush(dirty, later)
        try:
            said: list[hearing.Said] = []
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
        try:
            value = decode(bool(frame.flags & wire.RICH), body, channel.link)
            size = None if isinstance(work, Call) else assignment.stop - assignment.start
            fits = fits_failures(value, size or 1) if bad else fits_values(value, size)
            if bad and fits:
                value = value[0], {at: revive(how) for at, how in value[1].items()}
        except BaseException as error:
            error.add_note(f"raised while the result of {work.describe(assignment)} was unpickled")
            self._conclude(channel, entry, spent, FAILED, self._failed, error)
            return
        if not fits:
            nonsense = self._nonsense(channel, entry)
            self._conclude(channel, entry, spent, FAILED, self._failed, nonsense)
            raise wire.BrokenFrame("a result that is none of what was asked for")
        if bad:
            self._conclude(channel, entry, spent, FAILED, self._partly, *value)
        else:
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
        # First: who has the result finds the task among the spans.
        self._note(entry, state, spent, channel.pid)
        settle(entry.assignment, entry.work, *outcome)

    def _made_known(
        self,
        pid: int,
        entry: Entry,
        spent: bytes,
        state: int,
        settle: Callable[..., None],
        *outcome: Any,
    ) -> None:
        self._note(entry, state, spent, pid)
        settle(entry.assignment, entry.work, *outcome)

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
        elif channel.ready and frame.type in (wire.READY, wire.FAILED):
            raise wire.BrokenFrame(f"type {frame.type} of a worker that was ready")
        elif frame.type == wire.READY:
            (channel.since,) = wire.SINCE.unpack(frame.body)
            channel.last = channel.since
            channel.pid = frame.id
            channel.ready = True
            self._false_starts = 0
            self._join_in(channel)
        elif frame.type == wire.FAILED:
            error = revive(pickle.loads(frame.body))
            self._fail(errors.InitializerFailed(f"the initializer failed: {error!r}"), error)
        else:
            raise wire.BrokenFrame(f"type {frame.type}")

    def _unsendable(self, channel: Channel, assignment: Assignment, error: BaseException) -> None:
        """An assignment never left: its payload cannot be pickled, or there is no room."""
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

    # The driver thread.

    def _drive(self) -> None:
        try:
            # Now, while workers start, and not when the first of them dies: by then memory
            # may be short, or the program's path another.
            import_broken_errors()
            while True:
                if self._released:
                    self._released = False
                    self.let_go()
                self._drop_orphans()
                if self._doom is not None and not self._fleet.channels:
                    # What its workers had finished has been read by now.
                    doom, self._doom = self._doom, None
                    self._fail(doom, None)
                if self._doom is not None:
                    self._starts = 0
                if self._stopping:
                    self._starts = 0
                    for channel in list(self._fleet.by_fd.values()):
                        self._end_process(channel)
                if self._closed and not self._starts and not self._fleet.channels:
                    return
                self._start_workers()
                self._owner_cpu = thread_time()
                for fd, readable, writable in self._poller.wait(self._look_after()):
                    self._on_ready(fd, readable, writable)
        except BaseException as error:  # a bug: nobody may wait for ever because of it
            self._fail(errors.BrokenWorker(f"the pool's driver failed: {error!r}"), error)
            raise
        finally:
            self._finish()

    def _start_workers(self) -> None:
        if not self._starts:
            return
        while self._starts:
            try:
                channel = self._fleet.launch(self._unsendable, self._want_write)
            except (OSError, errors.NotEnoughMemory) as error:
                self._starts = 0
                self._fail(errors.InitializerFailed(f"no worker can be started: {error}"), error)
                return
            with self._lock:
                self._starts -= 1
            if self._initializer is not None:
                channel.post(self._initializer)
                channel.flush()
            self._watch(channel)
            if not self._listening and self._fleet.launcher.fileno() >= 0:
                self._poller.add(self._fleet.launcher.fileno())
                self._listening = True
        self._on_news()

    def _on_ready(self, fd: int, readable: bool, writable: bool) -> None:
        if fd == self._wake_read:
            # In this order: one who wakes us between the two finds the flag set, writes
            # nothing, and what he wants is looked at after this. The other way round, his
            # byte would be read here and the flag stay set for ever.
            os.read(fd, 64)
            self._woken = False
            return
        channel = self._fleet.by_fd.get(fd)
        if channel is None:
            self._on_news()
            return
        if writable:
            channel.flush()
        if readable and channel.receiving.acquire(blocking=False):
            try:
                if channel.ended:
                    return
                if self._hearing.is_full(channel.worker):
                    # ``_look_after`` comes next, and sees it if there is room again.
                    self._unwatch(channel)
                    channel.muted = True
                else:
                    self._on_readable(channel)
            finally:
                channel.receiving.release()

    def _on_readable(self, channel: Channel) -> None:
        try:
            self._on_frames(channel, channel.reader.read(wire.NOW))
        except BlockingIOError:
            pass  # ``apply`` has read it meanwhile
        except (EOFError, wire.BrokenFrame, OSError) as error:
            # Its end; or what it wrote makes no sense, or has used up our descriptors: it
            # is ended, and its task fails. What is posted to it from now on is not sent,
            # and goes back to the queue when it is buried.
            if not isinstance(error, EOFError):
                self._mistrust(channel, error)
            self._unwatch(channel)
            self._fleet.ended(channel)
            self._on_news()

    def _mistrust(self, channel: Channel, error: BaseException) -> None:
        """Nothing more that this worker says counts."""
        channel.broken = channel.broken or str(error)
        self._end_process(channel)

    def _distrust(self, worker: int, error: Exception) -> None:
        """What a worker said made no sense. In the hearing's thread: only leaves word."""
        self._distrusted.append((worker, error))
        self._wake()

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

    def _on_news(self) -> None:
        if not self._fleet.channels:
            return
        deaths, frozen, broken = self._fleet.news()
        for segment in frozen:
            self._freezes.answered(segment, 0)
        if broken:
            self._poller.remove(self._fleet.launcher.fileno())
            self._listening = False
        for death in deaths:
            self._bury(death)
        if broken and not self._members:
            self._failed_start(errors.BrokenWorker("the process that forks the workers ended"))
        if broken and not self._fleet.renew():
            why = (
                "the process that forks the workers has ended, and with it the state of the "
                "caller that they were to have; make the pool again"
            )
            self._doom = errors.InitializerFailed(why)

    def _bury(self, death: Death) -> None:
        channel = death.channel
        self._unwatch(channel)
        traffic = (
            channel.bytes_sent,
            channel.reader.bytes_read,
            channel.link.bytes_copied,
            channel.link.bytes_shared,
        )
        self._lives.append(_life(channel, monotonic_ns()))
        self._past = [past + now for past, now in zip(self._past, traffic, strict=True)]
        with self._lock:
            self._members.pop(channel.worker, None)
            gone = events.WorkerGone(channel.worker, death.claimed, bool(channel.broken))
            dirty, later = self._take([gone], death.error)
            # What it held beyond the lost one went back to the queue, under other ids,
            # unless it was of a job that has been dropped.
            for number, entry in list(self._assigned.items()):
                if entry.worker == channel.worker:
                    assignment = entry.assignment
                    del self._assigned[number]
                    self._unlimit(number)
                    if assignment.work not in self._work:
                        error = death.error(entry.work.describe(assignment))
                        later.append(partial(self._lose, entry, error))
        death.close()
        flush(dirty, later)
        self._freezes.gone(channel.worker)
        if not channel.ready and not channel.orphan:
            self._failed_start(death.error("its start-up"))

    def _failed_start(self, last: BaseException) -> None:
        """Workers ended before they were ready: one, or all that a zygote took with it."""
        if self._stopping:
            return
        self._false_starts += 1
        if self._false_starts >= _FALSE_STARTS:
            why = f"{_FALSE_STARTS} workers in a row ended before they were ready"
            self._fail(errors.InitializerFailed(f"{why}; the last one: {last}"), last)

    def _look_after(self) -> float | None:
        """Forgets, freezes, frees and trims what is due; how long the driver may sleep."""
        for segment in self._freezes.take():
            self._freeze(segment)
        while self._gone:
            segment = self._gone.popleft()
            for channel in list(self._fleet.channels.values()):
                if not channel.ended and channel.link.fade(segment):
                    channel.post(wire.pack(wire.FORGET, id=segment))
                    channel.flush()
        self._unmute()
        waits = [self._keep_limits(), self._end_given_up(), self._take_back()]
        borrowed = 0
        for channel in list(self._fleet.channels.values()):
            borrowed += channel.link.borrowed
            channel.flush()
        self._arena.trim_if_idle(monotonic())
        waits.append(_TICK if borrowed or self._arena.warm_bytes else None)
        return min((wait for wait in waits if wait is not None), default=None)

    def _finish(self) -> None:
        registry.listeners.discard(self)
        _engines.discard(self)
        if self.watch is not None:
            self.watch.stop()
        self._fleet.close()
        self._hearing.close()
        self._poller.close()
        self._woken = True  # nobody writes to the pipe from here on
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._arena.close()
        self._initializer = None
        self._functions.clear()
        self._freezes.end()

    # Shared memory; see ``registry.Listener``.

    def segment_gone(self, segment_id: int) -> None:
        """Inside a finalizer: only leaves word."""
        self._gone.append(segment_id)
        self._wake()

    def segment_frozen(self, segment_id: int) -> None:
        """Has every worker that may know the segment swap its mapping; waits for all."""
        me = threading.get_ident()
        if me == self._driver.ident or me in self._readers:
            raise RuntimeError("freeze waits for the workers: not from a future's callback")
        self._freezes.ask(segment_id)

    def _freeze(self, segment_id: int) -> None:
        """In the driver thread, which makes the workers; see ``freezing``."""
        inherited = self._fleet.freeze(segment_id)
        told = [
            channel
            for channel in self._fleet.by_fd.values()
            if inherited or channel.link.knows(segment_id)
        ]
        awaited = {channel.worker for channel in told} | ({0} if inherited else set())
        self._freezes.await_answers(segment_id, awaited)
        for channel in told:
            channel.post(wire.pack(wire.FREEZE, id=segment_id))
            channel.flush()

    def after_fork(self) -> None:
        """In a forked child: the pool is the parent's, and its sockets are not held here."""
        self._lock = threading.Lock()
        self._foreign = True
        for work in list(self._work.values()):
            work.forked(errors.PoolClosed(FOREIGN))
        self._woken = True
        self._fleet.after_fork()
        self._poller.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


def _life(channel: Channel, gone: int) -> tuple[int, int, int, int, int, int]:
    """A worker as ``columns.WORKER``."""
    return channel.worker, channel.pid, channel.born, channel.since, gone, channel.last


def _after_fork() -> None:
    settings.after_fork()
    progress.after_fork()
    for engine in list(_engines):
        engine.after_fork()
    _engines.clear()


def _at_exit() -> None:
    """Pools that are still there when the program ends: their workers end first, so that
    nothing runs or prints after it."""
    for engine in list(_engines):
        engine.terminate()
        engine.join(10)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
