"""The driver: the thread that starts workers, reads what they send and does the housekeeping.

It is the only thread of the engine that sleeps: until a socket is ready, another thread wakes it,
or something is due. The work itself is in its parts; this module puts it in order.

Locks: it takes the table's (``core``) for table work only, and never waits for a worker's
``receiving``. So it waits only for the kernel, and a caller may wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, monotonic_ns, thread_time

from .. import errors
from .._memory.segment import registry
from .._system.interrupts import Event, Uninterrupted
from .functions import Function
from .held_back import HeldBack
from .parts import Parts
from .startup import SENT
from .worker_exit import WorkerExit
from .workers import import_broken_errors, importing

# Seconds between checks of the arenas, while there is something to check.
_TICK = 0.5


class Driver:
    """See the module.

    Args:
        parts: of the engine.
        initializer: run in each worker before its first task, or None.
        unheld: called when the pool has been garbage-collected.
        finished: called when the thread ends.

    Attributes:
        pids_known: set when the first workers have pids.
        cpu: CPU seconds that the thread has used.
    """

    def __init__(
        self,
        parts: Parts,
        initializer: Function | None,
        unheld: Callable[[], None],
        finished: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._initializer = initializer
        self._unheld = unheld
        self._finished = finished
        self._thread = threading.Thread(target=self._run, name="onecopy-driver", daemon=True)
        self._held = HeldBack(parts.core)
        self._listening = False  # to the launcher
        self._stopping = False
        self._released = False
        # The failure that the pool ends with once its last worker is gone.
        self._pending_failure: errors.InitializerFailed | None = None
        self.pids_known = Event()
        self.cpu = 0.0

    # Any thread.

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if there can be no more threads."""
        self._thread.start()

    def stop_workers(self) -> None:
        """End all workers now; no more are started."""
        self._stopping = True
        self._parts.wakeup()

    def release(self) -> None:
        """Set a flag: the pool was garbage-collected. Safe in finalizers."""
        with Uninterrupted(later=True):
            self._released = True
            self._parts.wakeup()

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread's end; return False if the time (seconds) ran out first."""
        if self._thread.ident is None:
            return True  # it is being started, or could not be: there is nothing to wait for
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def thread(self) -> int | None:
        """The thread's identifier; None before it runs."""
        return self._thread.ident

    # The thread itself.

    def _run(self) -> None:
        parts = self._parts
        try:
            if not self._at_end():
                self._start_workers()
            # Import them now, while workers start, and not when the first worker ends: by then
            # memory may be short, or the program's path may have changed.
            import_broken_errors()
            while not self._at_end():
                self._start_workers()
                if not (self.pids_known.is_set() or parts.startup.wanted):
                    self._look_for_pids()
                self.cpu = thread_time()
                for fd, readable, writable in parts.poller.wait(self._housekeeping()):
                    self._on_ready(fd, readable, writable)
        except BaseException as error:  # a bug: no caller may wait for ever because of it
            failure = errors.BrokenWorker(f"the pool's driver failed: {error!r}")
            parts.lifetime.fail(failure, error)
            self._end_all()
            raise
        finally:
            self.finish()

    def _end_all(self) -> None:
        """Kill the workers, and close their sockets except those that callers read."""
        workers = self._parts.workers
        for worker in list(workers.by_number.values()):
            workers.kill(worker)
            if worker.receiving.acquire(blocking=False):  # for good: none of its reads comes later
                worker.channel.close()

    def _at_end(self) -> bool:
        """Act on the flags that other threads have set; return True if nothing is left to do."""
        parts = self._parts
        if self._released:
            self._released = False
            self._unheld()
        parts.receiver.deliver_handed()
        parts.submission.drop_unwanted()
        if self._pending_failure is not None and not parts.workers.by_number:
            # By now, everything that its workers had finished has been read.
            failure, self._pending_failure = self._pending_failure, None
            parts.lifetime.fail(failure, None)
        if self._pending_failure is not None:
            parts.startup.want_none()
        if self._stopping:
            parts.startup.want_none()
            for worker in list(parts.workers.by_fd.values()):
                parts.workers.kill(worker)
        return parts.core.closed and not parts.startup.wanted and not parts.workers.by_number

    def _look_for_pids(self) -> None:
        if self._parts.workers.all_pids_known():
            self.pids_known.set()

    def _start_workers(self) -> None:
        parts = self._parts
        if not parts.startup.wanted:
            return
        while parts.startup.wanted:
            try:
                worker = parts.workers.launch(parts.receiver.unsendable, parts.receiver.want_write)
            except (OSError, errors.NotEnoughMemory) as error:
                parts.startup.want_none()
                failure = errors.InitializerFailed(f"no worker can be started: {error}")
                parts.lifetime.fail(failure, error)
                return
            parts.startup.made()
            if self._initializer is not None:
                worker.post(self._initializer)
                worker.flush()
            parts.receiver.watch(worker)
            launcher = parts.workers.source.launcher.fileno()
            if not self._listening and launcher >= 0:
                parts.poller.add(launcher)
                self._listening = True
        self._on_events()

    def _on_ready(self, fd: int, readable: bool, writable: bool) -> None:
        parts = self._parts
        desk = parts.workers.source.desk
        if fd == parts.wakeup.fileno():
            if parts.wakeup.clear():
                parts.shown.show()
        elif fd == desk.fileno():
            desk.serve(importing())
        elif (worker := parts.workers.by_fd.get(fd)) is None:
            self._on_events()
        else:
            if writable:
                worker.flush()
            if readable and not parts.receiver.read(worker):
                self._on_events()

    def _on_events(self) -> None:
        """Read the launcher's events, and act on them."""
        parts = self._parts
        workers = parts.workers
        if not workers.by_number:
            return
        exits, frozen, broken = workers.poll_events()
        slow, workers.slow_import = workers.slow_import, None
        if slow is not None:
            parts.receiver.warn_of_import(slow)
        for segment in frozen:
            parts.freezes.answered(segment, 0)
        if broken:
            parts.poller.remove(workers.source.launcher.fileno())
            self._listening = False
        for exit in exits:
            self._on_exit(exit)
        if broken and not parts.core.workers:
            gone = errors.BrokenWorker("the process that forks the workers ended")
            self._ended_early(gone, killed=True)
        if broken and not workers.renew():
            why = (
                "the process that forks the workers has ended, and with it the state of the "
                "caller that they were to have; make the pool again"
            )
            self._pending_failure = errors.InitializerFailed(why)

    def _on_exit(self, exit: WorkerExit) -> None:
        parts, worker = self._parts, exit.worker
        parts.receiver.unwatch(worker)
        parts.history.gone.append(worker.row(monotonic_ns()))
        parts.history.add_traffic(worker.channel.traffic())
        begun = parts.receiver.take_rest(worker, exit.claimed)
        effects = parts.core.worker_gone(
            worker.number, exit.claimed, begun, broken=bool(worker.broken), error=exit.error
        )
        worker.channel.close()
        effects.carry_out()
        parts.freezes.gone(worker.number)
        if not worker.since and not worker.orphan:
            self._ended_early(exit.error("its start-up"), killed=exit.exitcode in SENT)

    def _ended_early(self, last: BaseException, *, killed: bool) -> None:
        if self._stopping:
            return
        parts = self._parts
        failure = parts.startup.ended_early(last, killed=killed, ready=parts.receiver.ready)
        if failure is not None:
            parts.lifetime.fail(failure, last)

    def _housekeeping(self) -> float | None:
        """Carry out what is due for segments, limits, early results and arenas; return how many
        seconds the thread may sleep."""
        parts = self._parts
        parts.segments.tell_workers(parts.workers)
        parts.workers.source.hand_over_replaced()
        parts.receiver.resume_reading()
        preemption = parts.preemption
        waits = [preemption.keep_limits(), preemption.end_aborted()]
        waits += [self._held.give_out(), preemption.take_back()]
        waits.append(parts.receiver.tell_early())
        borrowed = parts.receiver.return_blocks()
        parts.arena.trim_if_idle(monotonic())
        waits.append(_TICK if borrowed or parts.arena.warm_bytes else None)
        return min((wait for wait in waits if wait is not None), default=None)

    def finish(self) -> None:
        """Release everything: all workers are gone, or there were none."""
        parts = self._parts
        self.pids_known.set()
        registry.listeners.discard(parts.segments)
        if parts.history.watch is not None:
            parts.history.watch.stop()
        parts.workers.close()
        parts.receiver.deliver_handed()
        parts.output.close()
        parts.poller.close()
        parts.shown.close()
        parts.wakeup.close()
        parts.arena.close()
        self._initializer = None
        parts.known.clear()
        parts.core.inbox.forget()
        parts.freezes.end()
        parts.history.over()
        self._finished()
