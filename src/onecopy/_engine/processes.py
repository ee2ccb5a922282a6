"""The engine on worker processes: creates the parts, and connects them.

The threads that submit also send; one driver thread does the rest. One exception: a caller that
waits for a single result reads it from the worker's socket itself. ARCHITECTURE.md has a drawing of
a task's way, and the table of locks.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from .. import errors
from .._codec.pickling import PEER
from .._memory.arena import Arena
from .._memory.segment import registry
from .._observe.columns import OWNER
from .._observe.present import PoolNow
from .._observe.series import Watch
from .._protocol import inheriting
from .._protocol.log_settings import settings
from .._schedule.scheduler import Scheduler
from .._system import forking
from .._system.interrupts import Uninterrupted
from .._system.poller import Poller, poller
from .core import Core
from .driver import Driver
from .effects import ReadyWorker
from .engine import unheld
from .freezer import Freezes
from .functions import Function
from .history import History, WorkerRow
from .known_functions import KnownFunctions
from .lifetime import Lifetime, no_thread
from .limits import Limits
from .options import Options
from .outcomes import Outcomes
from .output_dispatch import OutputDispatcher
from .parts import Parts
from .preemption import Preemption
from .receiver import Receiver
from .segment_listener import SegmentListener
from .shown import Shown, present
from .startup import Startup
from .submission import Submission
from .wakeup import Wakeup
from .work import Entry
from .workers import Workers, importing

# Strong references: an engine whose pool is gone lives until its driver has ended.
_engines: set[ProcessEngine] = set()


class ProcessEngine:
    """See the module; an ``Engine``.

    Raises:
        NotPicklable: the initializer or its arguments cannot be pickled.
        OSError: there are no more descriptors or processes.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        wakeup = Wakeup()
        freezes = Freezes(wakeup)
        segments = SegmentListener(freezes, wakeup)
        # Before anything is forked: see ``sharing.freeze``. A thread that freezes now waits for
        # the driver, which checks for such requests before it first sleeps.
        registry.listeners.add(segments)
        with ExitStack() as unmade:  # it could not be made: no thread waits for it
            unmade.callback(freezes.end)
            unmade.callback(registry.listeners.discard, segments)
            wakeup.open()
            unmade.callback(wakeup.close)
            polled = poller()
            unmade.callback(polled.close)
            arena = Arena()
            workers = Workers(options, arena)
            unmade.callback(workers.close)
            # After the zygote is forked, which would inherit it.
            shown = Shown(wakeup.end, self._present)
            unmade.callback(shown.close)
            initializer = self._initializer(workers)
            unmade.pop_all()
        self.history = History(options.spans, importing)
        self._parts = self._made(workers, freezes, segments, arena, wakeup, polled, shown)
        self.core, self.submission = self._parts.core, self._parts.submission
        segments.may_wait = self._may_wait_for_workers
        self._driver = Driver(self._parts, initializer, partial(unheld, self), self._finished)
        polled.add(wakeup.fileno())
        polled.add(workers.source.desk.fileno())
        _engines.add(self)
        try:
            self.history.watch = Watch(
                self._processes, lambda: self.core.tasks_ended, self.core.occupied
            )
            self._driver.start()
        except RuntimeError as error:
            # Without its threads the engine is useless: release everything.
            self._driver.finish()
            raise no_thread(error) from error

    def _made(
        self,
        workers: Workers,
        freezes: Freezes,
        segments: SegmentListener,
        arena: Arena,
        wakeup: Wakeup,
        polled: Poller,
        shown: Shown,
    ) -> Parts:
        """Create the other parts, and connect them with these."""
        options, history, limits = self.options, self.history, Limits()
        core = Core(
            Scheduler(options.workers, options.max_tasks, holds=True),
            on_lost=self._on_lost,
            start_worker=self._start_worker,
            wake=wakeup,
            limits=limits,
            runs=True,
        )
        output = OutputDispatcher(
            wakeup, self._distrust, history.diary, prefixed=options.prints == "prefixed"
        )
        known = KnownFunctions(PEER, workers.source.follower, self._forget)
        submission = Submission(core, history, known, PEER, wakeup, self._wait_for)
        lifetime = Lifetime(core, submission, history, self._stop_workers)
        outcomes = Outcomes(core, history, output)
        receiver = Receiver(core, outcomes, lifetime, workers, freezes, output, polled)
        return Parts(
            core=core,
            history=history,
            known=known,
            submission=submission,
            outcomes=outcomes,
            lifetime=lifetime,
            workers=workers,
            startup=Startup(options.workers),
            receiver=receiver,
            preemption=Preemption(core, workers, limits),
            output=output,
            freezes=freezes,
            segments=segments,
            arena=arena,
            wakeup=wakeup,
            poller=polled,
            shown=shown,
        )

    def _initializer(self, workers: Workers) -> Function | None:
        """Return the initializer as it is sent to each worker. Raises NotPicklable."""
        options = self.options
        if options.initializer is None:
            return None
        what = (None, ()) if options.inherits else (options.initializer, options.initargs)
        encoded = inheriting.encode_initial(what, PEER)
        encoded.anchor()
        function = Function(0, options.initializer, encoded)
        reads = [options.initializer] if options.inherits else encoded.references
        function.versions = workers.source.follower.versions(reads)
        return function

    # The methods of ``Engine``, for doors and reports.

    def close(self) -> None:
        self._parts.lifetime.close()
        self._parts.wakeup()

    def terminate(self) -> None:
        self._parts.lifetime.terminate()

    def kill(self, how: signal.Signals) -> None:
        if self.core.foreign:
            return
        self._parts.workers.kill_signal = how
        ended = errors.BrokenWorker("the pool's workers were ended by its owner")
        self._parts.lifetime.fail(ended, None)

    def join(self, timeout: float | None = None) -> bool:
        return self._driver.join(timeout)

    def release(self) -> None:
        self._driver.release()

    def pids(self) -> list[int]:
        """Wait until the pids of the first workers are known, so that pids read right after the
        pool was made can be compared with pids read later."""
        if not self.core.foreign:
            self._driver.pids_known.wait()
        workers = list(self._parts.workers.by_number.values())
        return [worker.pid for worker in workers if worker.pid]

    def traffic(self) -> tuple[int, int, int, int]:
        workers = list(self._parts.workers.by_number.values())
        return self.history.traffic([worker.channel.traffic() for worker in workers])

    def worker_history(self) -> list[WorkerRow]:
        workers = list(self._parts.workers.by_number.values())
        return [*self.history.gone, *(worker.row(0) for worker in workers)]

    def owner_cpu(self) -> float:
        return self._driver.cpu

    def after_fork(self) -> None:
        """Mark this copy, in a forked child: the pool is the parent's. Close its sockets."""
        self.core.after_fork()
        self._parts.workers.after_fork()
        self._parts.poller.close()
        self._parts.shown.close()
        self._parts.wakeup.close()

    # Called by the parts.

    def _on_lost(self, entry: Entry, error: BaseException) -> None:
        self._parts.outcomes.lose(entry, error)

    def _start_worker(self) -> None:
        self._parts.startup.want_another()
        self._parts.wakeup()

    def _stop_workers(self) -> None:
        self._driver.stop_workers()

    def _wait_for(
        self, worker: ReadyWorker, missing: Callable[[], bool], signals: Uninterrupted
    ) -> None:
        self._parts.receiver.wait_for(worker, missing, signals)

    def _distrust(self, worker: int, error: Exception) -> None:
        self._parts.receiver.distrust(worker, error)
        self._parts.wakeup()

    def _forget(self, function: Function) -> None:
        self.core.forget_function(function.id).carry_out()

    def _finished(self) -> None:
        _engines.discard(self)

    def _present(self) -> PoolNow:
        return present(self, self._parts.workers)

    def _processes(self) -> dict[int, int]:
        return {os.getpid(): OWNER, **self._parts.workers.pids()}

    def _may_wait_for_workers(self) -> bool:
        me = threading.get_ident()
        return me != self._driver.thread and not self._parts.receiver.is_waiting(me)


def _after_fork() -> None:
    settings.after_fork()
    for engine in list(_engines):
        engine.after_fork()
    _engines.clear()


def _at_exit() -> None:
    """End the pools that are left when the program ends. Their workers end first, so that nothing
    runs or prints after the program."""
    for engine in list(_engines):
        engine.terminate()
        engine.join(10)


forking.in_child(_after_fork)
atexit.register(_at_exit)
