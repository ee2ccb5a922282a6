"""The worker processes of one pool: their start, their sockets, their end.

The engine says "one more" or "this one is to go"; the fleet does it, and reports what
became of each. It runs in the driver thread alone, except for what is marked.

A worker goes through: launched (socket made, launcher asked) → ready (it said so) →
ended (its socket is at its end, or it broke the protocol) → reaped (its exit code is
known). Only then is it reported gone: everything that it wrote before its end has been
read by then, and its claim is final.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from types import FunctionType

from .. import errors
from .._codec.homes import home_of, is_user_code, user_homes
from .._codec.main_module import MainModule, importable_main, main_module
from .._launch import Launcher
from .._launch.zygote import UNKNOWN, ZygoteLauncher
from .._memory.arena import Arena
from .._observe.columns import OTHER
from .._protocol import inheriting, wire
from .._protocol.config import WorkerConfig
from .._protocol.early import ROOM, read
from .._protocol.identity import Identity, chosen_method, parent_of_workers
from .._protocol.import_watch import SlowImport
from .._protocol.preparation import Preparation, prepare
from .._protocol.strides import BEGUN, CLAIM, ORDERS, WORDS, begun
from .._protocol.tracker import TrackerDesk
from .._protocol.versions import Version
from .._system import barrier, heap, mapping, procfs
from .._system.anonymous import AnonymousFile, anonymous_file
from .channel import Channel
from .following import Follower
from .options import Options

# Room for what faulthandler writes when a worker crashes; pages are taken as it is used.
_FAULTS = 256 << 10


@dataclass
class Death:
    """How a worker ended.

    Attributes:
        channel: its channel, at its end.
        claimed: the last assignment that it had begun.
        exitcode: or minus a signal's number; None when unknown.
        oom: the kernel's out-of-memory killer struck since the last death.
        memory: the most physical memory that it ever held, in bytes, shared pages included.
        cut: a mapped file that was shortened while the worker had it: path, was, now.
        traceback: what faulthandler wrote at a fatal signal, or the worker when it could not
            go on.
    """

    channel: Channel
    claimed: int
    exitcode: int | None
    oom: bool
    memory: int | None
    cut: tuple[str, int, int] | None
    traceback: str

    def error(self, task: str) -> BaseException:
        """What the task that it ran fails with."""
        error = self._error(task)
        if self.channel.broken:
            why = f"what it wrote made no sense: {self.channel.broken}"
            error.add_note(f"the pool ended worker {self.channel.pid}; {why}")
        if self.traceback:
            # A note, and not a cause: it survives pickling.
            said = self.traceback
            who = "faulthandler in " if said.startswith(("Fatal", "Timeout")) else ""
            error.add_note(f"{who}worker {self.channel.pid}, at its end:\n{said}")
        return error

    def _error(self, task: str) -> BaseException:
        if self.channel.verdict is not None and self.exitcode in (-signal.SIGKILL, None):
            return self.channel.verdict
        pid = self.channel.pid
        if self.cut is not None:
            path, was, now = self.cut
            return errors.FileTruncated(
                pid, self.exitcode, task, self.oom, self.memory, path=path, was=was, now=now
            )
        return errors.WorkerDied(pid, self.exitcode, task, self.oom, self.memory)

    def close(self) -> None:
        """Lets go of what the worker held; what it lent lives on with its holders."""
        self.channel.close()


# Held while this process has the worker's end of a socket open. A fork elsewhere in the
# program waits for it: its child would keep that end, and the worker's end would never be
# seen. The holder waits for nobody, so the fork waits a millisecond at most.
launching = threading.Lock()


def _renew() -> None:
    global launching
    launching = threading.Lock()


os.register_at_fork(
    before=lambda: launching.acquire(),
    after_in_parent=lambda: launching.release(),
    after_in_child=_renew,
)


def import_broken_errors() -> None:
    """Imports the errors that a death needs. A program that forks meanwhile waits: its child
    would have half a module, and no thread that makes it whole."""
    with launching:
        errors.import_broken_errors()


class Fleet:
    """See the module.

    Args:
        options: what kind of workers.
        arena: where large buffers for them are put.
    """

    def __init__(self, options: Options, arena: Arena) -> None:
        heap.trim()  # before anything inherits it
        self._options = options
        self._arena = arena
        self._count = 0
        self.channels: dict[int, Channel] = {}
        self.by_fd: dict[int, Channel] = {}
        self._pool = next(_pools)
        self._launcher: Launcher | None = None
        self._ooms = procfs.oom_kills()
        self._faults: dict[int, AnonymousFile] = {}
        self._dead: list[Channel] = []  # orphans that have ended
        self._lost = False  # the launcher makes no more workers, and that was reported
        # Aligned 8-byte words per worker, in pages that both sides map; see ``strides``.
        self._slots = max(512, 2 * options.workers)
        self._pages = mapping.PAGE * -(-8 * WORDS * self._slots // mapping.PAGE)
        self._file = anonymous_file(self._pages + self._slots * ROOM)
        self._file.reserve(0, self._pages)  # and each worker's page when it is made
        size = self._file.size
        address = mapping.map_shared(self._file.descriptor(write=True), size, write=True)
        root = mapping.exporter(address, size, lambda: mapping.unmap(address, size))
        self._bytes = mapping.bytes_of(root, write=True)
        self._claims = self._bytes.cast("Q")
        self._free_slots = list(range(self._slots))
        self._parent, self._method = parent_of_workers(), chosen_method()
        self._preparation: Preparation | None
        # Values for the zygote to hold; looked at before it forks and when work is sent.
        self.slow_import: SlowImport | None = None
        self.replaced: deque[Version] = deque()
        self.desk = TrackerDesk()
        try:
            self._choose_state(options)
        except BaseException:
            self.desk.close()
            raise

    def _choose_state(self, options: Options) -> None:
        """How workers come by the main module, and what follows of the owner's state."""
        modules = options.state == "follow"
        if options.method == "fork":
            from .._launch import fork

            # Here, in the thread that makes the pool and before the pool has one of its
            # own: the workers are to see the caller's state as it is now.
            initial = (options.initializer, options.initargs) if options.initializer else None
            if isinstance(options.initializer, FunctionType):
                # A dict without a module has to be known as a home on both sides of the fork.
                names = options.initializer.__globals__
                home_of(names, made=is_user_code(names))
            inherited = {home: dict(names) for home, names in user_homes().items()}
            self._launcher = fork.launcher(self._pool, options.threads, initial)
            self._preparation = None
            self.follower = Follower(
                None, inherited, modules=modules, replaces=self.replaced.append
            )
        else:
            main = _main(options.main)
            self._preparation = prepare(self._pool, main, options.preload)
            self.follower = Follower(main, None, modules=modules, replaces=self.replaced.append)

    @property
    def launcher(self) -> Launcher:
        """Made in the driver thread at first use: what it starts lives as that lives."""
        if self._launcher is None:
            preparation, threads = self._preparation, self._options.threads
            assert preparation is not None
            if self._options.method == "spawn":
                from .._launch.spawn import SpawnLauncher

                self._launcher = SpawnLauncher(threads, preparation.environment)
            else:
                from .._launch import forkserver

                desk = self.desk.theirs.fileno()
                self._launcher = forkserver.launcher(threads, preparation, desk)
        return self._launcher

    def pids(self) -> dict[int, int]:
        """Every process of the pool, with its worker's number; OTHER for what forks workers.
        Any thread."""
        pids = {channel.pid: channel.worker for channel in list(self.channels.values())}
        pids.pop(0, None)
        launcher = self._launcher
        return {**pids, **dict.fromkeys(launcher.pids() if launcher else (), OTHER)}

    def launch(
        self,
        unsendable: Callable[..., None],
        want_write: Callable[[Channel, bool], None],
    ) -> Channel:
        """One more worker; it says when it is ready. Raises OSError when it cannot even be
        tried (no descriptor, no memory, no more processes)."""
        faults = anonymous_file(_FAULTS)
        try:
            self._file.reserve(self._pages + self._free_slots[-1] * ROOM, ROOM)
            with launching:
                ours, theirs = socket.socketpair()
                try:
                    with theirs:
                        self._count += 1
                        self.launcher.start(self._count, theirs.fileno())
                except OSError:
                    ours.close()
                    raise
        except (OSError, errors.NotEnoughMemory):
            faults.close()
            raise
        slot = self._free_slots.pop()
        for word in range(WORDS):
            self._claims[WORDS * slot + word] = 0
        channel = Channel(
            self._count,
            ours,
            self._arena,
            slot,
            unsendable,
            want_write,
            self.follower.versions,
            speaks=self._options.logs,
        )
        self.channels[channel.worker] = channel
        self.by_fd[channel.fd] = channel
        self._faults[channel.worker] = faults
        self._configure(channel, faults.descriptor(write=True))
        return channel

    def _configure(self, channel: Channel, faults: int) -> None:
        options = self._options
        identity = Identity(
            pool=self._pool,
            worker=channel.worker,
            daemon=not options.executor,
            parent=self._parent,
            method=self._method,
        )
        config = WorkerConfig(
            identity=identity,
            preparation=self._preparation,
            claims=self._file.size,
            slot=WORDS * channel.slot,
            room=self._pages + channel.slot * ROOM,
            threads=options.threads,
            initializer=options.initializer is not None,
            executor=options.executor,
            reseed=options.reseed,
            logs=options.logs,
            prints=options.prints,
            profile=options.profile,
            authkey=None if options.method == "fork" else inheriting.authkey(),
        )
        fds = [self._file.descriptor(write=True), faults, self.desk.theirs.fileno()]
        frame = wire.pack(wire.CONFIG, pickle.dumps(config, 5), fds=len(fds))
        # The socket is new and empty: this fits.
        socket.send_fds(channel.sock, [frame], fds)

    def hold(self, channel: Channel) -> int:
        """The worker begins with nothing after this, until ``Channel.let_go``; what it has
        begun with last."""
        channel.holds += 1
        self._claims[WORDS * channel.slot + ORDERS] = channel.holds
        barrier.everywhere()
        return int(self._claims[WORDS * channel.slot + CLAIM])

    def begun(self, channel: Channel, assignment: int) -> int | None:
        """After ``hold``: how many items of a chunk the worker has begun; None when it has not
        said so yet."""
        return begun(int(self._claims[WORDS * channel.slot + BEGUN]), assignment)

    def claimed(self, channel: Channel) -> int:
        """What it has begun with last, as far as can be seen without a barrier."""
        return int(self._claims[WORDS * channel.slot + CLAIM])

    def early(self, channel: Channel, assignment: int, known: int) -> list[bytes]:
        """The results of a chunk behind those that are ``known``, pickled; see ``early``."""
        at = self._pages + channel.slot * ROOM
        words = self._claims[WORDS * channel.slot : WORDS * (channel.slot + 1)]
        return read(words, self._bytes[at : at + ROOM], assignment, known)

    @property
    def main_path(self) -> str:
        """The file of the main module that workers import; empty when they import none."""
        main = self._preparation.main if self._preparation is not None else None
        return main[0] if main is not None else ""

    def give_replaced(self) -> None:
        """Have the process that forks the workers hold what follows in shared memory."""
        while self.replaced:
            version = self.replaced.popleft()
            if isinstance(self._launcher, ZygoteLauncher) and self._preparation is not None:
                self._launcher.give(version)

    def ended(self, channel: Channel) -> None:
        """Its socket is at its end: asks how the process ended. ``news`` tells."""
        del self.by_fd[channel.fd]
        channel.ended = True
        if channel.orphan:
            self._dead.append(channel)
        else:
            self.launcher.reap(channel.worker)

    def freeze(self, segment: int) -> bool:
        """Workers may have inherited a mapping of this segment: those to come will not be
        able to write to it. False when none can have."""
        return self._options.method == "fork" and self.launcher.freeze(segment)

    def news(self) -> tuple[list[Death], list[int], bool]:
        """The workers that are gone for good, the segments that no worker to come can write
        to any more, and whether no more workers can be made."""
        deaths: list[Death] = []
        frozen: list[int] = []
        broken = False
        for what, worker, value, extra in self._launcher.news() if self._launcher else ():
            channel = self.channels.get(worker)
            if what == "broken":
                broken, self._lost = not self._lost, True
            elif what == "frozen":
                frozen.append(extra)
            elif what == "slow":
                self.slow_import = SlowImport(worker, value, extra)
            elif channel is None:
                continue
            elif what == "pid":
                if value > 0:
                    channel.pid = value
            else:
                exitcode = None if value == UNKNOWN else value
                deaths.append(self._gone(channel, exitcode, extra or None))
        if broken:
            self._orphan()
        deaths += [self._gone(channel, -signal.SIGKILL, None) for channel in self._dead]
        self._dead.clear()
        return deaths, frozen, broken

    def _orphan(self) -> None:
        """The zygote is gone, and the kernel kills its workers with it. Each is gone when
        its socket has come to its end: what it has finished before is still read."""
        for channel in self.channels.values():
            channel.orphan = True
            if channel.ended:
                self._dead.append(channel)  # how it ended nobody will tell any more
            else:
                # Where the kernel does not kill it, it ends when it next reads.
                channel.sock.shutdown(socket.SHUT_WR)

    def _gone(self, channel: Channel, exitcode: int | None, memory: int | None) -> Death:
        del self.channels[channel.worker]
        if not channel.ended:
            del self.by_fd[channel.fd]
        claimed = channel.claimed
        if claimed is None:
            claimed = int(self._claims[WORDS * channel.slot + CLAIM])
        self._free_slots.append(channel.slot)
        ooms = procfs.oom_kills() if exitcode == -signal.SIGKILL else self._ooms
        oom, self._ooms = ooms > self._ooms, ooms
        cut = None
        if exitcode == -signal.SIGBUS:
            for segment in channel.link.files():
                now = segment.shortened_to()
                if now is not None:
                    cut = (segment.path, segment.size, now)
        with contextlib.closing(self._faults.pop(channel.worker)) as faults:
            written = os.pread(faults.descriptor(write=False), _FAULTS, 0).rstrip(b"\0")
        traceback = written.decode(errors="replace")
        return Death(channel, claimed, exitcode, oom, memory, cut, traceback)

    def renew(self) -> bool:
        """The zygote has ended, and its workers with it: the next worker is made by a new
        one. False where a new one would not be what the old one was."""
        if self._options.method == "fork":
            return False
        assert self._launcher is not None
        self._launcher.close()
        self._launcher = None
        self._lost = False
        return True

    def close(self) -> None:
        """All workers are gone: ends what has served them."""
        if self._launcher is not None:
            self._launcher.close()
        self.desk.close()
        self._file.close()
        for faults in self._faults.values():
            faults.close()
        self._claims = memoryview(b"\0" * 8).cast("Q")
        self._bytes = memoryview(b"")

    def after_fork(self) -> None:
        """In a child that somebody forked from the owner (any thread's state is as it was):
        it must never read or keep open what belongs to the owner's workers."""
        for channel in list(self.channels.values()):
            channel.sock.close()
        self.desk.close()
        if self._launcher is not None:
            fd = self._launcher.fileno()
            if fd >= 0:
                os.close(fd)


_pools = count(1)


def _main(how: str) -> MainModule | None:
    """The main module, if workers are to import it. Raises ValueError when it is no file."""
    if how == "value":
        return None
    return main_module() if how == "auto" else importable_main(forced=True)
