"""Common parts of the tests of faults: a worker caught at a known point, a state of a
process that can be waited for, and the worker's own end of its socket."""

from __future__ import annotations

import array
import fcntl
import gc
import os
import signal
import socket
import tempfile
import termios
from contextlib import suppress
from pathlib import Path

import onecopy as oc
from onecopy._engine.channel import Channel
from onecopy._engine.processes import ProcessEngine
from onecopy._worker.main import Worker
from tests.scripts import until


def own_socket() -> socket.socket:
    """In a worker: the socket that it serves."""
    (worker,) = [thing for thing in gc.get_objects() if isinstance(thing, Worker)]
    return worker._sock


def narrow_own_socket() -> int:
    """In a worker: what it writes from now on fills its socket after some 5 kB. Its pid."""
    own_socket().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    return os.getpid()


def engine_of(pool: oc.Pool) -> ProcessEngine:
    """The engine of a pool of processes."""
    assert isinstance(pool._engine, ProcessEngine)
    return pool._engine


def channels_of(pool: oc.Pool) -> list[Channel]:
    """The owner's ends of the workers' sockets."""
    workers = engine_of(pool)._parts.workers
    return [worker.channel for worker in workers.by_number.values()]


def unread(channel: Channel) -> int:
    """The number of a worker's bytes that wait in its socket."""
    count = array.array("i", [0])
    fcntl.ioctl(channel.fd, termios.FIONREAD, count)
    return count[0]


def stop(pid: int) -> None:
    """Stop a process; it has stopped when this returns."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid) == "T", f"{pid} has stopped")


def state_of(pid: int) -> str:
    """The state of a process as proc(5) has it; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return text.rpartition(")")[2].split()[0]


def zygote_of(pid: int) -> int:
    """The process that forked a worker."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def named_files(pid: int) -> set[str]:
    """The files that `pid` has mapped or open where shared memory usually has names.
    Other programs have such files as well."""
    folders = {"/dev/shm", tempfile.gettempdir(), os.getcwd()}
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    found = {parts[5] for line in lines if len(parts := line.split(maxsplit=5)) > 5}
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            found.add(os.readlink(path))
    return {name for name in found if os.path.dirname(name) in folders and os.path.exists(name)}
