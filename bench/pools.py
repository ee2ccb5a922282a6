"""The pools that small figures are measured on, each made as its own documents advise.

- ``multiprocessing.Pool`` and ``ProcessPoolExecutor``: with the platform's default start
  method, as everybody makes them.
- loky: its reusable executor, which is what joblib itself runs on; the interface with the
  least between the caller and a worker (``joblib.Parallel`` adds its batching on top).
- mpire: ``start_method="fork"``, its default, and ``keep_alive=True``, which its documents
  advise for a pool that is used more than once ("Keep alive" in its user guide).
- onecopy: ``Pool(n)``, nothing else.

All have the same number of workers and are warm before they are measured.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import onecopy as oc

# The names that tables show.
ONECOPY = "onecopy"
POOL = "multiprocessing.Pool"
EXECUTOR = "ProcessPoolExecutor"
LOKY = "joblib/loky"
MPIRE = "mpire"


def count() -> int:
    """Workers for figures that do not fix a number: what this process may use."""
    return oc.cpu_count()


@contextmanager
def onecopy_pool(workers: int) -> Iterator[oc.Pool]:
    with oc.Pool(workers) as pool:
        yield pool


@contextmanager
def standard_pool(workers: int) -> Iterator[Any]:
    with multiprocessing.Pool(workers) as pool:
        yield pool


@contextmanager
def executor(workers: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(workers) as pool:
        yield pool


@contextmanager
def loky(workers: int) -> Iterator[Any]:
    from joblib.externals.loky import get_reusable_executor

    pool = get_reusable_executor(max_workers=workers, timeout=None)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True)


@contextmanager
def mpire(workers: int) -> Iterator[Any]:
    from mpire import WorkerPool

    with WorkerPool(workers, start_method="fork", keep_alive=True) as pool:
        yield pool
