"""One call, there and back: what a task costs that does nothing.

Every pool is asked in the way that its documents show for a single call whose result is
waited for: ``apply`` where there is one, ``submit(...).result()`` otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Sense, Size, per_call

CALLS = 500


def echo(value: int) -> int:
    """The task."""
    return value


@contextmanager
def _by_apply(make: Callable[[int], AbstractContextManager[Any]]) -> Iterator[Sample]:
    with make(pools.count()) as pool:
        yield lambda: per_call(lambda: pool.apply(echo, (1,)), CALLS, before=50)


@contextmanager
def _by_submit(make: Callable[[int], AbstractContextManager[Any]]) -> Iterator[Sample]:
    with make(pools.count()) as pool:
        yield lambda: per_call(lambda: pool.submit(echo, 1).result(), CALLS, before=50)


def contenders(_: Size) -> list[Contender]:
    return [
        Contender(pools.POOL, lambda: _by_apply(pools.standard_pool)),
        Contender(pools.EXECUTOR, lambda: _by_submit(pools.executor)),
        Contender(pools.MPIRE, lambda: _by_apply(pools.mpire)),
        Contender(pools.LOKY, lambda: _by_submit(pools.loky)),
        Contender(pools.ONECOPY, lambda: _by_apply(pools.onecopy_pool)),
        Contender(f"{pools.ONECOPY}, submit", lambda: _by_submit(pools.onecopy_pool)),
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            "round trip of apply, of multiprocessing.Pool's",
            Sense.AT_MOST,
            0.6,
            (pools.ONECOPY,),
            (pools.POOL,),
        )
    ]


FIGURE = Figure(
    "round_trip",
    f"one call that does nothing, waited for; per call, over {CALLS} calls",
    contenders,
    bars,
)
