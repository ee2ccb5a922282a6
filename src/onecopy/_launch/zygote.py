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
from .._worker.main import Inherited, leave_interrupts, run

LENGTH = struct.Struct("<I")  # of the pickled preparation, which comes before all records
RECORD = struct.Struct("<BxxxIqQ")  # kind, worker, value, extra
# Extra of FREEZE: the segment's id; of STATE: the length of what follows.
FORK, REAP, FREEZE, STATE = 1, 2, 3, 4
# Extra of EXIT: most physical memory held; of FROZEN: the id; SLOW: an ``import_watch.SlowImport``.
PID, EXIT, FROZEN, SLOW = 1, 2, 3, 4
UNKNOWN = 1 << 32  # an exit code that nobody knows: somebody else waited for the process
# getrusage(2): kilobytes, but bytes on macOS.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


_NAMES = {PID: "pid", EXIT: "exit", FROZEN: "frozen", SLOW: "slow"}
News = tuple[str, int, int, int]


def receive_preparation(control: socket.socket) -> tuple[Preparation, int]:
    """In a fresh zygote, before it serves: its preparation, and the tracker's desk."""
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
    """The owner's side. Blocks until the zygote reads, where it is very long."""
    data = pickle.dumps(preparation, 5)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # ``poll_events`` says so
        socket.send_fds(control, [LENGTH.pack(len(data))], [desk])
        control.sendall(data)


def name_zygote(pool: int) -> None:
    """This process is the zygote of that pool, in ``ps`` and ``top``."""
    set_title(f"onecopy: pool {pool}, fork server", f"onecopy-{pool}.fs")


def serve(control: socket.socket, inherited: Inherited | None = None) -> None:
    """Serves requests until the owner's end of ``control`` is closed; then ends.

    Args:
        control: this end of the socket.
        inherited: what its workers have from it; None when they prepare themselves.
    """
    leave_interrupts()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Collections in the workers would otherwise write to every inherited object.
    gc.collect()
    gc.freeze()
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
            # What is forked from here on must not inherit a mapping that may be written.
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
    """A large value of the owner's in shared memory takes the place of what the import of the
    main module has made here. Workers that are forked from now on inherit it."""
    data = memoryview(bytearray(length))
    if control.recv_into(data, length, socket.MSG_WAITALL) < length:
        os._exit(0)
    said, rich, head, body = marshal.loads(data)
    link.announced(said, fds)
    if inherited is not None:  # otherwise nothing was imported here
        inherited.state.take(head, lambda: decode(rich, memoryview(body), link))


def _fork(control: socket.socket, fd: int, inherited: Inherited | None) -> int:
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
            run(socket.socket(fileno=fd), inherited)
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
        self._link = Link(Arena(), keep=False)

    def fileno(self) -> int:
        return self._control.fileno()

    def _request(self, kind: int, worker: int, fds: list[int], segment: int = 0) -> None:
        # When the zygote is gone, ``poll_events`` says so.
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
        """Have the zygote hold this value instead of its own, where it is in shared memory."""
        if version.encoded is None or version.encoded.stream_size > CUTOFF:
            return
        rich, body = write_message(version.encoded, self._link)
        said, fds = self._link.take_new()
        if len(fds) > descriptors.MOST:
            return  # a value on very many segments: it keeps its own
        data = marshal.dumps((said, rich, describe(version), body))
        self._request(STATE, 0, fds, len(data))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # likewise
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
    """What the owner has not written out yet must not come out of a fork as well."""
    for stream in (sys.stdout, sys.stderr):
        # None, closed, a pipe that nobody reads, an object without ``flush``: as in
        # ``multiprocessing``, that is no reason to do without workers.
        with contextlib.suppress(Exception):
            stream.flush()
