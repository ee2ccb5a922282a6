"""The messages of one host in order, and large parts of its results beside them.

Where a host has a stream for bytes of segments, the large parts of its results come over it the other
way, one after another, as ``lands`` announces them. A thread of its own reads them to their places. A
result of which some bytes are still on their way holds up what the host has said after it: so all is
handled in the order in which it was said, by one thread at a time.

Why no thread waits for ever: the carrier's thread never waits here, and the reading thread waits for bytes
alone. The host sends all of a result's bytes before it says that the result has ended. If the host is lost,
its stream ends, and what was held up is dropped, like all that has not come.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

from ..errors import NotEnoughMemory
from .bulk import Bulk
from .interface import Item
from .large_results import Key, Landing, Landings, key_of

Due = tuple[Key, Landing | int]
"""Parts of a result that come next: where they belong, or their size if there is no room for them."""


class Inbox:
    """See the module. Any thread.

    Attributes:
        landings: large results that have come, and have not ended.
    """

    def __init__(self) -> None:
        self.landings: Landings = {}
        self._bulk: Bulk | None = None
        self._take: Callable[[list[Item]], None] | None = None
        self._broken: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._messages: deque[list[Item]] = deque()
        self._busy = False  # a thread handles messages
        self._coming: set[Key] = set()  # not all of their bytes are here
        self._due: queue.SimpleQueue[Due | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None

    def open(
        self,
        bulk: Bulk | None,
        take: Callable[[list[Item]], None],
        broken: Callable[[], None],
    ) -> None:
        """Begin.

        Args:
            bulk: the host's stream; None: all comes with the messages.
            take: handles a message, in one thread at a time.
            broken: called if the stream has ended: the host cannot be used any more.
        """
        self._bulk, self._take, self._broken = bulk, take, broken

    def received(self, items: list[Item]) -> None:
        """Handle a message, after those before it. It may be handled later, by another thread."""
        with self._lock:
            self._messages.append(items)
            if self._busy:
                return
            self._busy = True
        self._handle()

    def _handle(self) -> None:
        """Handle messages until there is none, or the next one has to wait. ``_busy`` is set."""
        assert self._take is not None
        while True:
            with self._lock:
                if not self._messages or any(map(self._waits, self._messages[0])):
                    self._busy = False
                    return
                items = self._messages.popleft()
            self._take(items)
            del items

    def _waits(self, item: Item) -> bool:
        return (
            item[0] in ("ended", "value")
            and item[-1].stream is None
            and key_of(item) in self._coming
        )

    def lands(self, key: Key, sizes: list[int]) -> None:
        """The large parts of a result come."""
        due: Landing | int
        try:
            due = self.landings[key] = Landing(sizes)
        except NotEnoughMemory as error:
            self.landings[key] = error.with_traceback(None)
            due = sum(sizes)
        if self._bulk is not None:
            with self._lock:
                self._coming.add(key)
            self._due.put((key, due))
            if self._reader is None:
                self._reader = threading.Thread(
                    target=self._read, args=(self._bulk,), name="onecopy-results", daemon=True
                )
                self._reader.start()

    def close(self) -> None:
        """The host has gone: nothing is handled any more."""
        with self._lock:
            self._messages.clear()
        self.landings.clear()
        self._due.put(None)

    def _read(self, bulk: Bulk) -> None:
        assert self._broken is not None
        try:
            self._read_all(bulk)
        except EOFError:  # the host ends, or its link has failed
            self._broken()
        except BaseException:  # a bug: what the host has is given to others
            self._broken()
            raise

    def _read_all(self, bulk: Bulk) -> None:
        while (due := self._due.get()) is not None:
            key, where = due
            if isinstance(where, Landing):
                where.read(bulk)
            else:
                bulk.skip(where)
            del due, where  # a result is not kept while nothing comes
            with self._lock:
                self._coming.discard(key)
                goes_on = bool(self._messages) and not self._busy
                self._busy = self._busy or goes_on
            if goes_on:
                self._handle()
