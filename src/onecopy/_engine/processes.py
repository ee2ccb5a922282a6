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
import os
import signal
import threading
import weakref
from collections import deque
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic, monotonic_ns, thread_time
from typing import Any

from .. import errors
from .._codec.pickling import PEER
from .._memory.arena import Arena
from .._memory.registry import registry
from .._observe.columns import OWNER
from .._observe.series import Watch
from .._progress import bar
from .._protocol import inheriting, wire
from .._protocol.log_settings import settings
from .._schedule import events
from .._system.poller import poller
from . import workers
from .again import no_thread
from .channel import Channel
from .engine import FOREIGN, LIVES
from .freezer import Freezes
from .functions import Function
from .known_functions import KnownFunctions
from .options import Options
from .receiver import Listening
from .worker_handle import flush
from .workers import Death, Fleet, import_broken_errors

# How often arenas are looked after while there is something to look after, in seconds.
_TICK = 0.5
# A pool whose workers end this often in a row before they are ready is of no use. Ends by a
# signal that somebody sends (an operator, the kernel short of memory) are no fault of the
# initializer's, and take many workers at once: they count by this many for each worker.
_FALSE_STARTS = 3
_SENT = frozenset({-signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT, -signal.SIGHUP})

_engines: weakref.WeakSet[ProcessEngine] = weakref.WeakSet()


class ProcessEngine(Listening):
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
        self._driver = threading.Thread(target=self._drive, name="onecopy-driver", daemon=True)
        # Before anything is forked: see ``sharing.freeze``. Whoever freezes now waits for the
        # driver, which looks for such wishes before it first sleeps.
        registry.listeners.add(self)
        try:
            self._fleet = Fleet(options, self._arena)
        except BaseException:
            self._unmade()
            raise
        self.namespace = PEER
        self._known = KnownFunctions(PEER, self._fleet.follower, self._forget)
        self._starts = options.workers
        self._stopping = False
        self._known_all = threading.Event()  # the pids of the workers that were to be made first
        self._doom: errors.InitializerFailed | None = None  # as soon as the last worker is gone
        self._released = False
        self._listening = False  # to the launcher
        self._past = [0, 0, 0, 0]  # traffic of workers that have gone
        self._lives: deque[tuple[int, int, int, int, int, int]] = deque(maxlen=LIVES)
        self._owner_cpu = 0.0
        self._initializer: Function | None = None
        try:
            if options.initializer is not None:
                forks = options.method == "fork"  # then it is inherited
                what = (None, ()) if forks else (options.initializer, options.initargs)
                draft = inheriting.encode_initial(what, self.namespace)
                draft.anchor()
                self._initializer = Function(0, options.initializer, draft)
                reads = [options.initializer] if forks else draft.references
                self._initializer.versions = self._fleet.follower.versions(reads)
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
        self._poller.add(self._fleet.desk.fileno())
        _engines.add(self)
        try:
            self.watch = Watch(self._processes, lambda: self._tasks_ended)
            self._driver.start()
        except RuntimeError as error:
            # Without its threads it is nothing: everything that was made goes again.
            self._finish()
            raise no_thread(error) from error

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
        if self._driver.ident is None:
            return True  # it is being made, or could not be: there is nothing to wait for
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
        """Waits until the pids of the first workers are known: what is asked for right after
        the pool was made can be compared with what is asked for later."""
        if not self._foreign:
            self._known_all.wait()
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
        return workers.launching

    def _wake(self) -> None:
        """Any thread, any moment: inside a finalizer too."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):  # full: it will wake; closed: it has ended
                os.write(self._wake_write, b"\0")

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
                if not self._starts and all(c.pid for c in self._fleet.channels.values()):
                    self._known_all.set()
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
        if fd == self._fleet.desk.fileno():
            self._fleet.desk.serve(self._importing())
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

    def _on_news(self) -> None:
        if not self._fleet.channels:
            return
        deaths, frozen, broken = self._fleet.news()
        slow, self._fleet.slow_import = self._fleet.slow_import, None
        if slow is not None:
            self._warn_of_import(slow)
        for segment in frozen:
            self._freezes.answered(segment, 0)
        if broken:
            self._poller.remove(self._fleet.launcher.fileno())
            self._listening = False
        for death in deaths:
            self._bury(death)
        if broken and not self._members:
            gone = errors.BrokenWorker("the process that forks the workers ended")
            self._failed_start(gone, killed=True)
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
            self._failed_start(death.error("its start-up"), killed=death.exitcode in _SENT)

    def _failed_start(self, last: BaseException, *, killed: bool) -> None:
        """Count a worker, or a zygote with all of its workers, that ended during start-up."""
        if self._stopping:
            return
        # In parts of what ends the pool: both kinds add up.
        self._false_starts += 1 / (_FALSE_STARTS * (self.options.workers if killed else 1))
        if self._false_starts > 1 - 1e-9:
            why = "no worker became ready: one after the other ended before"
            self._fail(errors.InitializerFailed(f"{why}; the last one: {last}"), last)

    def _look_after(self) -> float | None:
        """Forgets, freezes, frees and trims what is due; how long the driver may sleep."""
        for segment in self._freezes.take():
            self._freeze(segment)
        self._fleet.give_replaced()
        while self._gone:
            segment = self._gone.popleft()
            for channel in list(self._fleet.channels.values()):
                if not channel.ended and channel.link.fade(segment):
                    channel.post(wire.pack(wire.FORGET, id=segment))
                    channel.flush()
        self._unmute()
        waits = [self._keep_limits(), self._end_given_up(), self._take_back()]
        waits.append(self._tell_early())
        borrowed = 0
        for channel in list(self._fleet.channels.values()):
            borrowed += channel.link.borrowed
            channel.flush()
        self._arena.trim_if_idle(monotonic())
        waits.append(_TICK if borrowed or self._arena.warm_bytes else None)
        return min((wait for wait in waits if wait is not None), default=None)

    def _finish(self) -> None:
        self._known_all.set()
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
        self._known.clear()
        self._freezes.end()
        self._over()

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
    bar.after_fork()
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
