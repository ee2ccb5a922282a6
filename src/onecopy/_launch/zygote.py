"""The zygote: a process with one thread that forks workers on request.

Serves ``fork`` (it is a fork of the owner, made when the pool was made) and ``forkserver`` (it is a
fresh interpreter). Because it has one thread, its children never inherit a held lock. Because it
forks the replacements too, these equal the first workers. It only waits for requests, so it is
never busy when the owner dies.

Requests and answers are fixed-size records on one socket; a request to fork carries the worker's
socket. When the owner is gone the zygote ends, and the kernel ends its workers.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pickle
import signal
import socket
import struct
import sys

from .._codec.codec import CUTOFF, decode, write_message
from .._codec.link import Link
from .._memory.arena import Arena
from .._memory.segment import registry
from .._protocol.preparation import Preparation
from .._protocol.versions import Version, describe
from .._system import death, descriptors
from .._system.title import set_title
from .._worker import ending
from .._worker.main import Inherited, leave_interrupts, run

LENGTH = struct.Struct("<I")  # of the pickled preparation, which comes before all records
RECORD = struct.Struct("<BxxxIqQ")  # kind, worker, value, extra
# Extra of FREEZE: the segment's id; of STATE: the length of what follows.
FORK, REAP, FREEZE, STATE = 1, 2, 3, 4
# Extra of EXIT: most physical memory held; of FROZEN: the id; SLOW: an ``import_watch.SlowImport``.
PID, EXIT, FROZEN, SLOW = 1, 2, 3, 4
UNKNOWN = 1 << 32  # an unknown exit code: another part of the program waited for the process
# getrusage(2): kilobytes, but bytes on macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


_NAMES = {PID: "pid", EXIT: "exit", FROZEN: "frozen", SLOW: "slow"}
News = tuple[str, int, int, int]


def receive_preparation(control: socket.socket) -> tuple[Preparation, int]:
    """Receive a fresh zygote's preparation and the tracker's desk, before it serves."""
    head = memoryview(bytearray(LENGTH.size))
    count, fds = descriptors.receive(control, head, socket.MSG_WAITALL)
    if count < LENGTH.size:
        os._exit(0)
    (length,) = LENGTH.unpack(head)
    data = memoryview(bytearray(length))
    if control.recv_into(data, length, socket.MSG_WAITALL) < length:
        os._exit(0)
    preparation: Preparation = pickle.loads(data)
    return preparation, fds[0]


def send_preparation(control: socket.socket, preparation: Preparation, desk: int) -> None:
    """Send a zygote its preparation. Blocks until the zygote reads, if it is very long."""
    data = pickle.dumps(preparation, 5)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # ``poll_events`` reports it
        socket.send_fds(control, [LENGTH.pack(len(data))], [desk])
        control.sendall(data)


def name_zygote(pool: int) -> None:
    """Name this process, in ``ps`` and ``top``, as the zygote of that pool."""
    set_title(f"onecopy: pool {pool}, fork server", f"onecopy-{pool}.fs")


def serve(control: socket.socket, inherited: Inherited | None = None) -> None:
    """Serve requests until the owner's end of ``control`` is closed; then end the process.

    Args:
        control: this end of the socket.
        inherited: state that its workers inherit; None if they prepare themselves.
    """
    leave_interrupts()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ending.freeze(forked=inherited is not None and inherited.of_owner)
    if inherited is not None and inherited.slow is not None:
        control.sendall(RECORD.pack(SLOW, *inherited.slow))
    link = Link(Arena(), keep=True)
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
            pids[worker] = _fork(control, fds[0], inherited)
            os.close(fds[0])
            answer = RECORD.pack(PID, worker, pids[worker], 0)
        elif kind == REAP:
            answer = RECORD.pack(EXIT, worker, *end(pids.pop(worker)))
        elif kind == FREEZE:
            # Children forked from here on must not inherit a writable mapping.
            registry.freeze(segment)
            answer = RECORD.pack(FROZEN, 0, 0, segment)
        else:
            _take_state(control, segment, fds, link, inherited)
            continue
        try:
            control.sendall(answer)
        except OSError:
            os._exit(0)


def _take_state(
    control: socket.socket, length: int, fds: list[int], link: Link, inherited: Inherited | None
) -> None:
    """Replace a value that the main module's import has made here by the owner's large value in
    shared memory. Workers that are forked from now on inherit it."""
    data = memoryview(bytearray(length))
    if control.recv_into(data, length, socket.MSG_WAITALL) < length:
        os._exit(0)
    said, rich, head, body = marshal.loads(data)
    link.announced(said, fds)
    if inherited is not None:  # otherwise nothing was imported here
        inherited.state.take(head, lambda: decode(rich, memoryview(body), link))


def _fork(control: socket.socket, fd: int, inherited: Inherited | None) -> int:
    """Fork a worker on the descriptor ``fd``; return its pid, or minus the error's number."""
    me = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        return -(error.errno or 1)
    if pid == 0:
        try:
            control.close()
            death.die_with(me)
            run(socket.socket(fileno=fd), inherited)
        finally:
            os._exit(1)
    return pid


def end(pid: int) -> tuple[int, int]:
    """Make sure that a child has ended. Returns its exit code (or minus the signal's number), and
    its peak of physical memory in bytes.

    A process that has begun to exit takes no more signals, so the kill cannot hide the true cause
    of an end that had begun when its socket was closed.
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
    """Wait for a zygote, which ends by itself when its socket is closed."""
    with contextlib.suppress(ChildProcessError):  # the program waits for all children
        os.waitpid(pid, 0)


class ZygoteLauncher:
    """The owner's side; a ``Launcher`` (see there).

    Args:
        control: the owner's end of the zygote's socket.
        pid: the zygote's pid.
    """

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self._pid = pid
        self._owner = os.getpid()
        self._link = Link(Arena(), keep=False)

    def fileno(self) -> int:
        return self._control.fileno()

    def _request(self, kind: int, worker: int, fds: list[int], segment: int = 0) -> None:
        # If the zygote is gone, ``poll_events`` reports it.
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

    def give(self, version: Version) -> None:
        """Replace the zygote's own value by this one, if it is in shared memory."""
        if version.encoded is None or version.encoded.stream_size > CUTOFF:
            return
        rich, body = write_message(version.encoded, self._link)
        said, fds = self._link.take_new()
        if len(fds) > descriptors.MOST:
            return  # a value on very many segments: it keeps its own
        data = marshal.dumps((said, rich, describe(version), body))
        self._request(STATE, 0, fds, len(data))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # see ``poll_events``
            self._control.sendall(data)

    def poll_events(self) -> list[News]:
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
    """Flush the owner's streams, so that a fork does not write their contents again."""
    for stream in (sys.stdout, sys.stderr):
        # None, closed, a pipe that nothing reads, an object without ``flush``: as in
        # ``multiprocessing``, that is no reason to start no workers.
        with contextlib.suppress(Exception):
            stream.flush()
