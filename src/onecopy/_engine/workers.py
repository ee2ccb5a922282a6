"""The worker processes of one pool: start, sockets, end.

The driver asks for a worker or ends one, and learns what became of each. Runs in the driver thread,
except where noted.

A worker goes through ``WorkerState``. Then its exit code is read, and only then is it reported as
gone: by that time everything that it wrote has been read, and its claim is final.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

from .. import errors
from .._launch.zygote import UNKNOWN
from .._memory.arena import Arena
from .._observe.columns import OTHER
from .._protocol import inheriting, wire
from .._protocol.config import WorkerConfig
from .._protocol.identity import Identity, chosen_method, parent_of_workers
from .._protocol.import_watch import SlowImport
from .._schedule.events import Assignment
from .._system import heap, procfs
from .channel import Channel
from .claims import Claims
from .crash_text import CrashText
from .options import Options
from .worker_exit import WorkerExit
from .worker_handle import WorkerHandle
from .worker_source import WorkerSource

# Held while this process has the worker's end of a socket open. A fork elsewhere in the program
# waits for it: otherwise its child would keep that end open, and the worker's end would never be
# noticed. The holder waits for no lock, so the fork waits a millisecond at most.
launching = threading.Lock()


# Methods of the lock, not functions in Python: an exception in such an action is dropped, and the
# handler of a signal may raise in any function.
os.register_at_fork(
    before=launching.acquire,
    after_in_parent=launching.release,
    after_in_child=launching.release,
)


def importing() -> AbstractContextManager[Any]:
    """Return the context in which modules are imported. A program that forks meanwhile waits:
    otherwise its child would have half a module, and no thread that completes it."""
    return launching


def import_broken_errors() -> None:
    """Import the errors that are needed when a worker ends."""
    with importing():
        errors.import_broken_errors()


class Workers:
    """See the module.

    Args:
        options: the pool's settings.
        arena: where large buffers for workers are put.

    Attributes:
        by_number, by_fd: the workers that are not gone, and those whose sockets are open.
        kill_signal: the signal that kills workers.
        pool: the pool's number in this process.
        source: starts them.
        claims: the pages that workers share with the owner.
        slow_import: the launcher's report on a slow import of the main module, until it is read.
    """

    def __init__(self, options: Options, arena: Arena) -> None:
        heap.trim()  # before anything inherits it
        self._options = options
        self._arena = arena
        self._count = 0
        self.by_number: dict[int, WorkerHandle] = {}
        self.by_fd: dict[int, WorkerHandle] = {}
        self.kill_signal = signal.SIGKILL
        self.slow_import: SlowImport | None = None
        self.pool = next(pools)
        self._parent, self._method = parent_of_workers(), chosen_method()
        self._ooms = procfs.oom_kills()
        self._crashes: dict[int, CrashText] = {}
        self._dead: list[WorkerHandle] = []  # orphans that have ended
        self._lost = False  # the launcher has failed, and that was reported
        self.claims = Claims(options.workers)
        self.source = WorkerSource(self.pool, options)

    def pids(self) -> dict[int, int]:
        """Return every process of the pool, with its worker's number; OTHER for processes that fork
        workers. Any thread."""
        pids = {worker.pid: worker.number for worker in list(self.by_number.values())}
        pids.pop(0, None)
        return {**pids, **dict.fromkeys(self.source.pids(), OTHER)}

    def launch(
        self,
        unsendable: Callable[[int, Assignment, BaseException], None],
        want_write: Callable[[int, bool], None],
    ) -> WorkerHandle:
        """Start one more worker, which reports when it is ready. Raises OSError if that is
        impossible (no descriptor, no memory, no more processes)."""
        crash = CrashText()
        try:
            slot = self.claims.reserve()
            with launching:
                ours, theirs = socket.socketpair()
                try:
                    with theirs:
                        self._count += 1
                        self.source.launcher.start(self._count, theirs.fileno())
                except OSError:
                    ours.close()
                    raise
        except (OSError, errors.NotEnoughMemory):
            crash.close()
            raise
        self.claims.take(slot)
        channel = Channel(
            self._count,
            ours,
            self._arena,
            unsendable=unsendable,
            want_write=want_write,
            versions=self.source.follower.versions,
            speaks=self._options.logs,
        )
        worker = WorkerHandle(self._count, slot, channel)
        self.by_number[worker.number] = worker
        self.by_fd[channel.fd] = worker
        self._crashes[worker.number] = crash
        self._configure(worker, crash.descriptor())
        crash.sent()
        return worker

    def _configure(self, worker: WorkerHandle, crash: int) -> None:
        options, claims = self._options, self.claims
        identity = Identity(
            pool=self.pool,
            worker=worker.number,
            daemon=not options.executor,
            parent=self._parent,
            method=self._method,
        )
        config = WorkerConfig(
            identity=identity,
            preparation=self.source.preparation,
            claims=claims.size,
            slot=claims.first_word(worker.slot),
            room=claims.room(worker.slot),
            threads=options.threads,
            initializer=options.initializer is not None,
            executor=options.executor,
            reseed=options.reseed,
            logs=options.logs,
            prints=options.prints,
            profile=options.profile,
            authkey=None if options.inherits else inheriting.authkey(),
        )
        fds = [claims.descriptor(), crash, self.source.desk.theirs.fileno()]
        frame = wire.pack(wire.CONFIG, pickle.dumps(config, 5), fds=len(fds))
        # The socket is new and empty: this fits.
        socket.send_fds(worker.channel.sock, [frame], fds)

    def pause(self, worker: WorkerHandle) -> int:
        """Stop the worker from starting anything until ``WorkerHandle.resume``; return the last
        assignment that it has started."""
        worker.pauses += 1
        return self.claims.pause(worker.slot, worker.pauses)

    def kill(self, worker: WorkerHandle) -> None:
        """Kill a worker; its socket is then closed, as with any other end. Any thread that holds
        its ``receiving``, and the driver."""
        channel = worker.channel
        if worker.pid and not worker.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, self.kill_signal)
            if self.kill_signal != signal.SIGKILL:
                # A worker that handles the signal and survives ends after its task.
                with contextlib.suppress(OSError):
                    channel.sock.shutdown(socket.SHUT_WR)
        elif not worker.ended:
            channel.sock.shutdown(socket.SHUT_RDWR)

    def on_end(self, worker: WorkerHandle) -> None:
        """Ask how the process ended, since its socket is closed. ``poll_events`` reports it."""
        del self.by_fd[worker.channel.fd]
        worker.end()
        if worker.orphan:
            self._dead.append(worker)
        else:
            self.source.launcher.reap(worker.number)

    def poll_events(self) -> tuple[list[WorkerExit], list[int], bool]:
        """Return reaped workers, segments that new workers cannot write to, and whether the
        launcher has failed."""
        exits: list[WorkerExit] = []
        frozen: list[int] = []
        broken = False
        for what, number, value, extra in self.source.poll_events():
            worker = self.by_number.get(number)
            if what == "broken":
                broken, self._lost = not self._lost, True
            elif what == "frozen":
                frozen.append(extra)
            elif what == "slow":
                self.slow_import = SlowImport(number, value, extra)
            elif worker is None:
                continue
            elif what == "pid":
                if value > 0:
                    worker.pid = value
            else:
                exitcode = None if value == UNKNOWN else value
                exits.append(self._gone(worker, exitcode, extra or None))
        if broken:
            self._orphan()
        exits += [self._gone(worker, -signal.SIGKILL, None) for worker in self._dead]
        self._dead.clear()
        return exits, frozen, broken

    def _orphan(self) -> None:
        """Handle the end of the zygote: the kernel kills its workers with it. Each is gone when its
        socket is closed; what it had finished is still read."""
        for worker in self.by_number.values():
            worker.orphan = True
            if worker.ended:
                self._dead.append(worker)  # no process will report how it ended
            else:
                # If the kernel does not kill it, it ends at its next read.
                worker.channel.sock.shutdown(socket.SHUT_WR)

    def _gone(self, worker: WorkerHandle, exitcode: int | None, memory: int | None) -> WorkerExit:
        del self.by_number[worker.number]
        if not worker.ended:
            del self.by_fd[worker.channel.fd]
        claimed = worker.claimed
        if claimed is None:
            claimed = self.claims.claimed(worker.slot)
        self.claims.give_back(worker.slot)
        ooms = procfs.oom_kills() if exitcode == -signal.SIGKILL else self._ooms
        oom, self._ooms = ooms > self._ooms, ooms
        cut = None
        if exitcode == -signal.SIGBUS:
            for segment in worker.channel.link.files():
                now = segment.shortened_to()
                if now is not None:
                    cut = (segment.path, segment.size, now)
        with contextlib.closing(self._crashes.pop(worker.number)) as crash:
            traceback = crash.read()
        return WorkerExit(worker, claimed, exitcode, oom, memory, cut, traceback)

    def renew(self) -> bool:
        """Note that the zygote has ended; return True if a new one will fork the next workers."""
        renewed = self.source.renew()
        self._lost = self._lost and not renewed
        return renewed

    def all_pids_known(self) -> bool:
        """Return True if the pids of all workers are known."""
        return all(worker.pid for worker in self.by_number.values())

    def close(self) -> None:
        """Close what has served the workers: all are gone."""
        self.source.close()
        self.claims.close()
        for crash in self._crashes.values():
            crash.close()

    def after_fork(self) -> None:
        """Release, in a forked child, what belongs to the owner's workers; it must not be read or
        kept open. The state of any thread is as it was at the fork."""
        for worker in list(self.by_number.values()):
            worker.channel.sock.close()
        self.source.after_fork()


pools = count(1)
"""The numbers of this process's pools."""
