"""An agent's messages to the driver, in order: items of any thread, sent by one thread.

Whatever has come while the last message was written goes into the next one, so a thousand small
results take a few messages.
"""

from __future__ import annotations

import pickle
import queue
import threading
from collections.abc import Callable
from typing import Any

from .._protocol.failures import failure, said
from ..errors import RemoteError
from .bulk import Bulk
from .connection import Connection
from .interface import Item
from .large_results import messages

# Items of one message, at most.
_MOST = 1000


class Outbox:
    """See the module. ``put`` may be called in any thread.

    Args:
        connection: to the driver.
        bulk: the stream for large parts of results; None: they go in messages.
        lost: called, in the sending thread, when nothing more can be sent: the driver has gone, as a rule.
    """

    def __init__(self, connection: Connection, bulk: Bulk | None, lost: Callable[[], None]) -> None:
        self._connection = connection
        self._bulk = bulk
        self._lost = lost
        self._queue: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="onecopy-outbox", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, *item: Any) -> None:
        """Say something after what was said before."""
        self._queue.put(item)

    def close(self) -> None:
        """Send what is left; then the thread ends."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (items := self._next()) is not None:
                for message, parts in messages(items, streams=self._bulk is not None):
                    self._connection.send(message)
                    for part in parts:
                        assert self._bulk is not None
                        self._bulk.put(part)
                        del part
                del items, message, parts  # blocks of workers are returned now
        except OSError:  # the driver has gone
            self._lost()
        except BaseException:  # a bug, or no memory: the driver must not wait for what is not sent
            self._lost()
            raise

    def _next(self) -> list[Item] | None:
        item = self._queue.get()
        items: list[Item] = []
        while item is not None:
            items.append(item)
            if len(items) >= _MOST:
                return items
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return items
        if items:
            self._queue.put(None)
        return items or None


def packed(error: BaseException) -> bytes:
    """Return an error of the engine as bytes; at least its text, if it cannot be pickled."""
    try:
        return pickle.dumps(error, 5)
    except Exception:  # raised by an attribute of a user's class
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        return pickle.dumps(RemoteError(name, said(error)), 5)


def caused(error: BaseException | None) -> Any:
    """Return the cause of an error as ``failures.failure`` describes it; None if it has none."""
    return None if error is None else failure(error, "the start of the pool")
