"""A plain array of 100 MB as an argument.

The task reads one element of every page, so that a pool that maps memory instead of copying it
pays for its page faults inside the time. One worker each: a second one would have nothing
to do; joblib alone has two, since ``n_jobs=1`` means no process at all.

Warm: calls have been made just before. Cold: the first such call of a new pool that has
answered a small task. Pool, executor and mpire get the array as their interfaces take it.
joblib writes an argument of more than 1 MB to a file that its workers map ("Automated array
to memmap conversion" in its documents); it is left to that. It writes an array object once
and refers to the file from then on, whatever the array holds by then (joblib#294), so its
warm calls move no bytes at all: compare its first call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from .. import pools
from ..face import MB, Bar, Contender, Figure, Sample, Sense, Size, per_call

NBYTES = 100 * MB
CALLS = 3
PAGE = 4096 // 8
COLD = "{}, first call"

Make = Callable[[int], AbstractContextManager[Any]]
Call = Callable[[Any, np.ndarray], float]


def make() -> np.ndarray:
    return np.arange(NBYTES // 8, dtype=float)


def read(array: np.ndarray) -> float:
    """The task: one element of every page."""
    return float(array[::PAGE].sum())


def nothing() -> None:
    """The work that a cold pool has done before."""


def by_apply(pool: Any, array: np.ndarray) -> float:
    return pool.apply(read, (array,))


def by_submit(pool: Any, array: np.ndarray) -> float:
    return pool.submit(read, array).result()


def ready(pool: Any) -> None:
    (pool.submit(nothing).result if hasattr(pool, "submit") else lambda: pool.apply(nothing))()


@contextmanager
def _warm(pool_of: Make, call: Call) -> Iterator[Sample]:
    array = make()
    with pool_of(1) as pool:
        yield lambda: per_call(lambda: call(pool, array), CALLS, before=1)


@contextmanager
def _cold(pool_of: Make, call: Call) -> Iterator[Sample]:
    array = make()

    def sample() -> float:
        with pool_of(1) as pool:
            ready(pool)
            return per_call(lambda: call(pool, array), 1)

    yield sample


@contextmanager
def _joblib() -> Iterator[Sample]:
    from joblib import Parallel, delayed

    array = make()
    with Parallel(n_jobs=2) as parallel:
        yield lambda: per_call(lambda: parallel([delayed(read)(array)]), CALLS, before=1)


@contextmanager
def _joblib_cold() -> Iterator[Sample]:
    from joblib import Parallel, delayed

    array = make()

    def sample() -> float:
        with Parallel(n_jobs=2) as parallel:
            parallel(delayed(nothing)() for _ in range(2))
            return per_call(lambda: parallel([delayed(read)(array)]), 1)

    yield sample


def contenders(_: Size) -> list[Contender]:
    cold_ours, cold_theirs = COLD.format(pools.ONECOPY), COLD.format(pools.EXECUTOR)
    return [
        Contender(pools.POOL, lambda: _warm(pools.standard_pool, by_apply)),
        Contender(pools.EXECUTOR, lambda: _warm(pools.executor, by_submit)),
        Contender(pools.MPIRE, lambda: _warm(pools.mpire, by_apply)),
        Contender(pools.LOKY, _joblib),
        Contender(pools.ONECOPY, lambda: _warm(pools.onecopy_pool, by_apply)),
        Contender(cold_theirs, lambda: _cold(pools.executor, by_submit)),
        Contender(COLD.format(pools.LOKY), _joblib_cold),
        Contender(cold_ours, lambda: _cold(pools.onecopy_pool, by_apply)),
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            "100 MB argument, warm, of ProcessPoolExecutor's time",
            Sense.AT_MOST,
            1 / 8,
            (pools.ONECOPY,),
            (pools.EXECUTOR,),
        ),
        Bar(
            "100 MB argument, cold, of ProcessPoolExecutor's time",
            Sense.AT_MOST,
            1 / 3,
            (COLD.format(pools.ONECOPY),),
            (COLD.format(pools.EXECUTOR),),
        ),
    ]


FIGURE = Figure(
    "argument",
    "a plain array of 100 MB as an argument; per call",
    contenders,
    bars,
)
