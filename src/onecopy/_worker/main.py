"""A worker process, from its first frame to its end.

One thread, one socket, one loop: read a frame, do what it says, write the answer. Other
threads, which tasks may have started, write to the socket when they log or print. The
worker shares no lock with anybody, so a kill at any line wedges nobody:

- before the claim is written: the task is given to another worker;
- between the claim and the last byte of the result: this task is lost, no other;
- after that: nothing is lost.

The claim is one aligned 8-byte store into a page that the owner maps as well; the owner
reads it after the worker's socket has ended, when everything it wrote has been read.

Time is measured without gaps: each stretch of the loop ends where the next one begins
(``_since``), so that what a worker's tasks add up to is all of its time.
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
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic_ns
from typing import Any

from .._codec.codec import decode, encode, encode_result, place, release
from .._codec.link import Link
from .._codec.pickling import PEER
from .._memory.arena import Arena
from .._memory.registry import registry
from .._protocol import inheriting, run_items, wire
from .._protocol.config import WorkerConfig
from .._protocol.early import ROOM, Page
from .._protocol.failures import (
    Failure,
    Unloaded,
    Unusable,
    describe,
    describe_call,
    failure,
    name_of,
)
from .._protocol.identity import close_stdin, reseed
from .._protocol.import_watch import SlowImport
from .._protocol.strides import MOST, WORDS, Strides
from .._protocol.tracker import use_owners_tracker
from .._system import barrier, descriptors, mapping
from .._system.native_threads import limit_threads
from .._system.usage import SHORT, Meter, traced
from .._system.victim import prefer_as_victim
from . import ending
from .imports import NONE, Imports
from .module_state import ModuleState
from .output_capture import Voice
from .profiler import Profiler
from .unsendable import unsendable

# What has failed before a worker was ready.
IMPORT, INITIALIZER = "the main module cannot be imported in workers", "the initializer failed"
# A worker that has had nothing to do for so long gives its arena's free pages back.
_IDLE_SECONDS = 2


Initial = tuple[Callable[..., Any], tuple[Any, ...]]
"""An initializer and its arguments that a forked worker has inherited."""


@dataclass
class Inherited:
    """What a worker has from the process that it was forked from.

    Attributes:
        state: what the user's modules held before any of the program's code ran in a worker.
        of_owner: that process is a fork of the owner, and not of a fresh interpreter.
        failed: why the main module could not be imported.
        initial: the initializer, where it was inherited.
        slow: what the import of the main module cost, if that was much.
    """

    state: ModuleState = field(default_factory=ModuleState)
    of_owner: bool = False
    failed: Failure | None = None
    initial: Initial | None = None
    slow: SlowImport | None = None


class _Stop(Exception):
    """The owner wants the worker to end, or is gone."""


class Worker:
    """The loop and what it knows.

    Args:
        sock: this worker's end of its socket pair.
        inherited: None for a fresh interpreter.
    """

    def __init__(self, sock: socket.socket, inherited: Inherited | None = None) -> None:
        self._sock = sock
        self._inherited = inherited or Inherited()
        self._fresh = inherited is None
        self._initial = self._inherited.initial
        self._state = self._inherited.state
        # Values of the owner's variables; taken under the claim of the task that needs them.
        self._versions: deque[wire.Frame] = deque()
        self._reader = wire.FrameReader(sock)
        self._link = Link(Arena(), keep=True)
        self._frames: deque[wire.Frame] = deque()
        self._functions: dict[int, Any] = {}
        self._claims = memoryview(bytearray(32)).cast("Q")
        self._slot = 0
        self._page: Page | None = None
        # The last of the owner's orders to begin with nothing more that was lifted, and
        # the tasks that it has taken back.
        self._released = 0
        self._skipped: set[int] = set()
        self._cuts: dict[int, int] = {}  # where chunks end, by the task
        # What a task may raise to end the worker instead of failing by itself.
        self._ends: tuple[type[BaseException], ...] = (SystemExit,)
        self._leaves: tuple[type[BaseException], ...] = (SystemExit, _Stop)
        self._trims = False
        # When the stretch of time began that is going on; and what is said of it with the next
        # result: waiting for frames, and writing the last result.
        self._since = monotonic_ns()
        self._waited = self._blocked = 0
        self._meter = Meter()
        self._imports = Imports(self._meter.delay)
        self._imported = NONE  # what was imported before the function began
        # Held while a frame is written; by a thread of this process, and for no longer than
        # the owner needs to read. What that very thread says meanwhile (in a signal's
        # handler, or a finalizer) is written behind the frame.
        self._writing = threading.Lock()
        self._writer = 0
        self._behind: deque[bytes] = deque()
        self._task_number = 0
        self._function_at_work: Any = None
        self._profiler: Profiler | None = None
        self._voice: Voice | None = None
        self._faults = -1  # what is written there is in the errors of the tasks that are lost
        self._handlers = {
            wire.CONFIG: self._configure,
            wire.FUNCTION: self._function,
            wire.STATE: self._versions.append,
            wire.DROP_FUNCTION: lambda frame: self._functions.pop(frame.id, None),
            wire.TASK: self._task,
            wire.ANNOUNCE: self._announced,
            wire.FREE: lambda frame: self._link.came_back(list(wire.PAIR.iter_unpack(frame.body))),
            wire.FORGET: self._forget,
            wire.FREEZE: self._freeze,
            wire.CONTINUE: self._let_go,
            wire.SKIP: self._let_go,
            wire.CUT: self._cut,
            wire.SETTINGS: self._set,
            wire.STOP: self._stop,
        }
        # A child that a task forks must never read this socket.
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self._sock.close()
        if self._voice is not None:
            self._voice.restore()

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
        except OSError as error:
            # It has run into a limit, such as that of open files, and cannot read on.
            if self._faults >= 0:
                os.write(self._faults, f"{type(error).__name__}: {error}".encode())
            raise

    def _read(self) -> list[wire.Frame]:
        if self._link.frees:
            self._send(b"")
        if self._trims or self._link.arena:
            self._set_idle_timer(self._link.arena.warm_bytes > 0)
        self._meter.waits()
        try:
            return self._reader.read()
        except BlockingIOError:
            self._link.arena.trim()
            return []
        finally:
            now = monotonic_ns()
            self._waited += now - self._since
            self._since = now

    def _set_idle_timer(self, on: bool) -> None:
        """A blocking read that gives up after a while: only while there is what to trim."""
        if on != self._trims:
            self._trims = on
            limit = struct.pack("ll", _IDLE_SECONDS if on else 0, 0)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    # What the owner says.

    def _configure(self, frame: wire.Frame) -> None:
        config: WorkerConfig = pickle.loads(frame.body)
        fd, faults, desk = frame.fds
        self._faults = faults
        # The tracebacks of a crash go where the owner can read them afterwards.
        faulthandler.enable(faults, all_threads=True)
        page = mapping.map_shared(fd, config.claims, write=True)
        os.close(fd)
        root = mapping.exporter(page, config.claims, lambda: None)
        whole = mapping.bytes_of(root, write=True)
        self._claims = whole.cast("Q")
        self._slot = config.slot
        words = self._claims[config.slot : config.slot + WORDS]
        self._page = Page(words, whole[config.room : config.room + ROOM])
        barrier.register()
        prefer_as_victim()
        if config.executor:
            self._ends, self._leaves = (), (_Stop,)
        config.identity.take()
        inheriting.take_authkey(config.authkey)
        use_owners_tracker(desk)
        if config.logs or config.prints != "direct":
            self._speak(config.identity.worker, logs=config.logs, prints=config.prints)
        limit_threads(config.threads)
        if config.profile:
            self._profiler = Profiler(lambda: self._function_at_work)
        failed = self._inherited.failed
        if config.preparation is not None and self._fresh:
            try:
                slow = config.preparation.enter()
                if slow is not None and config.identity.worker == 1:
                    self._send(wire.pack(wire.SLOW, wire.SLOW_IMPORT.pack(*slow)))
            except BaseException as error:  # whatever the main module raises, SystemExit too
                failed = failure(error, "the import of the main module")
            self._state.remember()
        elif config.reseed:
            reseed()
        if failed is not None:
            self._send(wire.pack(wire.FAILED, pickle.dumps((IMPORT, failed))))
        elif not config.initializer:
            self._ready()

    def _ready(self) -> None:
        self._imports.watch()
        if self._profiler is not None:
            self._profiler.start()
        self._since, self._waited = monotonic_ns(), 0
        self._send(wire.pack(wire.READY, wire.SINCE.pack(self._since), id=os.getpid()))

    def _speak(self, worker: int, *, logs: bool, prints: str) -> None:
        """Has what this process logs, warns of and prints sent to the owner."""

        def say(kind: int, body: bytes, flags: int = 0) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # The owner is gone, and nobody hears.
                self._write(wire.pack(kind, body, flags, self._task_number))

        self._voice = Voice(
            lambda body, taken: say(wire.RECORD, body, wire.TAKEN * taken),
            lambda body: say(wire.WARNING, body),
            lambda stream, body, flushed: say(wire.TEXT, body, stream | wire.FLUSHED * flushed),
            worker,
        )
        self._voice.install(logs=logs, prints=prints)

    def _set(self, frame: wire.Frame) -> None:
        if self._voice is not None:
            self._voice.settings(frame.body)

    def _function(self, frame: wire.Frame) -> None:
        """Id 0 is the initializer, unless that was inherited: it is run, and nothing is answered
        but READY or FAILED."""
        if frame.id:
            self._functions[frame.id] = Unloaded(frame)
            return
        try:
            self._take_versions()
            initializer, arguments = self._initial or self._decode(frame)
            self._state.remember()
            initializer(*arguments)
        except SystemExit:
            raise
        except BaseException as error:
            failed = failure(error, "the initializer", namespace=PEER)
            self._end_line()
            self._send(wire.pack(wire.FAILED, pickle.dumps((INITIALIZER, failed))))
            return
        self._end_line()
        self._ready()

    def _decode(self, frame: wire.Frame, start: int = 0) -> Any:
        return decode(bool(frame.flags & wire.RICH), memoryview(frame.body)[start:], self._link)

    def _take_versions(self) -> None:
        while self._versions:
            frame = self._versions.popleft()
            (length,) = wire.LENGTH.unpack_from(frame.body)
            start = wire.LENGTH.size + length
            self._state.take(
                frame.body[wire.LENGTH.size : start], partial(self._decode, frame, start)
            )

    def _load(self, function_id: int) -> Any:
        """A function; loaded for the first task that needs it, under that task's claim: one
        that ends the process costs a task, and not one worker after the other."""
        function: Any
        try:
            function = self._decode(self._functions[function_id].frame)
        except SystemExit:
            raise
        except BaseException as error:
            failed = failure(error, "loading the function", namespace=PEER)
            function = Unusable(failed)
        self._functions[function_id] = function
        return function

    def _announced(self, frame: wire.Frame) -> None:
        self._link.announced(marshal.loads(frame.body), frame.fds)

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
        # In this order. The owner does it the other way round: it writes the second word,
        # has every CPU pass a barrier, and reads the first. So either we see its word, or
        # it sees our claim (Dekker's algorithm; the barrier is paid for by the rare side).
        before, self._claims[self._slot] = self._claims[self._slot], frame.id
        while self._claims[self._slot + 1] > self._released:
            # The owner may be about to end this process for what it did last, or to give
            # this task to another: nothing is begun until it has said which.
            self._claims[self._slot] = before
            self._look_ahead()
            self._claims[self._slot] = frame.id
        self._cuts.clear()
        if frame.id in self._skipped:
            self._claims[self._slot] = before
            self._skipped.discard(frame.id)
            release(bool(frame.flags & wire.RICH), self._payload(frame), self._link)
            return
        copied, shared = self._link.bytes_copied, self._link.bytes_shared
        decoded, started, outcome, flags = self._run(frame)
        finished = monotonic_ns()
        inside = NONE if self._imports.spent is NONE else self._imports.take()
        self._end_line()
        try:
            draft = encode_result(outcome, PEER)
            rich, body = place(draft, self._link)
            del draft
        except self._ends:
            raise
        except (Exception, SystemExit) as error:
            outcome = unsendable(frame, outcome, flags & wire.ERRORS, error, self._ends)
            flags |= wire.ERRORS
            rich, body = place(encode(outcome), self._link)
        # The arguments have gone by now, and so do the results: blocks go back with this.
        del outcome
        flags |= wire.RICH if rich else 0
        copied = self._link.bytes_copied - copied
        shared = self._link.bytes_shared - shared
        encoded = monotonic_ns()
        importing, *instead = inside
        spent = wire.SPENT.pack(
            self._since,
            decoded,
            started,
            finished,
            encoded,
            self._waited,
            self._blocked,
            self._imported[0],
            importing,
            *self._meter.took(finished - started, *instead),
            copied + len(body),
            shared,
            traced() if "tracemalloc" in sys.modules else 0,
        )
        if self._profiler is not None or self._imports.long:
            self._tell_what_was_seen()
        self._send(wire.pack(wire.RESULT, spent + body, flags, frame.id))
        self._task_number, self._function_at_work = 0, None
        self._waited, self._since = 0, monotonic_ns()
        self._blocked = self._since - encoded

    def _tell_what_was_seen(self) -> None:
        if self._profiler is not None and (seen := self._profiler.take()):
            self._send(wire.pack(wire.PROFILE, marshal.dumps(seen)))
        if self._imports.long:
            self._send(wire.pack(wire.IMPORTED, marshal.dumps(self._imports.take_long())))

    def _look_ahead(self) -> None:
        """Reads on until the owner has said how to go on; what else comes waits its turn."""
        for at, frame in enumerate(self._frames):
            if frame.type in (wire.CONTINUE, wire.SKIP, wire.CUT):
                del self._frames[at]
                self._handlers[frame.type](frame)
                return
        self._frames.extend(self._read())

    def _let_go(self, frame: wire.Frame) -> None:
        """What is to be skipped was sent before this, and not begun."""
        self._released = max(self._released, frame.id)
        self._skipped.update(number for (number,) in wire.ID.iter_unpack(frame.body))

    def _cut(self, frame: wire.Frame) -> None:
        (self._cuts[frame.id],) = wire.ID.unpack(frame.body)

    def _wait_to_go_on(self, task: int) -> int:
        """Before the next items of a chunk the owner has told us to begin with nothing more:
        waits until it has said how to go on; where the chunk ends. See ``strides``.
        """
        since, waited = self._since, self._waited
        try:
            while self._claims[self._slot + 1] > self._released:
                self._look_ahead()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise _Stop from None  # which is no failure of the function's
        # That was a part of this task's time.
        self._since, self._waited = since, waited
        return self._cuts.pop(task, MOST)

    @staticmethod
    def _payload(frame: wire.Frame) -> memoryview:
        return memoryview(frame.body)[wire.TASK_HEAD.size :]

    def _run(self, frame: wire.Frame) -> tuple[int, int, Any, int]:
        """When it had its arguments, when it started, what came out, and the flags that say
        what of it failed."""
        function_id, runner, self._task_number = wire.TASK_HEAD.unpack_from(frame.body)
        body = self._payload(frame)
        function: Any = None
        payload: Any = None
        flags = wire.ERRORS | wire.UNRUN
        decoded = started = self._since
        self._imported = NONE
        try:
            if self._versions:
                self._take_versions()
            payload = decode(bool(frame.flags & wire.RICH), body, self._link)
            decoded = started = monotonic_ns()
            flags = wire.ERRORS
            if function_id:
                function = self._functions[function_id]
                if type(function) is Unloaded:
                    function = self._load(function_id)
                    started = monotonic_ns()
            else:
                function, *payload = payload
            if self._imports.spent is not NONE:
                self._imported = self._imports.take()
            if self._meter.looks or decoded - self._since > SHORT or started > decoded:
                started = monotonic_ns()
                self._meter.begins(started - self._since)
            if type(function) is Unusable:
                return decoded, started, ({}, {0: function.failure}), flags
            self._function_at_work = function
            self._state.remember()
            if runner == wire.CALL:
                args, kwargs = payload
                return decoded, started, function(*args, **kwargs), 0
            items = run_items.items_of(runner, payload)
            call = run_items.function_for(runner, function)
            strides: Strides | None = None
            if 1 < len(items) <= MOST:
                words = self._claims[self._slot : self._slot + WORDS]
                wait = partial(self._wait_to_go_on, frame.id)
                strides = Strides(items, words, frame.id, self._released, wait)
                if frame.flags & wire.EARLY and self._page is not None:
                    call = self._page.publishing(frame.id, call, strides)
            values, bad = run_items.run_chunk(call, items, self._leaves, strides)
        except self._leaves:
            raise
        except BaseException as error:
            argument = describe_call(payload) if runner == wire.CALL else ""
            name = name_of(function) if function is not None else "unpacking the task"
            self._state.explain(error)
            failed = {0: failure(error, name, argument, PEER)}
            return decoded, started, ({}, failed), flags
        short = len(values) << wire.SHORT if strides is not None and strides.ended else 0
        if not bad:
            return decoded, started, values, short
        failed = self._failures(name_of(function), bad)
        return decoded, started, (dict(enumerate(values)), failed), flags | short

    def _failures(self, name: str, bad: run_items.Errors) -> dict[int, Failure]:
        for raised, _ in bad.values():
            self._state.explain(raised)
        return {at: failure(error, name, describe(item), PEER) for at, (error, item) in bad.items()}

    # Writing.

    def _send(self, frame: bytes) -> None:
        """Writes a frame, behind what has to be said before it: news of segments that it
        refers to, and blocks that are free again. Blocks while the owner does not read."""
        link = self._link
        if not (link.new or link.frees):
            self._write(frame)
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

    def _write(self, data: bytes, fds: list[int] | None = None) -> None:
        """Writes whole frames. Any thread; it waits while another one is writing."""
        me = threading.get_ident()
        if self._writer == me:
            self._behind.append(data)  # a record or a line: these have no descriptors
            return
        with self._writing:
            self._writer = me
            try:
                if fds:
                    sent = self._sock.sendmsg([data], descriptors.rights(fds))
                    if sent < len(data):
                        self._sock.sendall(memoryview(data)[sent:])
                else:
                    self._sock.sendall(data)
                while self._behind:
                    self._sock.sendall(self._behind.popleft())
            finally:
                self._writer = 0

    def _end_line(self) -> None:
        if self._voice is not None and self._voice.printed:
            self._voice.end_line()


def leave_interrupts() -> None:
    """SIGINT does nothing in this process from here on; a fresh interpreter begins with it
    blocked."""
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))


def run(sock: socket.socket, inherited: Inherited | None = None) -> None:
    """Serves as a worker on ``sock`` and ends the process; never returns.

    Ctrl-C reaches every process of the terminal's group, and what happens then is the
    owner's decision, so SIGINT does nothing here (a handler and not SIG_IGN: programs
    that a task starts get the default back). SIGTERM ends the worker at once.
    """
    leave_interrupts()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    of_owner = inherited is not None and inherited.of_owner
    code = 1
    try:
        close_stdin()
        ending.begin(forked=of_owner)
        try:
            Worker(sock, inherited).serve()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        # The socket is still open: the owner waits until this is done.
        ending.end(forked=of_owner)
    except BaseException:
        code = code or 1
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)
