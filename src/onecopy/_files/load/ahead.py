"""Decoding by threads, ahead of what is written into shared memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ..._system.cpus import cpu_count
from .interface import library

T = TypeVar("T")

# One thread reads and writes what they decode: that is about a fifth of the work.
_MOST = 8


def threads_for_decoding() -> int:
    """Return the number of threads: 1 in a worker of a pool that has one on each CPU, where Arrow was
    told so by ``OMP_NUM_THREADS``."""
    count: int = library("pyarrow", "arrow").cpu_count()
    return min(count, cpu_count(), _MOST)


def ahead(items: Iterator[T], count: int = 2) -> Iterator[T]:
    """Yield the same items; a thread makes up to ``count`` of them before they are wanted.

    One thread at a time is in ``items``, so nothing is locked; a ``next`` that was asked for is waited
    for at the end. An exception comes in its place.
    """
    end = object()
    waiting: deque[Future[T | object]] = deque()
    with ThreadPoolExecutor(1, "onecopy-ahead") as thread:
        while True:
            while len(waiting) < count:
                waiting.append(thread.submit(next, items, end))
            item = waiting.popleft().result()
            if item is end:
                return
            yield item  # type: ignore[misc]  # it is not the end
