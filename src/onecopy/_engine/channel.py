"""The owner's end of one worker: its socket, what waits to be sent, what it is known to have.

Threads. Any thread may ``post`` and ``flush``; whoever flushes holds ``_sending``, and one
that finds it taken leaves its entry to the holder, who looks again after letting go: so
nobody waits, entries leave in the order they were posted, and none is left behind. Reading
is done by whoever holds ``receiving``: the driver, which only tries it, or a caller that
waits for its own result (``Engine.apply``) and has taken the socket out of the driver's
hands.

Sending never blocks. The worker may be writing a result and not reading; if the owner
waited for it to read, both would wait for ever.
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

from .._codec.codec import Draft, place
from .._codec.link import Link
from .._memory.arena import Arena
from .._protocol import wire
from .._protocol.log_settings import settings
from .._protocol.versions import NO_VERSIONS, Path, Version, describe
from .._schedule.events import Assignment
from .._system import descriptors
from .functions import Function
from .work import Entry

# Stands for the value of a variable that cannot follow.
NO_VALUE = b""
# A batch is written when it has grown to this.
_BATCH = 64 << 10


class Channel:
    """See the module.

    Args:
        worker: the worker's number in this pool.
        sock: the owner's end of the socket pair.
        arena: where large buffers for the worker are put.
        slot: where in the claims page the worker writes what it has begun.
        unsendable: told of an assignment that could not be sent, and why.
        want_write: told whether the socket has to be watched for room.
        versions: what the worker needs before it uses some functions and classes.
        speaks: the worker logs to the owner, and has to know its settings.
    """

    def __init__(
        self,
        worker: int,
        sock: socket.socket,
        arena: Arena,
        slot: int,
        unsendable: Callable[[Channel, Assignment, BaseException], None],
        want_write: Callable[[Channel, bool], None],
        versions: Callable[[list[Any]], tuple[Version, ...]],
        *,
        speaks: bool,
    ) -> None:
        self.worker = worker
        self.sock = sock
        self.fd = sock.fileno()
        self.slot = slot
        self.link = Link(arena, keep=False)
        self.reader = wire.FrameReader(sock)
        self.receiving = threading.Lock()
        self.pid = 0
        self.born = monotonic_ns()
        self.since = 0  # ready since then
        self.last = 0  # when it had done the last thing that is known of it
        self.muted = False  # not read until what it has said is heard
        self.ready = False
        self.ended = False
        self.orphan = False  # the zygote that made it is gone
        self.watched = False
        self.bytes_sent = 0
        # For tasks with limits, see ``limits``; and why it is ended, when we do it.
        self.sent = (0, 0.0)
        self.verdict: BaseException | None = None
        self.claimed: int | None = None
        self.holds = 0  # how often it was told to begin with nothing more
        self.broken = ""  # what it wrote that made no sense
        self._speaks = speaks
        self._told = 0  # the version of the settings
        self._functions: set[int] = set()
        # By home and path, the number of the version that the worker was sent last; and the
        # versions that it is known to have, all of them.
        self._sent_state: dict[tuple[str, Path], int] = {}
        self._in_state: tuple[Version, ...] = NO_VERSIONS
        self._versions = versions
        self._outbox: deque[Entry | bytes | Function] = deque()
        self._sending = threading.Lock()
        self._batch: list[bytes] = []
        self._size = 0
        self._fds: list[int] = []
        # Batches that were not written yet, each with the descriptors that go with it.
        self._ready: deque[tuple[bytes, list[int]]] = deque()
        self._unsendable = unsendable
        self._want_write = want_write
        self.blocked = False

    def post(self, entry: Entry | bytes | Function) -> None:
        """Puts an assignment, a ready-made frame, or the initializer behind the others."""
        self._outbox.append(entry)

    def flush(self) -> None:
        """Sends what waits, as far as the socket takes it."""
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

    def retire(self) -> None:
        """The worker ends when it has done what was posted before."""
        self.post(wire.pack(wire.STOP))

    def cut(self, assignment: int, upto: int) -> None:
        """The chunk that it is at ends before item ``upto`` of it; before ``let_go``."""
        self.post(wire.pack(wire.CUT, wire.ID.pack(upto), id=assignment))

    def let_go(self, taken_back: list[int]) -> None:
        """It may begin again, but for these, which it will not be sent the answers to."""
        body = b"".join(map(wire.ID.pack, taken_back))
        kind = wire.SKIP if taken_back else wire.CONTINUE
        self.post(wire.pack(kind, body, id=self.holds))

    def forget_function(self, function_id: int) -> None:
        """No more tasks with this function will come."""
        if function_id in self._functions:
            self._functions.discard(function_id)
            self.post(wire.pack(wire.DROP_FUNCTION, id=function_id))

    def close(self) -> None:
        """Closes the socket and lets go of what the worker held."""
        self.ended = True
        self.sock.close()
        self.reader.close()
        self.link.abandon()
        self._outbox.clear()
        self._batch.clear()
        self._ready.clear()

    # Under ``_sending``.

    def _drain(self) -> bool:
        """False when the socket is full."""
        self._mirror()
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
            if isinstance(entry, bytes):
                self._add(entry)
            elif isinstance(entry, Function):
                self._add_state(entry.versions)
                self._add_function(entry)
            else:
                self._add_task(entry)

    def _add(self, frame: bytes) -> None:
        self._batch.append(frame)
        self._size += len(frame)

    def _announce(self) -> None:
        """Segments that what comes next refers to."""
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
        """The variables that what comes next reads, as far as the worker has others."""
        if versions is self._in_state or not versions:
            return
        for version in versions:
            key = (version.home, version.path)
            if self._sent_state.get(key) != version.number:
                rich, body = place(version.draft or NO_VALUE, self.link)
                head = describe(version)
                wire.check_length(body)
                self._announce()
                body = b"".join((wire.LENGTH.pack(len(head)), head, body))
                self._add(wire.pack(wire.STATE, body, wire.RICH if rich else 0))
                self._sent_state[key] = version.number
        self._in_state = versions

    def _add_function(self, function: Function) -> None:
        assert function.draft is not None
        rich, body = place(function.draft, self.link)
        wire.check_length(body)
        self._announce()
        flags = wire.RICH if rich else 0
        self._add(wire.pack(wire.FUNCTION, body, flags, function.id))
        self._functions.add(function.id)

    def _mirror(self) -> None:
        """The worker logs and warns by the owner's settings as they are now."""
        version, body = settings.now()
        if version != self._told and self._speaks:
            self._told = version
            self._add(wire.pack(wire.SETTINGS, body))

    def _add_task(self, entry: Entry) -> None:
        assignment, work = entry.assignment, entry.work
        entry.begun = monotonic_ns()
        try:
            draft = work.draft(assignment.start, assignment.stop)
            function = work.function
            self._add_state(work.versions)
            if work.refers and isinstance(draft, Draft) and draft.references:
                # Items that are pickled as they are sent.
                self._add_state(self._versions(draft.references))
            if function is not None and function.id not in self._functions:
                self._add_function(function)
            copied, shared = self.link.bytes_copied, self.link.bytes_shared
            rich, body = place(draft, self.link)
            wire.check_length(body)
        except BaseException as error:
            self._unsendable(self, assignment, error)
            return
        if work.rules is not None:
            self.sent = (assignment.id, monotonic())
        entry.sent = monotonic_ns()
        entry.moved = self.link.bytes_copied - copied + len(body)
        entry.shared = self.link.bytes_shared - shared
        self._announce()
        function_id = function.id if function is not None else 0
        head = wire.TASK_HEAD.pack(function_id, work.runner, work.number)
        flags = wire.RICH if rich else 0
        if work.streams and entry.can_be_cut():
            flags |= wire.EARLY
        self._add(wire.pack(wire.TASK, head + body, flags, assignment.id))

    def _cut(self) -> None:
        """The batch is complete: what comes next is written by another call."""
        batch, fds = self._batch, self._fds
        self._batch, self._size, self._fds = [], 0, []
        self._ready.append((batch[0] if len(batch) == 1 else b"".join(batch), fds))

    def _write(self) -> bool:
        """Writes the batch; False when the socket took only a part of it."""
        if self._batch:
            self._cut()
        while self._ready:
            try:
                data, fds = self._ready.popleft()
            except IndexError:
                break  # ``close`` in another thread was quicker
            try:
                if fds:
                    sent = self.sock.sendmsg([data], descriptors.rights(fds), wire.NOW)
                else:
                    sent = self.sock.send(data, wire.NOW)
            except BlockingIOError:
                self._ready.appendleft((data, fds))
                return self._full(True)
            except OSError:
                self._give_up()
                return True
            self.bytes_sent += sent
            if sent < len(data):
                self._ready.appendleft((data[sent:], []))
                return self._full(True)
        if self.blocked:
            self._full(False)
        return True

    def _give_up(self) -> None:
        """Nothing more can be sent. Mostly because the worker is gone: its end is seen by
        the reader, which gives what is lost its due. If it is not (too many descriptors are
        on their way, say), it finishes what it has, meets the end and goes as well."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
        self._ready.clear()
        self._outbox.clear()

    def _full(self, full: bool) -> bool:
        if full != self.blocked:
            self.blocked = full
            self._want_write(self, full)
        return not full
