"""The pools that meet the faults, each made and ended as its own documents show.

A pool is seen through one function, ``submit(function, *arguments, timeout=None)``, which
gives a ``concurrent.futures.Future``. All are the pools' own but that of
``multiprocessing.Pool``, whose callbacks fill a plain one. Start methods are the defaults.
Each pool is imported in the process that uses it and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

WORKERS = 2

Submit = Callable[..., "Future[Any]"]


@dataclass(frozen=True)
class Peer:
    """One pool.

    Attributes:
        name: in the record, and as in ``--peer``.
        title: in the table.
        open: given a memory limit in bytes or None, a context manager that gives ``submit``.
        offers: of "timeout" (for each task, ending it) and "memory".
        packages: whose versions belong to the record.
    """

    name: str
    title: str
    open: Callable[[int | None], AbstractContextManager[Submit]]
    offers: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()


@contextmanager
def _pool(_: int | None) -> Iterator[Submit]:
    # As a context manager, which is how its documents begin. The timeout of ``get`` ends
    # the waiting and not the task, so it is not one that this table asks for.
    import multiprocessing

    with multiprocessing.Pool(WORKERS) as pool:

        def submit(function: Any, *arguments: Any, timeout: float | None = None) -> Future[Any]:
            future: Future[Any] = Future()
            pool.apply_async(
                function,
                arguments,
                callback=future.set_result,
                error_callback=future.set_exception,
            )
            return future

        yield submit


@contextmanager
def _executor(_: int | None) -> Iterator[Submit]:
    # A context manager as well; ``result(timeout)`` ends the waiting alone.
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as pool:
        yield _plain(pool)


@contextmanager
def _loky(_: int | None) -> Iterator[Submit]:
    # What joblib runs on. Its README calls ``get_reusable_executor`` and never
    # ``shutdown``: that is done at exit. ``joblib.Parallel(timeout=...)`` gives up the
    # whole call and with it all that was to come, which is not a timeout for a task. The
    # check for leaks of 300 MB, between tasks, is fixed in its source and no option.
    from joblib.externals.loky import get_reusable_executor

    yield _plain(get_reusable_executor(max_workers=WORKERS))


@contextmanager
def _pebble(_: int | None) -> Iterator[Submit]:
    # Its documents: ``with ProcessPool() as pool: pool.schedule(f, args=..., timeout=...)``;
    # ``submit`` is there for asyncio's sake.
    from pebble import ProcessPool

    with ProcessPool(max_workers=WORKERS) as pool:

        def submit(function: Any, *arguments: Any, timeout: float | None = None) -> Future[Any]:
            future: Future[Any] = pool.schedule(function, args=arguments, timeout=timeout)
            return future

        yield submit


@contextmanager
def _deadpool(limit: int | None) -> Iterator[Submit]:
    # Its README: a context manager, ``deadpool_timeout`` for each task, and
    # ``max_worker_memory_bytes`` against "memory bloat" (RSS, looked at after each task).
    from deadpool import Deadpool

    with Deadpool(max_workers=WORKERS, max_worker_memory_bytes=limit) as pool:

        def submit(function: Any, *arguments: Any, timeout: float | None = None) -> Future[Any]:
            return pool.submit(function, *arguments, deadpool_timeout=timeout)  # type: ignore[no-any-return]

        yield submit


@contextmanager
def _onecopy(limit: int | None) -> Iterator[Submit]:
    # A context manager; ``options`` for what has a limit, nothing for the rest.
    import onecopy as oc

    with oc.Pool(WORKERS) as pool:

        def submit(function: Any, *arguments: Any, timeout: float | None = None) -> Future[Any]:
            if timeout is None and limit is None:
                return pool.submit(function, *arguments)
            view = pool.options(timeout=timeout, memory_limit=limit)
            return view.submit(function, *arguments)

        yield submit


def _plain(pool: Any) -> Submit:
    def submit(function: Any, *arguments: Any, timeout: float | None = None) -> Future[Any]:
        return pool.submit(function, *arguments)  # type: ignore[no-any-return]

    return submit


_BOTH = frozenset({"timeout", "memory"})

PEERS = (
    Peer("multiprocessing.Pool", "Pool", _pool),
    Peer("ProcessPoolExecutor", "executor", _executor),
    Peer("joblib/loky", "loky", _loky, packages=("joblib",)),
    Peer("pebble", "pebble", _pebble, frozenset({"timeout"}), ("pebble",)),
    Peer("deadpool", "deadpool", _deadpool, _BOTH, ("deadpool-executor",)),
    Peer("onecopy", "onecopy", _onecopy, _BOTH, ("onecopy",)),
)

NAMES = [peer.name for peer in PEERS]


def peer(name: str) -> Peer:
    return PEERS[NAMES.index(name)]
