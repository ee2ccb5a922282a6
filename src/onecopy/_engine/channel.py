"""The owner's end of one worker's socket: the send queue, and a record of what was sent.

Threads. Any thread may ``post`` and ``flush``. The thread that flushes holds ``_sending``; a thread
that finds it taken leaves its entry to the holder, which looks again after releasing it. So no
thread waits, entries leave in the order they were posted, and none is left behind. Reading is done
by the thread that holds the worker's ``receiving`` (``worker_handle``).

Sending never blocks. The worker may be writing a result and not reading; if the owner waited for it
to read, both would wait for ever.
"""

from __future__ import annotations

import contextlib
import marshal
import socket
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from .._codec.codec import Encoded, write_message
from .._codec.link import Link
from .._memory.arena import Arena
from .._protocol import wire
from .._protocol.log_settings import settings
from .._protocol.versions import NO_VERSIONS, Path, Version, describe
from .._schedule.events import Assignment
from .._system import descriptors
from .functions import Function
from .runs import Run
from .work import Entry

# The value of a variable that cannot be followed.
NO_VALUE = b""
# A batch is written when it reaches this size.
_BATCH = 64 << 10


class Forget:
    """Posted when no more tasks with a function will come."""

    __slots__ = ("function",)

    def __init__(self, function: int) -> None:
        self.function = function


Posted = Entry | bytes | Function | Forget


class Contents:
    """A record of what a worker has been sent and keeps; changed by the sending thread.

    Attributes:
        functions: their ids.
        versions: of variables: the number of the last one sent, by home and path.
        state: a set of versions all of which the worker is known to have.
        settings: the version of the log settings.
    """

    __slots__ = ("functions", "settings", "state", "versions")

    def __init__(self) -> None:
        self.functions: set[int] = set()
        self.versions: dict[tuple[str, Path], int] = {}
        self.state: tuple[Version, ...] = NO_VERSIONS
        self.settings = 0


class Channel:
    """See the module.

    Args:
        number: the worker's number in this pool.
        sock: the owner's end of the socket pair.
        arena: where large buffers for the worker are put.
        unsendable: called with an assignment that could not be sent, and the reason.
        want_write: called when the worker's socket must be watched for room, or no more.
        versions: returns what the worker needs before it uses given functions and classes.
        speaks: the worker logs to the owner, and needs its settings.
    """

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        arena: Arena,
        *,
        unsendable: Callable[[int, Assignment, BaseException], None],
        want_write: Callable[[int, bool], None],
        versions: Callable[[list[Any]], tuple[Version, ...]],
        speaks: bool,
    ) -> None:
        self.number = number
        self.sock = sock
        self.fd = sock.fileno()
        self.link = Link(arena, keep=False)
        self.reader = wire.FrameReader(sock)
        self.bytes_sent = 0
        self.sent = (0, 0.0)  # the last task with limits; see ``limits``
        self.ended = False
        self.blocked = False
        self._speaks = speaks
        self._contents = Contents()
        self._versions = versions
        self._unsendable = unsendable
        self._want_write = want_write
        self._outbox: deque[Posted] = deque()
        self._sending = threading.Lock()
        self._batch: list[bytes] = []
        self._size = 0
        self._fds: list[int] = []
        # Batches not yet written, each with its descriptors.
        self._ready: deque[tuple[bytes, list[int]]] = deque()

    def post(self, entry: Posted) -> None:
        """Put something behind what is already waiting; ``flush`` sends it."""
        self._outbox.append(entry)

    def flush(self) -> None:
        """Send what is waiting, as far as the socket takes it."""
        link = self.link
        while (self._outbox or self._batch or self._ready or link.frees) and not self.ended:
            if not self._sending.acquire(blocking=False):
                return
            try:
                done = self._drain()
            finally:
                self._sending.release()
            if not done:
                return

    def forget_function(self, function_id: int) -> None:
        """Tell the worker to drop a function. What was posted before is sent first, with the
        function if the worker does not have it."""
        self._outbox.append(Forget(function_id))

    def traffic(self) -> tuple[int, int, int, int]:
        """Return bytes sent, received, copied into arenas, and passed by reference, so far."""
        link = self.link
        return self.bytes_sent, self.reader.bytes_read, link.bytes_copied, link.bytes_shared

    def close(self) -> None:
        """Close the socket and release what the worker held."""
        self.ended = True
        self.sock.close()
        self.reader.close()
        self.link.abandon()
        self._outbox.clear()
        self._batch.clear()
        self._ready.clear()

    # With ``_sending`` held.

    def _drain(self) -> bool:
        """Send entries; return False when the socket is full."""
        self._send_log_settings()
        frees = self.link.frees
        if frees:
            back = [frees.popleft() for _ in range(len(frees))]
            self._add(wire.pack(wire.FREE, b"".join(wire.PAIR.pack(*block) for block in back)))
        while True:
            if (self._size >= _BATCH or self._ready) and not self._write():
                return False
            try:
                entry = self._outbox.popleft()
            except IndexError:
                return self._write()
            if isinstance(entry, Entry):
                if type(entry.work) is Run:
                    self._add_run(entry, entry.work)
                else:
                    self._add_task(entry)
            elif isinstance(entry, bytes):
                self._add(entry)
            elif isinstance(entry, Function):
                self._add_state(entry.versions)
                self._add_function(entry)
            elif entry.function in self._contents.functions:
                self._contents.functions.discard(entry.function)
                self._add(wire.pack(wire.DROP_FUNCTION, id=entry.function))

    def _add(self, frame: bytes) -> None:
        self._batch.append(frame)
        self._size += len(frame)

    def _announce(self) -> None:
        """Send the descriptors of new segments that the next message refers to."""
        if not self.link.new:
            return
        said, fds = self.link.take_new()
        for at in range(0, len(said), descriptors.MOST):
            some = fds[at : at + descriptors.MOST]
            if self._fds and len(self._fds) + len(some) > descriptors.MOST:
                self._cut()  # one call takes a limited number of descriptors
            body = marshal.dumps(said[at : at + descriptors.MOST])
            self._add(wire.pack(wire.ANNOUNCE, body, fds=len(some)))
            self._fds += some

    def _add_state(self, versions: tuple[Version, ...]) -> None:
        """Send the variables that the next message reads, unless the worker has them."""
        contents = self._contents
        if versions is contents.state or not versions:
            return
        for version in versions:
            key = (version.home, version.path)
            if contents.versions.get(key) != version.number:
                rich, body = write_message(version.encoded or NO_VALUE, self.link)
                head = describe(version)
                wire.check_length(body)
                self._announce()
                body = b"".join((wire.LENGTH.pack(len(head)), head, body))
                self._add(wire.pack(wire.STATE, body, wire.RICH if rich else 0))
                contents.versions[key] = version.number
        contents.state = versions

    def _add_function(self, function: Function) -> None:
        assert function.encoded is not None
        rich, body = write_message(function.encoded, self.link)
        wire.check_length(body)
        self._announce()
        flags = wire.RICH if rich else 0
        self._add(wire.pack(wire.FUNCTION, body, flags, function.id))
        self._contents.functions.add(function.id)

    def _send_log_settings(self) -> None:
        """Send the owner's log levels and warning filters if they have changed."""
        version, body = settings.now()
        if version != self._contents.settings and self._speaks:
            self._contents.settings = version
            self._add(wire.pack(wire.SETTINGS, body))

    def _add_task(self, entry: Entry) -> None:
        assignment, work, link = entry.assignment, entry.work, self.link
        entry.begun = monotonic_ns()
        try:
            encoded = work.encoded(assignment.start, assignment.stop)
            function = work.function
            if work.versions is not self._contents.state:
                self._add_state(work.versions)
            if work.refers and isinstance(encoded, Encoded) and encoded.references:
                # Items that are pickled as they are sent.
                self._add_state(self._versions(encoded.references))
            if function is not None and function.id not in self._contents.functions:
                self._add_function(function)
            copied, shared = link.bytes_copied, link.bytes_shared
            if type(encoded) is bytes:
                rich, body = False, encoded
            else:
                rich, body = write_message(encoded, link)
                wire.check_length(body)
        except BaseException as error:
            self._unsendable(self.number, assignment, error)
            return
        if work.rules is not None:
            self.sent = (assignment.id, monotonic())
        entry.sent = monotonic_ns()
        entry.moved = link.bytes_copied - copied + len(body)
        entry.shared = link.bytes_shared - shared
        if link.new:
            self._announce()
        function_id = function.id if function is not None else 0
        flags = wire.RICH if rich else 0
        if work.streams and entry.can_be_cut():
            flags |= wire.EARLY
        if work.apart:
            flags |= wire.APART
        frame = wire.pack_task(flags, assignment.id, function_id, work.call_kind, work.number, body)
        self._batch.append(frame)
        self._size += len(frame)

    def _add_run(self, entry: Entry, run: Run) -> None:
        entry.begun = monotonic_ns()
        function = run.function
        assert function is not None, "a call without one is in no run"
        try:
            if run.versions is not self._contents.state:
                self._add_state(run.versions)
            if function.id not in self._contents.functions:
                self._add_function(function)
            known, pack = function.id, wire.pack_call
            calls = [
                wire.NO_CALL if call is None else pack(known, call.number, call.message)
                for call in run.calls
            ]
        except BaseException as error:
            self._unsendable(self.number, entry.assignment, error)
            return
        entry.sent = monotonic_ns()
        self._add(wire.pack(wire.RUN, b"".join(calls), id=entry.assignment.id))

    def _cut(self) -> None:
        """End the batch: what comes next is written by another call."""
        batch, fds = self._batch, self._fds
        self._batch, self._size, self._fds = [], 0, []
        self._ready.append((batch[0] if len(batch) == 1 else b"".join(batch), fds))

    def _write(self) -> bool:
        """Write the batch; return False if the socket took only part of it."""
        if self._batch:
            self._cut()
        while self._ready:
            try:
                data, fds = self._ready.popleft()
            except IndexError:
                break  # ``close`` in another thread came first
            try:
                if fds:
                    sent = self.sock.sendmsg([data], descriptors.rights(fds), wire.NOW)
                else:
                    sent = self.sock.send(data, wire.NOW)
            except BlockingIOError:
                self._ready.appendleft((data, fds))
                return self._full(True)
            except OSError:
                self._shut_down()
                return True
            self.bytes_sent += sent
            if sent < len(data):
                self._ready.appendleft((data[sent:], []))
                return self._full(True)
        if self.blocked:
            self._full(False)
        return True

    def _shut_down(self) -> None:
        """Shut the socket down for sending, because sending failed. In most cases the worker has
        died: the reader sees its end and deals with what is lost. If it lives (too many descriptors
        in flight, say), it finishes what it has, meets the end of the stream and exits."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self._ready.clear()
        self._outbox.clear()

    def _full(self, full: bool) -> bool:
        if full != self.blocked:
            self.blocked = full
            self._want_write(self.number, full)
        return not full
