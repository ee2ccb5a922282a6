"""``map`` over a million tiny items, with no chunk size given.

``multiprocessing.Pool``, mpire and joblib choose a chunk (joblib: a batch) themselves when
none is given, and are left to it. ``ProcessPoolExecutor.map`` does not: its default is 1,
and its documents say that "for very long iterables, using a large value for chunksize can
significantly improve performance", so it gets the size that ``multiprocessing`` computes.
mpire and joblib take seconds for this and run in the first rounds only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import pools
from ..face import Bar, Contender, Figure, Sample, Sense, Size

ITEMS = 1_000_000


def echo(value: int) -> int:
    """The task."""
    return value


def _checked(call: Callable[[], list[int]]) -> float:
    start = time.perf_counter()
    results = call()
    taken = time.perf_counter() - start
    assert len(results) == ITEMS
    assert results[-1] == ITEMS - 1
    return taken


@contextmanager
def _onecopy() -> Iterator[Sample]:
    with pools.onecopy_pool(pools.count()) as pool:
        yield lambda: _checked(lambda: pool.map(echo, range(ITEMS)))


@contextmanager
def _standard() -> Iterator[Sample]:
    with pools.standard_pool(pools.count()) as pool:
        yield lambda: _checked(lambda: pool.map(echo, range(ITEMS)))


@contextmanager
def _executor() -> Iterator[Sample]:
    workers = pools.count()
    chunk = -(-ITEMS // (4 * workers))  # multiprocessing.Pool's own formula
    with pools.executor(workers) as pool:
        yield lambda: _checked(lambda: list(pool.map(echo, range(ITEMS), chunksize=chunk)))


@contextmanager
def _mpire() -> Iterator[Sample]:
    with pools.mpire(pools.count()) as pool:
        yield lambda: _checked(lambda: pool.map(echo, range(ITEMS)))


@contextmanager
def _joblib() -> Iterator[Sample]:
    from joblib import Parallel, delayed

    with Parallel(n_jobs=pools.count()) as parallel:
        yield lambda: _checked(lambda: parallel(delayed(echo)(item) for item in range(ITEMS)))


def contenders(_: Size) -> list[Contender]:
    return [
        Contender(pools.POOL, _standard),
        Contender(pools.EXECUTOR, _executor),
        Contender(pools.MPIRE, _mpire, rounds=2, warm=0),
        Contender(pools.LOKY, _joblib, rounds=1, warm=0),
        Contender(pools.ONECOPY, _onecopy),
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"map of {ITEMS:,} tiny items, times multiprocessing.Pool's rate",
            Sense.AT_LEAST,
            1.0,
            (pools.ONECOPY,),
            (pools.POOL,),
        )
    ]


FIGURE = Figure(
    "tiny_items",
    f"map of {ITEMS:,} items that cost nothing, no chunk size given; seconds for all",
    contenders,
    bars,
)
