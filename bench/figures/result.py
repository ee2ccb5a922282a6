"""An array of 100 MB as a result: the way back alone.

The worker has made the array before, in a call that is not timed, and keeps it: what is
timed is its transport, not the making. The caller reads one element of every page, so that
mapped memory pays for its page faults inside the time, and drops the result before the next
call.

One worker each (joblib: two, see ``argument``). Peers are set up as in ``argument``; none
of them has an advice for large results other than to write them to a file by oneself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Sense, Size, per_call
from .argument import CALLS, COLD, make, read

Make = Callable[[int], AbstractContextManager[Any]]

_kept: list[np.ndarray] = []


def prepare() -> None:
    """Makes the array in the worker."""
    if not _kept:
        _kept.append(make())


def give() -> np.ndarray:
    """The task."""
    prepare()
    return _kept[0]


def _applied(pool: Any, task: Callable[[], Any]) -> Any:
    return pool.apply(task)


def _submitted(pool: Any, task: Callable[[], Any]) -> Any:
    return pool.submit(task).result()


@contextmanager
def _warm(pool_of: Make, call: Callable[..., Any]) -> Iterator[Sample]:
    with pool_of(1) as pool:
        yield lambda: per_call(lambda: read(call(pool, give)), CALLS, before=1)


@contextmanager
def _cold(pool_of: Make, call: Callable[..., Any]) -> Iterator[Sample]:
    def sample() -> float:
        with pool_of(1) as pool:
            call(pool, prepare)
            return per_call(lambda: read(call(pool, give)), 1)

    yield sample


@contextmanager
def _joblib() -> Iterator[Sample]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=2) as parallel:
        # Twice: each of its two workers makes its array.
        parallel(delayed(prepare)() for _ in range(8))
        yield lambda: per_call(lambda: read(parallel([delayed(give)()])[0]), CALLS, before=1)


def contenders(_: Size) -> list[Contender]:
    cold_ours, cold_theirs = COLD.format(pools.ONECOPY), COLD.format(pools.EXECUTOR)
    return [
        Contender(pools.POOL, lambda: _warm(pools.standard_pool, _applied)),
        Contender(pools.EXECUTOR, lambda: _warm(pools.executor, _submitted)),
        Contender(pools.MPIRE, lambda: _warm(pools.mpire, _applied)),
        Contender(pools.LOKY, _joblib),
        Contender(pools.ONECOPY, lambda: _warm(pools.onecopy_pool, _applied)),
        Contender(cold_theirs, lambda: _cold(pools.executor, _submitted)),
        Contender(cold_ours, lambda: _cold(pools.onecopy_pool, _applied)),
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            "100 MB result, warm, of ProcessPoolExecutor's time",
            Sense.AT_MOST,
            1 / 8,
            (pools.ONECOPY,),
            (pools.EXECUTOR,),
        ),
        Bar(
            "100 MB result, cold, of ProcessPoolExecutor's time",
            Sense.AT_MOST,
            1 / 3,
            (COLD.format(pools.ONECOPY),),
            (COLD.format(pools.EXECUTOR),),
        ),
    ]


FIGURE = Figure(
    "result",
    "an array of 100 MB, made beforehand, as a result; per call",
    contenders,
    bars,
)
