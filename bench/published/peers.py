"""The peers of the published benchmarks, each used as its own documents advise.

A peer is opened with a number of workers and, where a benchmark has some, the large data that all
tasks read. It then maps functions: ``map`` over small items, chunked as it does by itself;
``singly`` over items of which each is worth a task; ``reading``, where the function is also given
the data. ``call`` is one call with a large argument.

- ``multiprocessing.Pool``, ``ProcessPoolExecutor``: data by ``functools.partial``, as in the
  originals; the executor's ``map`` has a chunk size of 1 unless it is given one, and gets
  ``multiprocessing``'s own.
- joblib: ``Parallel`` maps large arrays from a file by itself.
- mpire: ``shared_objects``, and ``keep_alive`` for more than one ``map``.
- dask: a client with one thread for each worker; data are scattered to all.
- Ray: data by ``ray.put``; a task for each item, and many small items by its own
  ``ray.util.multiprocessing.Pool``, as its documents advise.
- onecopy: ``share`` for the data, nothing else.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from inspect import isfunction
from typing import Any, Protocol

import onecopy as oc

from .. import pools
from ..face import Bar, Contender, Sample, Sense, plain

RAY, DASK = "Ray", "dask"

Function = Callable[..., Any]
Items = Sequence[Any]


class Mapper(Protocol):
    """An open peer."""

    def map(self, function: Function, items: Items) -> list[Any]: ...
    def singly(self, function: Function, items: Items) -> list[Any]: ...
    def reading(self, function: Function, items: Items) -> list[Any]: ...
    def call(self, function: Function, argument: Any) -> Any: ...


class _Pool:
    def __init__(self, pool: Any, data: Any) -> None:
        self._pool, self._data = pool, data

    def map(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.map(function, items))

    def singly(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.imap_unordered(function, items))

    def reading(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.imap(partial(function, self._data), items))

    def call(self, function: Function, argument: Any) -> Any:
        return self._pool.apply_async(function, (argument,)).get()


class _Executor:
    def __init__(self, pool: Any, workers: int, data: Any) -> None:
        self._pool, self._workers, self._data = pool, workers, data

    def map(self, function: Function, items: Items) -> list[Any]:
        chunk = max(1, -(-len(items) // (4 * self._workers)))
        return list(self._pool.map(function, items, chunksize=chunk))

    def singly(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.map(function, items))

    def reading(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.map(partial(function, self._data), items))

    def call(self, function: Function, argument: Any) -> Any:
        return self._pool.submit(function, argument).result()


class _Joblib:
    def __init__(self, parallel: Any, data: Any) -> None:
        self._parallel, self._data = parallel, data

    def map(self, function: Function, items: Items) -> list[Any]:
        from joblib import delayed

        return list(self._parallel(delayed(function)(item) for item in items))

    singly = map

    def reading(self, function: Function, items: Items) -> list[Any]:
        from joblib import delayed

        return list(self._parallel(delayed(function)(self._data, item) for item in items))

    def call(self, function: Function, argument: Any) -> Any:
        return self.map(function, [argument])[0]


class _Mpire:
    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def map(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.map(function, _tuples(items)))

    def singly(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.map_unordered(function, _tuples(items), chunk_size=1))

    def reading(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.imap(function, _tuples(items), iterable_len=len(items)))

    def call(self, function: Function, argument: Any) -> Any:
        return self._pool.apply(function, (argument,))


def _tuples(items: Items) -> list[tuple[Any]]:
    """mpire unpacks an item that is a sequence or an array into arguments."""
    return [(item,) for item in items]


class _Dask:
    def __init__(self, client: Any, data: Any) -> None:
        self._client, self._data = client, data

    def map(self, function: Function, items: Items) -> list[Any]:
        futures = self._client.map(function, items, pure=False)
        return list(self._client.gather(futures))

    singly = map

    def reading(self, function: Function, items: Items) -> list[Any]:
        held = self._client.scatter(self._data, broadcast=True, hash=False)
        submit = self._client.submit
        futures = [submit(function, held, item, pure=False) for item in items]
        return list(self._client.gather(futures))

    def call(self, function: Function, argument: Any) -> Any:
        return self._client.submit(function, argument, pure=False).result()


class _Ray:
    def __init__(self, workers: int, data: Any) -> None:
        from ray.util.multiprocessing import Pool

        self._pool, self._data = Pool(workers), data

    def map(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.map(function, items))

    def singly(self, function: Function, items: Items) -> list[Any]:
        import ray

        task = _task(function)
        return list(ray.get([task.remote(item) for item in items]))

    def reading(self, function: Function, items: Items) -> list[Any]:
        import ray

        task, held = _task(function), ray.put(self._data)
        return list(ray.get([task.remote(held, item) for item in items]))

    def call(self, function: Function, argument: Any) -> Any:
        import ray

        return ray.get(_task(function).remote(argument))

    def close(self) -> None:
        self._pool.terminate()


def _task(function: Function) -> Any:
    """Ray makes tasks of functions that are written in Python, and of no other callables."""
    import ray

    return ray.remote(function if isfunction(function) else lambda *given: function(*given))


class _Onecopy:
    def __init__(self, pool: oc.Pool, data: Any) -> None:
        self._pool, self._data = pool, data

    def map(self, function: Function, items: Items) -> list[Any]:
        return self._pool.map(function, items)

    def singly(self, function: Function, items: Items) -> list[Any]:
        return list(self._pool.imap_unordered(function, items, 1))

    def reading(self, function: Function, items: Items) -> list[Any]:
        return self._pool.starmap(function, [(self._data, item) for item in items])

    def call(self, function: Function, argument: Any) -> Any:
        return self._pool.apply_async(function, (argument,)).get()


@contextmanager
def _standard_pool(workers: int, data: Any) -> Iterator[Mapper]:
    with multiprocessing.Pool(workers) as pool:
        yield _Pool(pool, data)


@contextmanager
def _executor(workers: int, data: Any) -> Iterator[Mapper]:
    with ProcessPoolExecutor(workers) as pool:
        yield _Executor(pool, workers, data)


@contextmanager
def _mpire(workers: int, data: Any) -> Iterator[Mapper]:
    from mpire import WorkerPool

    options = {"start_method": "fork", "keep_alive": True, "shared_objects": data}
    with WorkerPool(workers, **options) as pool:
        yield _Mpire(pool)


@contextmanager
def _joblib(workers: int, data: Any) -> Iterator[Mapper]:
    from joblib import Parallel
    from joblib.externals.loky import get_reusable_executor

    # With one job there would be no process at all.
    with Parallel(n_jobs=max(2, workers)) as parallel:
        yield _Joblib(parallel, data)
    # Its workers would stay for the next one's use: their start belongs to a figure that has it.
    get_reusable_executor().shutdown(wait=True)


@contextmanager
def _dask(workers: int, data: Any) -> Iterator[Mapper]:
    from distributed import Client

    quiet = {"dashboard_address": ":0", "silence_logs": logging.ERROR}
    with (
        warnings.catch_warnings(),
        Client(n_workers=workers, threads_per_worker=1, **quiet) as client,
    ):
        # It advises against large arguments, which are what a benchmark is about.
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        yield _Dask(client, data)


@contextmanager
def _ray(workers: int, data: Any) -> Iterator[Mapper]:
    import ray

    ray.init(
        num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    try:
        opened = _Ray(workers, data)
        yield opened
        opened.close()
    finally:
        ray.shutdown()


@contextmanager
def _onecopy(workers: int, data: Any) -> Iterator[Mapper]:
    shared = data if data is None else oc.share(data)
    with oc.Pool(workers) as pool:
        yield _Onecopy(pool, shared)


# Those that fork come first, while there are few threads.
OPEN: dict[str, Callable[[int, Any], AbstractContextManager[Mapper]]] = {
    pools.POOL: _standard_pool,
    pools.EXECUTOR: _executor,
    pools.MPIRE: _mpire,
    pools.LOKY: _joblib,
    pools.ONECOPY: _onecopy,
    DASK: _dask,
    RAY: _ray,
}
_NEEDS = {RAY: "ray", DASK: "distributed"}

Make = Callable[[], Any]


def _nothing() -> None:
    """No large data."""


def workers() -> int:
    """One for each core, as in the originals; two at least."""
    return max(2, pools.count())


def warm(
    work: Callable[[Mapper], float], count: int, make: Make = _nothing, before: int = 1
) -> list[Contender]:
    """Each peer, open and warmed up by ``before`` samples: ``work`` gives one. ``make`` makes the
    large data."""

    @contextmanager
    def opened(name: str) -> Iterator[Sample]:
        with OPEN[name](count, make()) as mapper:
            yield lambda: work(mapper)

    return [
        Contender(name, lambda n=name: opened(n), warm=before) for name in OPEN if installed(name)
    ]


def cold(
    work: Callable[[Mapper], None],
    count: int,
    make: Make = _nothing,
    prepare: Callable[[], object] = _nothing,
) -> list[Contender]:
    """Each peer made, used and ended within each sample, which is the seconds for all that.
    ``prepare`` is called before each, and does not count."""

    def sample(name: str) -> float:
        data = make()
        prepare()
        start = time.perf_counter()
        with OPEN[name](count, data) as mapper:
            work(mapper)
        return time.perf_counter() - start

    return [
        Contender(name, lambda n=name: plain(lambda: sample(n)), warm=0)
        for name in OPEN
        if installed(name)
    ]


def installed(name: str) -> bool:
    return name not in _NEEDS or find_spec(_NEEDS[name]) is not None


def ahead(what: str) -> list[Bar]:
    """The bar: at most the time of the best of those that are installed."""
    theirs = tuple(name for name in OPEN if name != pools.ONECOPY and installed(name))
    return [Bar(f"{what}, of the best of theirs", Sense.AT_MOST, 1.0, (pools.ONECOPY,), theirs)]
