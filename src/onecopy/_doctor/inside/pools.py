"""Hooks of ``multiprocessing.pool``: pools, their pipes, and the places that give them work."""

from __future__ import annotations

from . import bursts, kinds, ring
from .eager import watch_pool
from .guard import put_around
from .messages import channel_of, channels
from .sites import site, variables
from .threads import watch_thread_pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_last: dict[int, int] = {}


def submitted(pool: Any, number: int, kind: int, method: str) -> None:
    """Note the place that gives ``pool`` work, when it is another than before.

    While messages are passed through, the place is not asked for.
    """
    identity = id(pool)
    if bursts.hot[0] > 0 and identity in _last:
        return
    where = site()
    if _last.get(identity) != where:
        _last[identity] = where
        ring.note(
            *(kinds.SUBMIT, ring.now(), number, 0, kind, where, identity, ring.name(method)),
        )
        variables(where)


def made_anew(pool: Any) -> None:
    """Forget an older pool with the same identity; record what the new one begins with."""
    _last.pop(id(pool), None)
    bursts.begin_anew()


def hook_pool(module: Any) -> None:
    kind = module.Pool

    def queues(_: Any, __: Any, self: Any) -> None:
        if hasattr(self._inqueue, "_writer"):
            channels[channel_of(self._inqueue._writer)] = kinds.TASK
            channels[channel_of(self._outqueue._reader)] = kinds.RESULT

    def of_threads(_: Any, __: Any, self: Any) -> None:
        identity = id(self)
        watch_thread_pool(self, lambda: _last.get(identity, 0))

    def closing(self: Any) -> int:
        bursts.note_passed()
        return ring.now()

    def closed(t0: int, _: Any, self: Any) -> None:
        ring.note(kinds.CLOSED, t0, id(self), ring.now() - t0)

    def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        return ring.now(), site()

    def made(begun: Any, _: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        t0, where = begun
        made_anew(self)
        if not hasattr(self._inqueue, "_writer"):
            return  # a ThreadPool
        method = ring.name(str(getattr(self._ctx, "_name", "") or ""))
        pipes = channel_of(self._inqueue._writer), channel_of(self._outqueue._reader)
        ring.note(
            *(kinds.POOL, t0, ring.now() - t0, self._processes, kinds.A_POOL, where, method),
            *(id(self), *pipes, self._maxtasksperchild or 0),
        )

    put_around(kind, "_setup_queues", None, queues)
    if hasattr(module, "ThreadPool"):
        put_around(module.ThreadPool, "_setup_queues", None, of_threads)
    put_around(kind, "__init__", begin, made)
    put_around(kind, "terminate", closing, closed)
    watch_pool(kind)
    for name in ("ApplyResult", "IMapIterator"):
        _watch_submits(getattr(module, name), name)


def _watch_submits(kind: Any, title: str) -> None:
    original = kind.__init__

    def __init__(self: Any, pool: Any, *args: Any, **kwargs: Any) -> None:
        original(self, pool, *args, **kwargs)
        try:
            submitted(pool, getattr(self, "_job", 0), kinds.A_POOL, title)
        except Exception:
            pass  # see guard.guarded; written out for speed

    kind.__init__ = __init__
