"""Hooks of ``Pool.map`` and ``Executor.map``: iterators that are consumed as a whole at once.

What has a length is in memory already and is left alone. ``Pool.imap`` is not looked at: it reads
only as far ahead as its pipe has room, 64 KB.
"""

from __future__ import annotations

from . import kinds, ring
from .guard import put_around
from .sites import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _endless(iterables: Any) -> str:
    """The type of the first of these that has no length; '' when all have."""
    for each in iterables:
        if not hasattr(type(each), "__len__"):
            return type(each).__name__
    return ""


def _begin(iterables: Any) -> Any:
    kind = _endless(iterables)
    if not kind:
        return None
    return kind, site(), ring.anonymous(), ring.cpu_now(), ring.now()


def _note(begun: Any, pool: Any, sort: int, count: int) -> None:
    kind, where, held, used, t0 = begun
    took = ring.now() - t0
    ring.note(
        *(kinds.EAGER, t0, took, count, max(0, ring.anonymous() - held), where, ring.name(kind)),
        *(id(pool), sort, ring.cpu_now() - used),
    )


def watch_pool(kind: Any) -> None:
    """``multiprocessing.pool.Pool``: all calls that give a list."""

    def begin(self: Any, func: Any, iterable: Any, *args: Any, **kwargs: Any) -> Any:
        return _begin((iterable,))

    def done(begun: Any, result: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        if begun is not None:
            # A place for each result, or the error of one that has failed already.
            values = getattr(result, "_value", None)
            _note(begun, self, kinds.A_POOL, len(values) if type(values) is list else 0)

    put_around(kind, "_map_async", begin, done)


def watch_executor(kind: Any, sort: int) -> None:
    """An executor: ``map`` without a ``buffersize``."""

    def begin(self: Any, fn: Any, *iterables: Any, **kwargs: Any) -> Any:
        if kwargs.get("buffersize") is not None:
            return None
        begun = _begin(iterables)
        return begun and (begun, self._queue_count)

    def done(begun: Any, _: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        if begun is not None:
            state, before = begun
            _note(state, self, sort, self._queue_count - before)

    put_around(kind, "map", begin, done)
