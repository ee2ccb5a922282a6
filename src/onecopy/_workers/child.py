"""A worker process, from its first frame to its end.

One thread, one socket, one loop: read a frame, do what it says, write the answer. The
worker shares no lock with anybody, so a kill at any line wedges nobody:

- before the claim is written: the task is given to another worker;
- between the claim and the last byte of the result: this task is lost, no other;
- after that: nothing is lost.

The claim is one aligned 8-byte store into a page that the owner maps as well; the owner
reads it after the worker's socket has ended, when everything it wrote has been read.
"""

from __future__ import annotations

import contextlib
import faulthandler
import marshal
import os
import pickle
import signal
import socket
import struct
import sys
from collections import deque
from time import monotonic_ns
from typing import Any

from .. import errors
from .._memory.arena import Arena
from .._memory.codec import decode, encode, encode_result, place
from .._memory.link import Link
from .._memory.pickling import NOTHING, Namespace, short
from .._memory.registry import registry
from .._system import descriptors, mapping
from . import runners, wire
from .outcome import Failure, describe, failure, name_of

# A worker that has had nothing to do for so long gives its arena's free pages back.
_IDLE_SECONDS = 2


class _Stop(Exception):
    """The owner wants the worker to end, or is gone."""


class Worker:
    """The loop and what it knows.

    Args:
        sock: this worker's end of its socket pair.
        namespace: the part of ``__main__`` that the owner has under the same names.
    """

    def __init__(self, sock: socket.socket, namespace: Namespace = NOTHING) -> None:
        self._sock = sock
        self._reader = wire.FrameReader(sock)
        self._link = Link(Arena(), keep=True)
        self._namespace = namespace
        self._frames: deque[wire.Frame] = deque()
        self._functions: dict[int, Any] = {}
        self._claims = memoryview(bytearray(16)).cast("Q")
        self._slot = 0
        self._trims = False
        self._handlers = {
            wire.CONFIG: self._configure,
            wire.FUNCTION: self._function,
            wire.DROP_FUNCTION: lambda frame: self._functions.pop(frame.id, None),
            wire.TASK: self._task,
            wire.ANNOUNCE: self._announced,
            wire.FREE: self._freed,
            wire.FORGET: self._forget,
            wire.FREEZE: self._freeze,
            wire.CONTINUE: lambda frame: None,  # see ``_task``
            wire.STOP: self._stop,
        }
        # A child that a task forks must never read this socket.
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self._sock.close()

    def serve(self) -> None:
        """Runs until the owner says stop or is gone."""
        try:
            while True:
                self._frames.extend(self._read())
                while self._frames:
                    frame = self._frames.popleft()
                    self._handlers[frame.type](frame)
        except (_Stop, EOFError, BrokenPipeError, ConnectionResetError):
            pass  # there is nobody left to tell

    def _read(self) -> list[wire.Frame]:
        if self._link.frees:
            self._send(b"")
        if self._trims or self._link.arena:
            self._set_idle_timer(self._link.arena.warm_bytes > 0)
        try:
            return self._reader.read()
        except BlockingIOError:
            self._link.arena.trim()
            return []

    def _set_idle_timer(self, on: bool) -> None:
        """A blocking read that gives up after a while: only while there is what to trim."""
        if on != self._trims:
            self._trims = on
            limit = struct.pack("ll", _IDLE_SECONDS if on else 0, 0)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    # What the owner says.

    def _configure(self, frame: wire.Frame) -> None:
        config = pickle.loads(frame.body)
        sys.path[:] = config["path"]
        if config["argv"]:
            sys.argv[:] = config["argv"]
        fd, faults = frame.fds
        # The tracebacks of a crash go where the owner can read them afterwards.
        faulthandler.enable(faults, all_threads=True)
        page = mapping.map_shared(fd, config["claims"], write=True)
        os.close(fd)
        root = mapping.exporter(page, config["claims"], lambda: None)
        self._claims = mapping.bytes_of(root, write=True).cast("Q")
        self._slot = config["slot"]
        prefer_as_victim()
        limit_threads(config["threads"])
        for name in config["preload"]:
            with contextlib.suppress(Exception):  # the task that needs it will say so
                __import__(name)
        if not config["initializer"]:
            self._send(wire.pack(wire.READY, id=os.getpid()))

    def _function(self, frame: wire.Frame) -> None:
        """Id 0 is the initializer: it is run, and nothing is answered but READY or FAILED."""
        if frame.id:
            self._functions[frame.id] = _Unloaded(frame)
            return
        try:
            initializer, arguments = self._decode(frame)
            initializer(*arguments)
        except SystemExit:
            raise
        except BaseException as error:
            failed = failure(error, "the initializer", namespace=self._namespace)
            self._send(wire.pack(wire.FAILED, pickle.dumps(failed)))
            return
        self._send(wire.pack(wire.READY, id=os.getpid()))

    def _decode(self, frame: wire.Frame) -> Any:
        return decode(bool(frame.flags & wire.RICH), memoryview(frame.body), self._link)

    def _load(self, function_id: int) -> bool:
        """Loads a function for the first task that needs it, under that task's claim: one
        that ends the process costs a task, and not one worker after the other. False when
        it was loaded before."""
        function = self._functions.get(function_id)
        if type(function) is not _Unloaded:
            return False
        try:
            self._functions[function_id] = self._decode(function.frame)
        except SystemExit:
            raise
        except BaseException as error:
            failed = failure(error, "loading the function", namespace=self._namespace)
            self._functions[function_id] = _Unusable(failed)
        return True

    def _announced(self, frame: wire.Frame) -> None:
        self._link.announced(marshal.loads(frame.body), frame.fds)

    def _freed(self, frame: wire.Frame) -> None:
        self._link.came_back(list(wire.PAIR.iter_unpack(frame.body)))

    def _forget(self, frame: wire.Frame) -> None:
        self._link.forget(frame.id)
        self._send(wire.pack(wire.FORGOTTEN, id=frame.id))

    def _freeze(self, frame: wire.Frame) -> None:
        registry.freeze(frame.id)  # known through the link, or inherited by a fork
        self._send(wire.pack(wire.FROZEN, id=frame.id))

    def _stop(self, frame: wire.Frame) -> None:
        raise _Stop

    # Tasks.

    def _task(self, frame: wire.Frame) -> None:
        received = monotonic_ns()
        # In this order. The owner does it the other way round: it writes the second word,
        # has every CPU pass a barrier, and reads the first. So either we see its word, or
        # it sees our claim (Dekker's algorithm; the barrier is paid for by the rare side).
        before, self._claims[self._slot] = self._claims[self._slot], frame.id
        while self._claims[self._slot + 1]:
            # The owner may be about to end this process for what it did last: nothing is
            # begun until it says so.
            self._claims[self._slot] = before
            self._frames.extend(self._read())
            self._claims[self._slot] = frame.id
        function_id, _ = wire.TASK_HEAD.unpack_from(frame.body)
        if function_id and self._load(function_id):
            received = monotonic_ns()  # the next task with it will not take that long
        started, outcome, bad = self._run(frame)
        finished = monotonic_ns()
        flags = wire.ERRORS if bad else 0
        try:
            draft = encode_result(outcome, self._namespace)
            rich, body = place(draft, self._link)
            del draft
        except Exception as error:
            outcome = self._unsendable(frame, outcome, bad, error)
            flags = wire.ERRORS
            rich, body = place(encode(outcome), self._link)
        # The arguments have gone by now, and so do the results: blocks go back with this.
        del outcome
        flags |= wire.RICH if rich else 0
        times = wire.TIMES.pack(received, started, finished)
        self._send(wire.pack(wire.RESULT, times + body, flags, frame.id))

    def _run(self, frame: wire.Frame) -> tuple[int, Any, bool]:
        """When it started, what came out, and whether something in it failed."""
        function_id, runner = wire.TASK_HEAD.unpack_from(frame.body)
        body = memoryview(frame.body)[wire.TASK_HEAD.size :]
        function: Any = None
        payload: Any = None
        started = monotonic_ns()
        try:
            payload = decode(bool(frame.flags & wire.RICH), body, self._link)
            if function_id:
                function = self._functions[function_id]
            else:
                function, *payload = payload
            if type(function) is _Unusable:
                return started, ({}, {0: function.failure}), True
            started = monotonic_ns()
            if runner == wire.CALL:
                args, kwargs = payload
                return started, function(*args, **kwargs), False
            items = runners.items_of(runner, payload)
            values, bad = runners.run_chunk(runners.function_for(runner, function), items)
        except SystemExit:
            raise
        except BaseException as error:
            argument = _shortened(payload) if runner == wire.CALL else ""
            name = name_of(function) if function is not None else "unpacking the task"
            return started, ({}, {0: failure(error, name, argument, self._namespace)}), True
        if not bad:
            return started, values, False
        name = name_of(function)
        failed = {
            at: failure(error, name, describe(item), self._namespace)
            for at, (error, item) in bad.items()
        }
        return started, (dict(enumerate(values)), failed), True

    def _unsendable(
        self, frame: wire.Frame, outcome: Any, bad: bool, error: Exception
    ) -> tuple[dict[int, Any], dict[int, Failure]]:
        """The result could not be sent as it is: whichever items can be are."""
        _, runner = wire.TASK_HEAD.unpack_from(frame.body)
        if runner == wire.CALL and not bad:
            return {}, {0: self._not_sent(error, outcome)}
        values, failed = outcome if bad else (dict(enumerate(outcome)), {})
        for at in list(values):
            try:
                encode(values[at], self._namespace, f"result {at} of the chunk")
            except Exception as why:
                failed[at] = self._not_sent(why, values[at])
                values[at] = None
        if not failed:  # each can be pickled, but there is no room for them together
            failed = {at: failure(error, "sending the result") for at in values}
            values = {}
        return values, failed

    def _not_sent(self, error: Exception, value: Any) -> Failure:
        if isinstance(error, errors.NotPicklable):
            cause = error
            error = errors.ResultNotPicklable(error.path, error.reason, short(value))
            error.__cause__ = cause
        return failure(error, "sending the result", namespace=self._namespace)

    # Writing.

    def _send(self, frame: bytes) -> None:
        """Writes a frame, behind what has to be said before it: news of segments that it
        refers to, and blocks that are free again. Blocks while the owner does not read."""
        link = self._link
        if not (link.new or link.frees):
            self._sock.sendall(frame)
            return
        said, fds = link.take_new()
        parts: list[bytes] = []
        for at in range(0, len(said), descriptors.MOST):
            # One call takes a limited number of descriptors: all but the last lot go now.
            if parts:
                self._write(b"".join(parts), fds[at - descriptors.MOST : at])
            lot = said[at : at + descriptors.MOST]
            parts = [wire.pack(wire.ANNOUNCE, marshal.dumps(lot), fds=len(lot))]
        frees = link.frees
        if frees:
            back = [frees.popleft() for _ in range(len(frees))]
            parts.append(wire.pack(wire.FREE, b"".join(wire.PAIR.pack(*b) for b in back)))
        last = (len(fds) - 1) // descriptors.MOST * descriptors.MOST if fds else 0
        self._write(b"".join([*parts, frame]), fds[last:])

    def _write(self, data: bytes, fds: list[int]) -> None:
        if fds:
            sent = self._sock.sendmsg([data], descriptors.rights(fds))
            if sent < len(data):
                self._sock.sendall(memoryview(data)[sent:])
        else:
            self._sock.sendall(data)


class _Unloaded:
    """Stands for a function that no task has needed yet."""

    def __init__(self, frame: wire.Frame) -> None:
        self.frame = frame


class _Unusable:
    """Stands for a function that could not be loaded in this worker."""

    def __init__(self, failed: Failure) -> None:
        self.failure = failed


def _shortened(payload: Any) -> str:
    try:
        args, kwargs = payload
    except (TypeError, ValueError):
        return ""
    described = [describe(value) for value in args]
    described += [f"{name}={describe(value)}" for name, value in kwargs.items()]
    return "; ".join(described)


def limit_threads(threads: int | None) -> None:
    """Caps the native thread pools of BLAS and OpenMP in this process.

    Libraries that are loaded later read the environment; one that is here already (after
    a fork) has to be told, which takes threadpoolctl. What it was told before the fork
    still holds.
    """
    if threads is None:
        return
    before = os.environ.get(THREAD_VARIABLES[0])
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    if "numpy" in sys.modules and before != str(threads):
        import threadpoolctl  # 10 ms that most workers do not need

        threadpoolctl.threadpool_limits(threads)


def prefer_as_victim() -> None:
    """Short of memory, the kernel's killer takes a worker before its owner or the process
    that forks workers: one task is lost then, and not the program. See proc(5)."""
    try:
        with open("/proc/self/oom_score_adj", "r+") as file:
            score = int(file.read())
            file.seek(0)
            file.write(str(min(1000, score + _VICTIM)))
    except OSError:
        pass  # no such file, or not allowed: then all are equal


# In thousandths of the machine's memory, by which a worker counts as larger than it is.
_VICTIM = 200

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def run(sock: socket.socket, namespace: Namespace = NOTHING) -> None:
    """Serves as a worker on ``sock`` and ends the process; never returns.

    Ctrl-C reaches every process of the terminal's group, and what happens then is the
    owner's decision, so SIGINT does nothing here (a handler and not SIG_IGN: programs
    that a task starts get the default back). SIGTERM ends the worker at once.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    code = 1
    try:
        Worker(sock, namespace).serve()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)
