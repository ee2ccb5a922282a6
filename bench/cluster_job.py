"""The driver of a cluster's figures: ``python -m bench.cluster_job NETWORK WAY``.

Reads the names of figures, one a line, with a number of bytes where a figure has one, and answers each
with a number. See ``cluster``.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from distributed import Client

import onecopy as oc

from .cluster import HOSTS, ON_RAY, ONECOPY, RAY, RAY_POOL, THREADS, processes
from .face import per_call
from .namespaces import Network

_ITEMS = 2000
_LONG, _UNEVEN = 200, 4000
_RESULT, _RESULTS = 50_000_000, 4
_DATA = 100_000_000
_LITTLE = 80_000
# Seconds until all hosts are there.
_START = 90


def nothing(value: int) -> int:
    """The least task."""
    return value


def nap(value: int) -> int:
    """A task of a millisecond that leaves the CPU to others."""
    time.sleep(0.001)
    return value


def uneven(value: int) -> int:
    """A task of 20 ms, or, of the later ones, of a millisecond."""
    time.sleep(0.02 if value < _LONG else 0.001)
    return value


def made(value: int) -> Any:
    """A task with a result of 50 MB."""
    return np.full(_RESULT // 8, float(value))


def first_of(path: str) -> float:
    """Map a file that all hosts see, and read it whole."""
    return total(np.load(path, mmap_mode="r"))


def total(array: Any) -> float:
    """Read all of it, and give the other workers time to get their part of the tasks."""
    time.sleep(0.05)
    return float(array.sum())


class Work(Protocol):
    """The work that the figures are about."""

    def call(self) -> None:
        """Call a function that does nothing, and wait for it."""

    def map(self, function: Any, items: Sequence[Any]) -> None:
        """Call a function with each item, and wait for all results."""

    def give(self, array: Any) -> Any:
        """Bring an array to all hosts and read it there; return what keeps it there."""

    def read(self, path: str) -> None:
        """Read a file that all hosts see, whole, by each worker."""


class OnOnecopy:
    """The work, done by a pool on the cluster."""

    def __init__(self, cluster: Any) -> None:
        self._pool = oc.Pool(cluster=cluster)
        self._pool.pids()

    def call(self) -> None:
        self._pool.apply(nothing, (1,))

    def map(self, function: Any, items: Sequence[Any]) -> None:
        self._pool.map(function, items)

    def give(self, array: Any) -> Any:
        data = oc.share(array)
        self._all(data)
        return data

    def read(self, path: str) -> None:
        self._all(oc.load(path))

    def _all(self, data: Any) -> None:
        self._pool.map(total, [data] * self._pool.workers, chunksize=1)


class OnDask:
    """The same by Dask's own means."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    def call(self) -> None:
        self._client.submit(nothing, 1, pure=False).result()

    def map(self, function: Any, items: Sequence[Any]) -> None:
        self._client.gather(self._client.map(function, items, pure=False))

    def give(self, array: Any) -> Any:
        data = self._client.scatter(array, broadcast=True, hash=False)
        self._all(total, data)
        return data

    def read(self, path: str) -> None:
        self._all(first_of, path)

    def _all(self, function: Any, argument: Any) -> None:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        read = [
            self._client.submit(function, argument, workers=[address], pure=False)
            for address, worker in workers.items()
            for _ in range(worker["nthreads"])
        ]
        self._client.gather(read)


class OnRay:
    """The same by Ray's own means: a task for each item, or its pool."""

    def __init__(self, *, pool: bool) -> None:
        import ray
        from ray.util.multiprocessing import Pool

        self._ray: Any = ray
        self._pool = Pool(HOSTS * THREADS) if pool else None
        self._nothing = ray.remote(nothing)

    def call(self) -> None:
        if self._pool is not None:
            self._pool.apply(nothing, (1,))
        else:
            self._ray.get(self._nothing.remote(1))

    def map(self, function: Any, items: Sequence[Any]) -> None:
        if self._pool is not None:
            self._pool.map(function, items)
        else:
            task = self._ray.remote(function).options(scheduling_strategy="SPREAD")
            self._ray.get([task.remote(item) for item in items])

    def give(self, array: Any) -> Any:
        data = self._ray.put(array)
        self._all(total, data)
        return data

    def read(self, path: str) -> None:
        self._all(first_of, path)

    def _all(self, function: Any, argument: Any) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(function)
        nodes = [node["NodeID"] for node in self._ray.nodes() if node["Resources"].get("CPU")]
        wheres = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes] * THREADS
        self._ray.get([task.options(scheduling_strategy=each).remote(argument) for each in wheres])


class Figures:
    """The figures by name: each method returns a sample."""

    def __init__(self, network: Network, work: Work) -> None:
        self._network = network
        self._work = work

    def call(self) -> float:
        return per_call(self._work.call, 50)

    def tasks(self) -> float:
        return per_call(lambda: self._work.map(nap, range(_ITEMS)), 1)

    def noops(self) -> float:
        return per_call(lambda: self._work.map(nothing, range(_ITEMS)), 1)

    def memory(self) -> float:
        """The most that a host has grown by, over the data's size."""
        self._work.give(np.ones(1000))  # what the workers are, and import
        hosts = range(1, HOSTS + 1)
        before = [self._network.pss(host) for host in hosts]
        kept = self._work.give(np.ones(_DATA // 8))
        after = [self._network.pss(host) for host in hosts]
        del kept
        return max(now - then for now, then in zip(after, before, strict=True)) / _DATA

    def received(self) -> float:
        """The most that a host has received, over the data's size."""
        return self._carried(_DATA) / _DATA

    def little(self) -> float:
        """The most bytes that a host has received for a small array."""
        return self._carried(_LITTLE)

    def _carried(self, size: int) -> float:
        kept: list[Any] = []  # till the bytes are counted
        return self._into(lambda: kept.append(self._work.give(np.ones(size // 8))))

    def _into(self, act: Callable[[], object]) -> float:
        """The most bytes that a host receives meanwhile."""
        hosts = range(1, HOSTS + 1)
        before = [self._network.carried(host)[0] for host in hosts]
        act()
        after = [self._network.carried(host)[0] for host in hosts]
        return max(now - then for now, then in zip(after, before, strict=True))

    def processor(self) -> float:
        """Processor seconds of the driver, the scheduler and all hosts for the same."""
        array = np.ones(_DATA // 8)
        before = self._network.processor()
        kept = self._work.give(array)
        after = self._network.processor()
        del kept
        return after - before

    def broadcast(self, size: int) -> float:
        """Seconds until all hosts have an array and have read it."""
        self._work.give(np.ones(1000))  # workers are there, and have imported
        array = np.ones(size // 8)
        return per_call(lambda: self._work.give(array), 1)

    def uneven(self) -> float:
        return per_call(lambda: self._work.map(uneven, range(_UNEVEN)), 1)

    def results(self) -> float:
        return per_call(lambda: self._work.map(made, range(_RESULTS)), 1)

    def file(self, size: int) -> float:
        """Seconds until all workers have read a file that all hosts see."""
        with tempfile.TemporaryDirectory() as folder:
            path = _written(folder, size)
            return per_call(lambda: self._work.read(path), 1)

    def file_bytes(self, size: int) -> float:
        """The most bytes that a host has received for that."""
        with tempfile.TemporaryDirectory() as folder:
            path = _written(folder, size)
            return self._into(lambda: self._work.read(path))


def _written(folder: str, size: int) -> str:
    path = Path(folder, "data.npy")
    np.save(path, np.ones(size // 8))
    return str(path)


def connect(network: Network, way: str) -> Work:
    """Wait for all hosts; return what does the work on them."""
    if way not in RAY:
        client = Client(network.SCHEDULER, timeout=60)  # type: ignore[no-untyped-call]
        # All of them: an array is scattered to those that are there.
        client.wait_for_workers(HOSTS * processes(way))
        return OnOnecopy(client) if way == ONECOPY else OnDask(client)
    import ray

    address, port = network.HEAD.split(":")
    _until(partial(_answers, address, int(port)))
    ray.init(
        address=network.HEAD,
        _node_ip_address=address,  # else it may take the node of another way
        log_to_driver=False,
        logging_level="ERROR",
    )
    _until(lambda: ray.cluster_resources().get("CPU") == HOSTS * THREADS)
    return OnOnecopy(ray) if way == ON_RAY else OnRay(pool=way == RAY_POOL)


def _answers(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), 1):
        return True
    return False


def _until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + _START
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"not all hosts are there after {_START} s")
        time.sleep(0.1)


def main(name: str, way: str) -> None:
    """Answer until there are no more lines."""
    warnings.simplefilter("ignore")
    network = Network(HOSTS, name, owns=False)
    figures = Figures(network, connect(network, way))
    for line in sys.stdin:
        figure, *sizes = line.split()
        try:
            print(getattr(figures, figure)(*map(int, sizes)), flush=True)
        except Exception as error:  # said by the table
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
