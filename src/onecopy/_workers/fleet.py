"""The worker processes of one pool: their start, their sockets, their end.

The engine says "one more" or "this one is to go"; the fleet does it, and reports what
became of each. It runs in the driver thread alone, except for what is marked.

A worker goes through: launched (socket made, launcher asked) → ready (it said so) →
ended (its socket is at its end, or it broke the protocol) → reaped (its exit code is
known). Only then is it reported gone: everything that it wrote before its end has been
read by then, and its claim is final.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from .. import errors
from .._memory.arena import Arena
from .._memory.globals import WorkerNamespace
from .._memory.pickling import Namespace
from .._system import mapping, procfs
from .._system.anonymous import anonymous_file
from . import wire
from .channel import Channel
from .launch import Launcher
from .launch.zygote import UNKNOWN
from .options import Options


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
    """

    channel: Channel
    claimed: int
    exitcode: int | None
    oom: bool
    memory: int | None
    cut: tuple[str, int, int] | None

    def error(self, task: str) -> errors.WorkerDied:
        """What the task that it ran fails with."""
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


class Fleet:
    """See the module.

    Args:
        options: what kind of workers.
        arena: where large buffers for them are put.
    """

    def __init__(self, options: Options, arena: Arena) -> None:
        self._options = options
        self._arena = arena
        self._count = 0
        self.channels: dict[int, Channel] = {}
        self.by_fd: dict[int, Channel] = {}
        self.namespace: Namespace = WorkerNamespace()
        self._launcher: Launcher | None = None
        self._ooms = procfs.oom_kills()
        # One aligned 8-byte word per worker, in a page that both sides map.
        self._slots = max(512, 2 * options.workers)
        self._file = anonymous_file(mapping.PAGE * -(-8 * self._slots // mapping.PAGE))
        self._file.reserve(0, self._file.size)
        size = self._file.size
        address = mapping.map_shared(self._file.descriptor(write=True), size, write=True)
        root = mapping.exporter(address, size, lambda: mapping.unmap(address, size))
        self._claims = mapping.bytes_of(root, write=True).cast("Q")
        self._free_slots = list(range(self._slots))
        if options.method == "fork":
            from .launch import fork

            # Here, in the thread that makes the pool and before the pool has one of its
            # own: the workers are to see the caller's state as it is now.
            self._launcher, self.namespace = fork.launcher(options.threads)

    @property
    def launcher(self) -> Launcher:
        """Made in the driver thread at first use: what it starts lives as that lives."""
        if self._launcher is None:
            if self._options.method == "spawn":
                from .launch.spawn import SpawnLauncher

                preload = list(self._options.preload)
                self._launcher = SpawnLauncher(self._options.threads, preload)
            else:
                from .launch import forkserver

                preload = list(self._options.preload)
                self._launcher = forkserver.launcher(self._options.threads, preload)
        return self._launcher

    def launch(
        self,
        unsendable: Callable[..., None],
        want_write: Callable[[Channel, bool], None],
    ) -> Channel:
        """One more worker; it says when it is ready. Raises OSError when it cannot even be
        tried (no descriptor, no memory, no more processes)."""
        with launching:
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    self._count += 1
                    self.launcher.start(self._count, theirs.fileno())
            except OSError:
                ours.close()
                raise
        slot = self._free_slots.pop()
        self._claims[slot] = 0
        channel = Channel(self._count, ours, self._arena, slot, unsendable, want_write)
        self.channels[channel.worker] = channel
        self.by_fd[channel.fd] = channel
        self._configure(channel)
        return channel

    def _configure(self, channel: Channel) -> None:
        fresh = self._options.method != "fork"
        config = {
            "path": sys.path if fresh else list(sys.path),
            "argv": list(sys.argv) if fresh else [],
            "claims": self._file.size,
            "slot": channel.slot,
            "threads": self._options.threads,
            "preload": list(self._options.preload) if fresh else [],
            "initializer": self._options.initializer is not None,
            "executor": self._options.executor,
        }
        body = pickle.dumps(config, 5)
        frame = wire.pack(wire.CONFIG, body, fds=1)
        fd = self._file.descriptor(write=True)
        # The socket is new and empty: this fits.
        socket.send_fds(channel.sock, [frame], [fd])

    def ended(self, channel: Channel) -> None:
        """Its socket is at its end: asks how the process ended. ``news`` tells."""
        del self.by_fd[channel.fd]
        channel.ended = True
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
        for what, worker, value, extra in self.launcher.news():
            channel = self.channels.get(worker)
            if what == "broken":
                broken = True
            elif what == "frozen":
                frozen.append(extra)
            elif channel is None:
                continue
            elif what == "pid":
                if value > 0:
                    channel.pid = value
            else:
                exitcode = None if value == UNKNOWN else value
                deaths.append(self._gone(channel, exitcode, extra or None))
        if broken:
            # The zygote is gone, and the kernel has killed its workers with it.
            deaths += [self._gone(c, -signal.SIGKILL, None) for c in list(self.channels.values())]
        return deaths, frozen, broken

    def _gone(self, channel: Channel, exitcode: int | None, memory: int | None) -> Death:
        del self.channels[channel.worker]
        if not channel.ended:
            del self.by_fd[channel.fd]
        claimed = int(self._claims[channel.slot])
        self._free_slots.append(channel.slot)
        ooms = procfs.oom_kills() if exitcode == -signal.SIGKILL else self._ooms
        oom, self._ooms = ooms > self._ooms, ooms
        cut = None
        if exitcode == -signal.SIGBUS:
            for segment in channel.link.files():
                now = segment.shortened_to()
                if now is not None:
                    cut = (segment.path, segment.size, now)
        return Death(channel, claimed, exitcode, oom, memory, cut)

    def close(self) -> None:
        """All workers are gone: ends what has served them."""
        if self._launcher is not None:
            self._launcher.close()
        self._file.close()
        self._claims = memoryview(b"\0" * 8).cast("Q")

    def after_fork(self) -> None:
        """In a child that somebody forked from the owner (any thread's state is as it was):
        it must never read or keep open what belongs to the owner's workers."""
        for channel in list(self.channels.values()):
            channel.sock.close()
        if self._launcher is not None:
            fd = self._launcher.fileno()
            if fd >= 0:
                os.close(fd)
