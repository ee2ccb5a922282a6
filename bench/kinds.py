"""Data of each type that is in memory once, of a given size, and what it costs to have
four workers hold it.

Used by the figures ``types`` (bytes moved per task) and ``types_memory`` (growth of PSS). One
measurement gives both; it is made once, in pools of its own, so that a gigabyte of one type
is measured beside nothing else.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import math
import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

import onecopy as oc
from onecopy._codec.codec import encode

from .face import MB, Size

WORKERS = 4
_PAGE = 4096
_HELD: list[Any] = []


class Cost(NamedTuple):
    """Bytes moved for one task; bytes of PSS, of owner and workers, that came with them."""

    moved: float
    growth: float


def _words(n: int, different: int = 5000) -> Any:
    import pyarrow as pa

    words = [f"some words and number {i}" for i in range(different)]
    return pa.array(words).take(pa.array(np.arange(n) % different))


def _pandas_numbers(nbytes: int) -> Any:
    import pandas as pd

    return pd.DataFrame(np.random.default_rng(1).normal(size=(nbytes // 64, 8)))


def _pandas_mixed(nbytes: int) -> Any:
    import pandas as pd

    n = nbytes // 60
    return pd.DataFrame(
        {
            "at": pd.date_range("2020", periods=n, freq="s", tz="UTC"),
            "name": pd.array(_words(n), dtype="str"),
            "kind": pd.Categorical.from_codes(
                np.arange(n) % 100, [f"kind {i}" for i in range(100)]
            ),
            "count": pd.array(np.arange(n), dtype="Int64"),
        }
    )


def _arrow(nbytes: int) -> Any:
    import pyarrow as pa

    n = nbytes // 60
    return pa.table(
        {"n": np.arange(n), "name": _words(n), "kind": _words(n, 100).dictionary_encode()}
    )


def _polars(nbytes: int) -> Any:
    import polars as pl

    return pl.DataFrame(_arrow(nbytes)).with_columns(enum=pl.col("n") % 2 == 0)


def _sparse(nbytes: int) -> Any:
    import scipy.sparse

    n = nbytes // 12
    indptr = np.arange(0, n + 1, 100)
    return scipy.sparse.csr_array(
        (
            np.ones(n // 100 * 100),
            np.arange(n // 100 * 100, dtype="i4") % 5000,
            indptr.astype("i4"),
        ),
        (len(indptr) - 1, 5000),
    )


def _torch(nbytes: int) -> Any:
    import torch

    return {
        "weight": torch.ones(nbytes // 8),
        "half": torch.ones(nbytes // 4, dtype=torch.bfloat16),
    }


MAKERS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "pandas numbers": ("pandas", _pandas_numbers),
    "pandas mixed": ("pandas", _pandas_mixed),
    "pyarrow": ("pyarrow", _arrow),
    "polars": ("polars", _polars),
    "scipy csr": ("scipy", _sparse),
    "torch": ("torch", _torch),
}


def kinds() -> list[str]:
    """The types whose libraries are installed."""
    return [name for name, (library, _) in MAKERS.items() if find_spec(library) is not None]


def sizes(size: Size) -> list[int]:
    """In megabytes."""
    return [10, 100, 1000] if size.full else [10, 100]


def hold(data: Any) -> int:
    """The task: keeps the data, and reads every page of it where it stands."""
    _HELD[:] = [data]
    for span in encode(data)._pickled.buffers.spans:
        flat = np.frombuffer((ctypes.c_ubyte * (span.high - span.low)).from_address(span.low), "u1")
        flat[::_PAGE].max(initial=0)
    return os.getpid()


@functools.cache
def ours(kind: str, megabytes: int) -> Cost:
    """The data shared, and held by every worker of a pool."""
    data = oc.share(MAKERS[kind][1](megabytes * MB))
    small = oc.share(MAKERS[kind][1](1000))
    with oc.Pool(WORKERS) as pool:

        def run(data: Any) -> list[int]:
            return pool.map(hold, [data] * (2 * WORKERS), chunksize=1)

        # Libraries are imported after this, and the pages of the owner's copy are there.
        # Twice: the second task is the first that finds something to be dropped, and costs
        # polars' allocator another 2 MB in each worker.
        for _ in range(2):
            _by_all(run, small)
        hold(data)
        gc.collect()
        before = oc.memory().pss
        _by_all(run, data)
        growth = oc.memory().pss - before
        start = pool.stats()
        pool.apply(hold, (data,))
        end = pool.stats()
    _HELD.clear()
    moved = end.bytes_sent - start.bytes_sent + end.bytes_copied - start.bytes_copied
    return Cost(float(moved), float(growth))


def _by_all(run: Callable[[Any], Iterable[int]], data: Any) -> None:
    """Runs ``hold`` until every worker has answered; workers start when there is work."""
    seen: set[int] = set()
    while len(seen) < WORKERS:
        seen |= set(run(data))


@functools.cache
def of_joblib(kind: str, megabytes: int) -> Cost:
    """The same by joblib, which maps large arrays from a file for its workers by itself. What
    it sends is not counted. loky replaces workers that have grown by 100 MB, so more than that
    is often more than what is shown."""
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    data, small = (MAKERS[kind][1](nbytes) for nbytes in (megabytes * MB, 1000))
    with Parallel(n_jobs=WORKERS, pre_dispatch="all", batch_size=1) as parallel:

        def run(data: Any) -> list[int]:
            return list(parallel(delayed(hold)(data) for _ in range(2 * WORKERS)))

        for _ in range(2):
            _by_all(run, small)
        gc.collect()
        before = oc.memory().pss
        _by_all(run, data)
        growth = oc.memory().pss - before
    # Its workers would stay for the next type, with what this one left in them.
    get_reusable_executor().shutdown(wait=True, kill_workers=True)
    return Cost(math.nan, float(growth))
