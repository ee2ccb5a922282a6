"""A worker process, from its first frame to its end.

One thread, one socket, one loop: read a frame, do what it says, write the answer. Other threads,
which tasks may have started, write to the socket when they log or print (see ``writer``). The
worker shares no lock with another process, so a kill at any line blocks no other process:

- before the claim is written: the task is given to another worker;
- between the claim and the last byte of the result: this task is lost, no other;
- after that: nothing is lost.

The claim is one aligned 8-byte store into a page that the owner maps as well; the owner reads it
after the worker's socket was closed and everything in it has been read.
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
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic_ns
from typing import Any

from .._codec.codec import Payload, decode, encode, encode_result, release, write_message
from .._codec.link import Link
from .._codec.pickling import PEER
from .._memory.arena import Arena
from .._memory.segment import registry
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
from .._protocol.outcome_page import OutcomePage
from .._protocol.strides import MOST, WORDS, Strides
from .._protocol.tracker import use_owners_tracker
from .._system import barrier, forking, mapping
from .._system.native_threads import limit_threads
from .._system.usage import SHORT, traced
from .._system.victim import prefer_as_victim
from . import ending, tools
from .apart import send_large
from .imports import NONE
from .module_state import ModuleState
from .orders import Orders
from .output_capture import OutputCapture
from .timing import Timing
from .unsendable import unsendable
from .writer import Writer

# The stage that failed before a worker was ready.
IMPORT, INITIALIZER = "the main module cannot be imported in workers", "the initializer failed"
# A worker that has been idle for this long returns its arena's free pages.
_IDLE_SECONDS = 2


Initial = tuple[Callable[..., Any], tuple[Any, ...]]
"""An initializer and its arguments that a forked worker has inherited."""


class Inherited:
    """State that a worker has from the process that it was forked from.

    Attributes:
        state: the contents of the user's modules before any of the program's code ran in a worker.
        of_owner: that process is a fork of the owner, and not of a fresh interpreter.
        failed: the reason why the main module could not be imported.
        initial: the initializer, if it was inherited.
        slow: the cost of importing the main module, if it was high.
    """

    def __init__(self, *, of_owner: bool = False, initial: Initial | None = None) -> None:
        self.state = ModuleState()
        self.of_owner = of_owner
        self.failed: Failure | None = None
        self.initial = initial
        self.slow: SlowImport | None = None


class _Stop(Exception):
    """The owner has told the worker to end, or is gone."""


class Worker:
    """The worker's loop and its state.

    Args:
        sock: this worker's end of its socket pair.
        inherited: None for a fresh interpreter.
    """

    def __init__(self, sock: socket.socket, inherited: Inherited | None = None) -> None:
        self._sock = sock
        self._inherited = inherited
        self._state = inherited.state if inherited is not None else ModuleState()
        self._reader = wire.FrameReader(sock)
        self._link = Link(Arena(), keep=True)
        self._writer = Writer(sock, self._link)
        self._frames: deque[wire.Frame] = deque()
        self._functions: dict[int, Any] = {}
        self._orders = Orders(self._look_ahead)
        self._page: Page | None = None
        self._outcomes: OutcomePage | None = None
        # Exceptions of a task that end the worker instead of failing the task alone.
        self._ends: tuple[type[BaseException], ...] = (SystemExit,)
        self._trims = False
        self._timing = Timing()
        self._task_number = 0
        self._output: OutputCapture | None = None
        self._faults = -1  # its contents go into the errors of lost tasks
        self._handlers = {
            wire.CONFIG: self._configure,
            wire.FUNCTION: self._function,
            wire.STATE: self._state.waiting.append,
            wire.DROP_FUNCTION: lambda frame: self._functions.pop(frame.id, None),
            wire.TASK: self._task,
            wire.RUN: self._run_calls,
            wire.ANNOUNCE: self._announced,
            wire.FREE: lambda frame: self._link.came_back(list(wire.PAIR.iter_unpack(frame.body))),
            wire.FORGET: self._forget,
            wire.FREEZE: self._freeze,
            wire.CONTINUE: self._orders.resume,
            wire.SKIP: self._orders.resume,
            wire.CUT: self._orders.cut,
            wire.SETTINGS: self._set,
            wire.STOP: self._stop,
        }
        # A child that a task forks must never read this socket.
        forking.in_child(self._forked)

    def _forked(self) -> None:
        self._sock.close()
        if self._output is not None:
            self._output.restore()

    def serve(self) -> None:
        """Run until the owner says stop or is gone."""
        if self._handle(first=True):  # the configuration
            tools.run(self._handle)

    def _handle(self, *, first: bool = False) -> bool:
        """Handle messages, or the first one; return False when the owner has said stop or is
        gone."""
        try:
            while True:
                while self._frames:
                    frame = self._frames.popleft()
                    self._handlers[frame.type](frame)
                    if first:
                        return True
                self._frames.extend(self._read())
        except (_Stop, EOFError, BrokenPipeError, ConnectionResetError):
            return False  # there is no one left to tell
        except OSError as error:
            # A limit, such as that of open files, was reached: this process cannot read on.
            if self._faults >= 0:
                os.write(self._faults, f"{type(error).__name__}: {error}".encode())
            raise

    def _read(self, *, in_task: bool = False) -> list[wire.Frame]:
        if self._link.frees:
            self._writer.send(b"")
        if self._trims or self._link.arena:
            self._set_idle_timer(self._link.arena.warm_bytes > 0)
        if not in_task:
            self._timing.meter.waits(self._timing.since)
        try:
            return self._reader.read()
        except BlockingIOError:
            self._link.arena.trim()
            return []
        finally:
            self._timing.end_wait()

    def _set_idle_timer(self, on: bool) -> None:
        """Set or clear the timeout of blocking reads; it is set only while there is something to
        trim."""
        if on != self._trims:
            self._trims = on
            limit = struct.pack("ll", _IDLE_SECONDS if on else 0, 0)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    # Messages of the owner.

    def _configure(self, frame: wire.Frame) -> None:
        config: WorkerConfig = pickle.loads(frame.body)
        fd, faults, desk = frame.fds
        self._faults = faults
        # The tracebacks of a crash go to a file that the owner can read afterwards.
        faulthandler.enable(faults, all_threads=True)
        page = mapping.map_shared(fd, config.claims, write=True)
        os.close(fd)
        root = mapping.exporter(page, config.claims, lambda: None)
        whole = mapping.bytes_of(root, write=True)
        words = whole.cast("Q")[config.slot : config.slot + WORDS]
        self._orders.words = words
        room = whole[config.room : config.room + ROOM]
        self._page = Page(words, room)
        self._outcomes = OutcomePage(words, room, self._writer.send)
        barrier.register()
        prefer_as_victim()
        if config.executor:
            self._ends = ()
        config.identity.take()
        inheriting.take_authkey(config.authkey)
        use_owners_tracker(desk)
        if config.logs or config.prints != "direct":
            self._speak(config.identity.worker, logs=config.logs, prints=config.prints)
        limit_threads(config.threads)
        if config.profile:
            self._timing.profile()
        failed = self._inherited.failed if self._inherited is not None else None
        if config.preparation is not None and self._inherited is None:
            try:
                slow = config.preparation.enter()
                if slow is not None and config.identity.worker == 1:
                    self._writer.send(wire.pack(wire.SLOW, wire.SLOW_IMPORT.pack(*slow)))
            except BaseException as error:  # anything that the main module raises, SystemExit too
                failed = failure(error, "the import of the main module")
            self._state.remember()
        elif config.reseed:
            reseed(self._state.homes)
        if failed is not None:
            self._writer.send(wire.pack(wire.FAILED, pickle.dumps((IMPORT, failed))))
        elif not config.initializer:
            self._ready()

    def _ready(self, initializing: int = 0) -> None:
        self._timing.begin()
        times = wire.READY_TIMES.pack(self._timing.since, initializing)
        self._writer.send(wire.pack(wire.READY, times, id=os.getpid()))

    def _speak(self, worker: int, *, logs: bool, prints: str) -> None:
        """Send this process's log records, warnings and printed lines to the owner."""

        def say(kind: int, body: bytes, flags: int = 0) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # The owner is gone, and nothing reads.
                self._writer.write(wire.pack(kind, body, flags, self._task_number))

        self._output = OutputCapture(
            lambda body, taken: say(wire.RECORD, body, wire.TAKEN * taken),
            lambda body: say(wire.WARNING, body),
            lambda stream, body, flushed: say(wire.TEXT, body, stream | wire.FLUSHED * flushed),
            worker,
        )
        self._output.install(logs=logs, prints=prints)

    def _set(self, frame: wire.Frame) -> None:
        if self._output is not None:
            self._output.settings(frame.body)

    def _function(self, frame: wire.Frame) -> None:
        """Take a function. Id 0 is the initializer, unless that was inherited: it is run, and the
        only answer is READY or FAILED."""
        if frame.id:
            self._functions[frame.id] = Unloaded(frame)
            return
        try:
            self._take_versions()
            initial = self._inherited.initial if self._inherited is not None else None
            initializer, arguments = initial or self._decode(frame)
            self._state.remember()
            began = monotonic_ns()
            initializer(*arguments)
        except SystemExit:
            raise
        except BaseException as error:
            failed = failure(error, "the initializer", namespace=PEER)
            self._end_line()
            self._writer.send(wire.pack(wire.FAILED, pickle.dumps((INITIALIZER, failed))))
            return
        self._end_line()
        self._ready(began)

    def _decode(self, frame: wire.Frame, start: int = 0) -> Any:
        return decode(bool(frame.flags & wire.RICH), memoryview(frame.body)[start:], self._link)

    def _take_versions(self) -> None:
        missed = [frame for frame in self._waiting_versions() if not self._take_version(frame)]
        # Of definitions that need each other, one may come before another that it needs.
        while missed:
            left = [frame for frame in missed if not self._take_version(frame)]
            if len(left) == len(missed):
                return
            missed = left

    def _waiting_versions(self) -> Iterator[wire.Frame]:
        while self._state.waiting:
            yield self._state.waiting.popleft()

    def _take_version(self, frame: wire.Frame) -> bool:
        """Return False if it may succeed later. A message in an arena can be read only once."""
        (length,) = wire.LENGTH.unpack_from(frame.body)
        start = wire.LENGTH.size + length
        head = frame.body[wire.LENGTH.size : start]
        taken = self._state.take(head, partial(self._decode, frame, start))
        return taken or bool(frame.flags & wire.RICH)

    def _load(self, function_id: int) -> Any:
        """Return a function. It is loaded for the first task that needs it, under that task's
        claim: if loading ends the process, that costs one task, and not one worker after the other.
        """
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
        self._writer.send(wire.pack(wire.FORGOTTEN, id=frame.id))

    def _freeze(self, frame: wire.Frame) -> None:
        registry.freeze(frame.id)  # known through the link, or inherited by a fork
        self._writer.send(wire.pack(wire.FROZEN, id=frame.id))

    def _stop(self, frame: wire.Frame) -> None:
        raise _Stop

    # Tasks.

    def _task(self, frame: wire.Frame) -> None:
        if not self._orders.begin(frame.id):
            release(bool(frame.flags & wire.RICH), self._payload(frame), self._link)
            return
        flags, spent, body = self._execute(frame)
        self._writer.send(wire.pack(wire.RESULT, spent + body, flags, frame.id))
        self._ended()

    def _run_calls(self, frame: wire.Frame) -> None:
        """Run the calls of a run one by one, as far as the owner does not take them back."""
        if not self._orders.begin(frame.id):
            return
        outcomes, timing = self._outcomes, self._timing
        assert outcomes is not None, "the configuration came first"
        outcomes.begin(frame.id)
        calls, wait = wire.calls_of(frame.body), partial(self._wait_to_go_on, frame.id)
        strides = Strides(calls, self._orders.words, frame.id, self._orders.released, wait)
        make, kind = tuple.__new__, wire.Frame  # what its own ``__new__`` does, without the call
        for stride in strides:
            for call in stride:
                if call:
                    one = make(kind, (wire.TASK, 0, frame.id, call, wire.NO_FDS))
                    flags, spent, body = self._execute(one)
                    self._ended()
                else:  # it was cancelled
                    flags, spent, body = wire.UNRUN, wire.NOTHING, b""
                if flags & wire.RICH:
                    outcomes.add_large(flags, spent, body)
                else:
                    outcomes.add(flags, spent, body, timing.since)
        outcomes.flush(last=True)

    def _execute(self, frame: wire.Frame) -> tuple[int, bytes, bytes]:
        """Run a task; return its result's flags, measurements and body."""
        timing = self._timing
        copied, shared = self._link.bytes_copied, self._link.bytes_shared
        decoded, started, outcome, flags = self._run(frame)
        finished = monotonic_ns()
        imports = timing.imports
        inside = NONE if imports.spent is NONE else imports.take()
        used = timing.meter.took(timing.since, started, finished, inside[1], inside[2])
        if self._output is not None and self._output.printed:
            self._output.end_line()
        try:
            message = encode_result(outcome, PEER)
            if frame.flags & wire.APART:
                send = partial(self._send_value, frame.id)
                message = send_large(message, outcome, flags & wire.ERRORS, send)
            rich, body = write_message(message, self._link)
            del message
        except self._ends:
            raise
        except (Exception, SystemExit) as error:
            outcome = unsendable(frame, outcome, flags & wire.ERRORS, error, self._ends)
            flags |= wire.ERRORS
            rich, body = write_message(encode(outcome), self._link)
        # The arguments are released by now, and so are the results: this message returns their
        # blocks.
        del outcome
        flags |= wire.RICH if rich else 0
        copied = self._link.bytes_copied - copied
        shared = self._link.bytes_shared - shared
        encoded = monotonic_ns()
        spent = wire.SPENT.pack(
            timing.since,
            decoded,
            started,
            finished,
            encoded,
            timing.waited,
            timing.blocked,
            timing.imported[0],
            inside[0],
            *used,
            copied + len(body),
            shared,
            traced() if "tracemalloc" in sys.modules else 0,
        )
        if timing.profiler is not None and (seen := timing.profiler.take()):
            self._writer.send(wire.pack(wire.PROFILE, marshal.dumps(seen)))
        if imports.long:
            long = marshal.dumps(imports.take_long())
            self._writer.send(wire.pack(wire.IMPORTED, long))
        timing.encoded = encoded
        return flags, spent, body

    def _ended(self) -> None:
        """Note that the result of a task was sent, or put where it is safe."""
        timing = self._timing
        self._task_number = 0
        timing.function = None
        timing.waited, timing.since = 0, monotonic_ns()
        timing.blocked = timing.since - timing.encoded

    def _send_value(self, task: int, at: int, value: Payload) -> None:
        rich, body = write_message(value, self._link)
        flags = (wire.RICH if rich else 0) | at << wire.SHORT
        self._writer.send(wire.pack(wire.VALUE, body, flags, task))

    def _look_ahead(self) -> None:
        """Read until the owner has answered; other frames wait."""
        for at, frame in enumerate(self._frames):
            if frame.type in (wire.CONTINUE, wire.SKIP, wire.CUT):
                del self._frames[at]
                self._handlers[frame.type](frame)
                return
        self._frames.extend(self._read(in_task=True))

    def _wait_to_go_on(self, task: int) -> int:
        """Wait until the owner has answered an order given between the items of a chunk; return the
        item that the chunk ends before. See ``strides``.
        """
        timing = self._timing
        since, waited = timing.since, timing.waited
        try:
            stop = self._orders.wait(task)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise _Stop from None  # not a failure of the function
        # The wait was part of this task's time.
        timing.since, timing.waited = since, waited
        return stop

    @staticmethod
    def _payload(frame: wire.Frame) -> memoryview:
        return memoryview(frame.body)[wire.TASK_HEAD.size :]

    def _run(self, frame: wire.Frame) -> tuple[int, int, Any, int]:
        """Run a task; return when its arguments were decoded, when it started, its outcome, and the
        flags that describe a failure."""
        function_id, call_kind, self._task_number = wire.TASK_HEAD.unpack_from(frame.body)
        body = self._payload(frame)
        function: Any = None
        payload: Any = None
        flags = wire.ERRORS | wire.UNRUN
        timing = self._timing
        decoded = started = timing.since
        timing.imported = NONE
        leaves: tuple[type[BaseException], ...] = (*self._ends, _Stop)
        try:
            if self._state.waiting:
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
            if timing.imports.spent is not NONE:
                timing.imported = timing.imports.take()
            if timing.meter.looks or decoded - timing.since > SHORT or started > decoded:
                started = monotonic_ns()
                timing.meter.begins(timing.since, started)
            if type(function) is Unusable:
                return decoded, started, ({}, {0: function.failure}), flags
            timing.function = function
            self._state.remember()
            if call_kind == wire.CALL:
                args, kwargs = payload
                return decoded, started, function(*args, **kwargs), 0
            outcome, flags = self._run_chunk(frame, call_kind, function, payload, leaves)
            return decoded, started, outcome, flags
        except leaves:
            raise
        except BaseException as error:
            argument = describe_call(payload) if call_kind == wire.CALL else ""
            name = name_of(function) if function is not None else "unpacking the task"
            self._state.explain(error)
            failed = {0: failure(error, name, argument, PEER)}
            return decoded, started, ({}, failed), flags

    def _run_chunk(
        self,
        frame: wire.Frame,
        call_kind: int,
        function: Any,
        payload: Any,
        leaves: tuple[type[BaseException], ...],
    ) -> tuple[Any, int]:
        """Run the items of a chunk; return its outcome, and the flags that describe a failure.
        Raises errors that end the worker, and errors of the chunk as a whole."""
        items = run_items.items_of(call_kind, payload)
        call = run_items.function_for(call_kind, function)
        strides: Strides | None = None
        if 1 < len(items) <= MOST:
            wait, orders = partial(self._wait_to_go_on, frame.id), self._orders
            strides = Strides(items, orders.words, frame.id, orders.released, wait)
            if frame.flags & wire.EARLY and self._page is not None:
                call = self._page.publishing(frame.id, call, strides)
        values, bad = run_items.run_chunk(call, items, leaves, strides)
        short = len(values) << wire.SHORT if strides is not None and strides.ended else 0
        if not bad:
            return values, short
        name = name_of(function)
        for raised, _ in bad.values():
            self._state.explain(raised)
        failed = {
            at: failure(error, name, describe(item), PEER) for at, (error, item) in bad.items()
        }
        return (dict(enumerate(values)), failed), wire.ERRORS | short

    def _end_line(self) -> None:
        if self._output is not None and self._output.printed:
            self._output.end_line()


def leave_interrupts() -> None:
    """Ignore SIGINT in this process from here on; in a fresh interpreter it has been blocked so
    far."""
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))


def run(sock: socket.socket, inherited: Inherited | None = None) -> None:
    """Serve as a worker on ``sock``, then end the process; never returns.

    Ctrl-C reaches every process of the terminal's group, and the owner decides what follows, so
    SIGINT does nothing here (a handler and not SIG_IGN: programs that a task starts get the default
    back). SIGTERM ends the worker at once.
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
