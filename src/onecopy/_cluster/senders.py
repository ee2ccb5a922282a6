"""The threads that send to the hosts, and what waits to be sent to each.

One thread at a time sends to all hosts. A thread that has to wait for a host (for room in its socket, for
an answer, for many bytes to go) first lets another one take over. So there are as many threads as hosts
are waited for at once, and one more. With a thread for each host, many of them would wait for
the interpreter's lock for most of the time: 256 hosts cost twice as much per task as 4.

Callers and the table only append to a line; nothing waits for the threads.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from .._engine.work import Entry
from .._system.interrupts import Uninterrupted

Posted = Entry | tuple[Any, ...]
"""An assignment, or an item for the agent."""


class Line:
    """The things that wait to be sent to one host, in order.

    Args:
        senders: the threads.

    Attributes:
        items: appended to by any thread; taken by the one that sends.
        due: a thread sends it, or will. Written with the senders' lock.
        send: sends what waits. Returns True if its thread has not stepped aside meanwhile.
    """

    __slots__ = ("_senders", "due", "items", "send")

    def __init__(self, senders: Senders) -> None:
        self._senders = senders
        self.items: deque[Posted] = deque()
        self.due = True  # until it is opened
        self.send: Callable[[], bool] = _not_open

    def open(self, send: Callable[[], bool]) -> None:
        """Begin to send what waits."""
        self.send = send
        self.due = False
        self._senders.add(self)

    def append(self, posted: Posted) -> None:
        """Put something behind the others; ``flush`` has it sent. Never blocks."""
        self.items.append(posted)

    def flush(self) -> None:
        """Call a thread that sends what waits."""
        # A thread that finds nothing more looks again with the lock, and sees what came before this.
        if not self.due:
            self._senders.add(self)

    def step_aside(self) -> bool:
        """Let another thread send to the other hosts; see ``Senders``."""
        return self._senders.step_aside()

    def put(self, posted: Posted) -> None:
        """Put something behind the others, and have it sent."""
        # ``append`` and ``flush`` are for callers that see to that themselves.
        with Uninterrupted():
            self.items.append(posted)
            self.flush()


class Senders:
    """See the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: deque[Line] = deque()
        self._leads = False  # a thread takes lines
        self._parked = 0  # threads that wait to be called
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the first thread. Raises RuntimeError if there can be no more threads."""
        self._start()

    def add(self, line: Line) -> None:
        """Call a thread that sends what waits in a line. Any thread; it never waits for a host."""
        with self._lock:
            if not (line.due or self._closed):
                line.due = True
                self._due.append(line)
                self._appoint()

    def step_aside(self) -> bool:
        """Let another thread send to the other hosts. Called by the thread that sends, before it waits.

        Returns False if there can be no more threads: then the other hosts wait too.
        """
        with self._lock:
            if self._closed:
                return False
            if not self._parked:
                try:
                    self._start()
                except RuntimeError:
                    return False
            self._leads = False
            self._appoint()
        return True

    def close(self) -> None:
        """End the threads, and wait for them. The hosts have gone: none of them waits for long."""
        with self._lock:
            self._closed = True
            self._due.clear()
            for _ in self._threads:
                self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def after_fork(self) -> None:
        """Forget the threads, in a forked child: nothing is sent there."""
        self._lock = threading.Lock()
        self._leads = True

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="onecopy-to-hosts", daemon=True)
        thread.start()
        self._threads.append(thread)
        self._parked += 1

    def _appoint(self) -> None:
        """Call a thread if one is needed. With the lock held."""
        if self._due and not self._leads:
            self._leads = True
            self._parked -= 1
            self._calls.put(None)

    def _run(self) -> None:
        while True:
            self._calls.get()
            if self._closed:
                return
            self._lead()

    def _lead(self) -> None:
        """Send to the hosts until nothing is due, or until this thread has stepped aside."""
        leads = True
        while leads:
            with self._lock:
                if not self._due:
                    self._leads = False
                    self._parked += 1
                    return
                line = self._due.popleft()
            leads = line.send()
            with self._lock:
                if not leads:
                    self._parked += 1
                # Before the look at what waits: who appends after it must find this.
                line.due = False
                if line.items and not self._closed:
                    line.due = True
                    self._due.append(line)  # behind the others
                    self._appoint()


def _not_open() -> bool:
    raise AssertionError("the line is not open")
