"""Waits for many descriptors while other threads add and remove some.

``epoll`` allows that, and so does ``kqueue``. The standard library's selectors use either, but look
every descriptor up several times per change, and a round trip makes two changes. So epoll is used
directly, and selectors elsewhere.
"""

from __future__ import annotations

import select
import selectors
from typing import Protocol

Ready = tuple[int, bool, bool]  # descriptor, readable (or at its end), writable


class Poller(Protocol):
    """Thread-safe; ``wait`` is for one thread."""

    def add(self, fd: int, *, write: bool = False) -> None:
        """Watch ``fd`` for data to read, and with ``write`` for room as well."""

    def change(self, fd: int, *, write: bool) -> None:
        """Watch it for room, or not."""

    def remove(self, fd: int) -> None:
        """Stop watching ``fd``."""

    def wait(self, timeout: float | None) -> list[Ready]:
        """Block until something is ready or ``timeout`` seconds have passed."""

    def close(self) -> None:
        """Release the system's resources."""


class _Epoll:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        # Each round trip calls it: not through a method of ours.
        self.remove = self._epoll.unregister

    def add(self, fd: int, *, write: bool = False) -> None:
        self._epoll.register(fd, _IN_OUT if write else _IN)

    def change(self, fd: int, *, write: bool) -> None:
        self._epoll.modify(fd, _IN_OUT if write else _IN)

    def wait(self, timeout: float | None) -> list[Ready]:
        events = self._epoll.poll(timeout)
        return [(fd, bool(mask & ~_OUT), bool(mask & _OUT)) for fd, mask in events]

    def close(self) -> None:
        self._epoll.close()


class _Selector:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def _mask(self, write: bool) -> int:
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)

    def add(self, fd: int, *, write: bool = False) -> None:
        self._selector.register(fd, self._mask(write))

    def change(self, fd: int, *, write: bool) -> None:
        self._selector.modify(fd, self._mask(write))

    def remove(self, fd: int) -> None:
        self._selector.unregister(fd)

    def wait(self, timeout: float | None) -> list[Ready]:
        return [
            (key.fd, bool(mask & selectors.EVENT_READ), bool(mask & selectors.EVENT_WRITE))
            for key, mask in self._selector.select(timeout)
        ]

    def close(self) -> None:
        self._selector.close()


_IN = getattr(select, "EPOLLIN", 1)
_OUT = getattr(select, "EPOLLOUT", 4)
_IN_OUT = _IN | _OUT


def poller() -> Poller:
    """Return a new poller, of the best kind that the system has."""
    return _Epoll() if hasattr(select, "epoll") else _Selector()
