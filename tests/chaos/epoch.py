"""One pool of a chaos run, and whether it is on its way out.

A run has several pools, one after another, and for a while two: errors that only the end of
a pool justifies are judged by the pool that a task was given to.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import onecopy as oc
from onecopy.errors import PoolClosed


class Epoch:
    """See the module.

    Attributes:
        pool: the pool.
        closing: it may refuse work.
        terminated: what it was given may have been given up.
        on_hosts: its tasks cannot write to memory of the owner's.
    """

    def __init__(self, pool: oc.Pool, *, on_hosts: bool = False) -> None:
        self.pool = pool
        self.on_hosts = on_hosts
        self.closing = False
        self.terminated = False
        self._streams = 0
        self._changed = threading.Condition()

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """While items are taken from an iterable: the pool is not closed meanwhile, because
        a closed one takes what is left of them in ``join``, one thread at a time."""
        with self._changed:
            if self.closing:
                raise PoolClosed("about to be closed")
            self._streams += 1
        try:
            yield
        finally:
            with self._changed:
                self._streams -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """No more work; blocks while items are taken from somewhere."""
        with self._changed:
            self.closing = True
            self._changed.wait_for(lambda: not self._streams)
        self.pool.close()

    def terminate(self) -> None:
        """Gives up what it has."""
        self.closing = self.terminated = True
        self.pool.terminate()
