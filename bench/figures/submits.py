"""Many small futures: 20,000 ``submit``s, then every result.

``ProcessPoolExecutor`` and loky are used as the documents of ``concurrent.futures`` show;
``multiprocessing.Pool`` and mpire have ``apply_async`` instead, which is the same thing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Sense, Size

TASKS = 20_000

Make = Callable[[int], AbstractContextManager[Any]]


def echo(value: int) -> int:
    """The task."""
    return value


@contextmanager
def _futures(make: Make) -> Iterator[Sample]:
    with make(pools.count()) as pool:

        def sample() -> float:
            start = time.perf_counter()
            futures = [pool.submit(echo, number) for number in range(TASKS)]
            results = [future.result() for future in futures]
            taken = time.perf_counter() - start
            assert results == list(range(TASKS))
            return taken

        yield sample


@contextmanager
def _asynchronous(make: Make) -> Iterator[Sample]:
    with make(pools.count()) as pool:

        def sample() -> float:
            start = time.perf_counter()
            waiting = [pool.apply_async(echo, (number,)) for number in range(TASKS)]
            results = [one.get() for one in waiting]
            taken = time.perf_counter() - start
            assert results == list(range(TASKS))
            return taken

        yield sample


def contenders(_: Size) -> list[Contender]:
    return [
        Contender(pools.POOL, lambda: _asynchronous(pools.standard_pool)),
        Contender(pools.EXECUTOR, lambda: _futures(pools.executor)),
        Contender(pools.MPIRE, lambda: _asynchronous(pools.mpire), rounds=2, warm=0),
        Contender(pools.LOKY, lambda: _futures(pools.loky), rounds=2, warm=0),
        Contender(pools.ONECOPY, lambda: _futures(pools.onecopy_pool)),
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"{TASKS:,} submits and results, times ProcessPoolExecutor's rate",
            Sense.AT_LEAST,
            8,
            (pools.ONECOPY,),
            (pools.EXECUTOR,),
        )
    ]


FIGURE = Figure(
    "submits",
    f"{TASKS:,} tasks submitted one by one, then all results; seconds for all",
    contenders,
    bars,
)
