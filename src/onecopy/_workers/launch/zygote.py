"""The zygote: a process with one thread that forks workers on request.

Serves ``fork`` (it is a fork of the owner, made when the pool was made) and ``forkserver``
(it is a fresh interpreter). Because it has one thread, what it forks never inherits a lock
that somebody held; because it forks the replacements too, they are what the first workers
were. It does nothing but wait for requests, so it is never busy when the owner dies.

Requests and answers are fixed-size records on one socket; a request to fork carries the
worker's socket. When the owner is gone the zygote ends, and the kernel ends its workers.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import struct
import sys

from ..._memory.pickling import NOTHING, Namespace
from ..._memory.registry import registry
from ..._system import death, descriptors
from ..child import Initial, leave_interrupts, run

RECORD = struct.Struct("<BxxxIqQ")  # kind, worker, value, extra
FORK, REAP, FREEZE = 1, 2, 3  # extra of FREEZE: the segment's id
PID, EXIT, FROZEN = 1, 2, 3  # extra of EXIT: most physical memory held; of FROZEN: the id
UNKNOWN = 1 << 32  # an exit code that nobody knows: somebody else waited for the process
# getrusage(2): kilobytes, but bytes on macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


_NAMES = {PID: "pid", EXIT: "exit", FROZEN: "frozen"}
News = tuple[str, int, int, int]


def serve(
    control: socket.socket, namespace: Namespace = NOTHING, initial: Initial | None = None
) -> None:
    """Serves requests until the owner's end of ``control`` is closed; then ends."""
    leave_interrupts()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Collections in the workers would otherwise write to every inherited object.
    gc.collect()
    gc.freeze()
    pids: dict[int, int] = {}
    buffer = memoryview(bytearray(RECORD.size))
    while True:
        try:
            count, fds = descriptors.receive(control, buffer, socket.MSG_WAITALL)
        except (ConnectionResetError, InterruptedError):
            count, fds = 0, []
        if count < RECORD.size:
            os._exit(0)
        kind, worker, _, segment = RECORD.unpack(buffer)
        if kind == FORK:
            pids[worker] = _fork(control, fds[0], namespace, initial)
            os.close(fds[0])
            answer = RECORD.pack(PID, worker, pids[worker], 0)
        elif kind == REAP:
            answer = RECORD.pack(EXIT, worker, *end(pids.pop(worker)))
        else:
            # What is forked from here on must not inherit a mapping that may be written.
            registry.freeze(segment)
            answer = RECORD.pack(FROZEN, 0, 0, segment)
        try:
            control.sendall(answer)
        except OSError:
            os._exit(0)


def _fork(control: socket.socket, fd: int, namespace: Namespace, initial: Initial | None) -> int:
    """Forks a worker on the descriptor ``fd``; its pid, or minus the error's number."""
    me = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        return -(error.errno or 1)
    if pid == 0:
        try:
            control.close()
            death.die_with(me)
            run(socket.socket(fileno=fd), namespace, initial)
        finally:
            os._exit(1)
    return pid


def end(pid: int) -> tuple[int, int]:
    """Makes sure that a child has ended; its exit code (or minus the signal's number), and
    the most physical memory that it ever held, in bytes.

    A process that has begun to exit takes no more signals, so the kill cannot hide the
    true cause of an end that was under way when its socket closed.
    """
    if pid <= 0:
        return UNKNOWN, 0
    try:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        return UNKNOWN, 0
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss * _MAXRSS_UNIT


def reap(pid: int) -> None:
    """Waits for a zygote: it ends by itself when its socket does."""
    with contextlib.suppress(ChildProcessError):  # somebody waits for all children
        os.waitpid(pid, 0)


class ZygoteLauncher:
    """The owner's side; a ``Launcher`` (see there).

    Args:
        control: the owner's end of the zygote's socket.
        pid: the zygote.
    """

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self._pid = pid
        self._owner = os.getpid()

    def fileno(self) -> int:
        return self._control.fileno()

    def _request(self, kind: int, worker: int, fds: list[int], segment: int = 0) -> None:
        # When the zygote is gone, ``news`` says so.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._control.sendmsg([RECORD.pack(kind, worker, 0, segment)], descriptors.rights(fds))

    def pids(self) -> list[int]:
        return [self._pid]

    def start(self, worker: int, sock: int) -> None:
        self._request(FORK, worker, [sock])

    def reap(self, worker: int) -> None:
        self._request(REAP, worker, [])

    def freeze(self, segment: int) -> bool:
        self._request(FREEZE, 0, [], segment)
        return True

    def news(self) -> list[News]:
        news: list[News] = []
        while True:
            try:
                data = self._control.recv(RECORD.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return news
            except ConnectionResetError:
                data = b""
            # A record is written by one call and is far smaller than the socket's buffer.
            if len(data) < RECORD.size:
                return [*news, ("broken", 0, 0, 0)]
            kind, worker, value, extra = RECORD.unpack(data)
            news.append((_NAMES[kind], worker, value, extra))

    def close(self) -> None:
        self._control.close()
        if os.getpid() == self._owner:
            reap(self._pid)


def flush_streams() -> None:
    """What the owner has not written out yet must not come out of a fork as well."""
    for stream in (sys.stdout, sys.stderr):
        # None, closed, a pipe that nobody reads, an object without ``flush``: as in
        # ``multiprocessing``, that is no reason to do without workers.
        with contextlib.suppress(Exception):
            stream.flush()
