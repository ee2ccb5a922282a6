"""The driver of a cluster's figures: ``python -m bench.cluster_job NETWORK WAY``.

Reads the names of figures, one a line, and answers each with a number. See ``cluster``.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np
from distributed import Client

import onecopy as oc

from .cluster import HOSTS, ONECOPY, processes
from .face import per_call
from .namespaces import Network

_ITEMS = 2000
_DATA = 100_000_000
_LITTLE = 80_000


def nothing(value: int) -> int:
    """The least task."""
    return value


def nap(value: int) -> int:
    """A task of a millisecond that leaves the CPU to others."""
    time.sleep(0.001)
    return value


def total(array: Any) -> float:
    """Read all of it, and give the other workers time to get their part of the tasks."""
    time.sleep(0.05)
    return float(array.sum())


class OnOnecopy:
    """The work, done by a pool on the cluster."""

    def __init__(self, client: Client) -> None:
        self._pool = oc.Pool(cluster=client)
        self._pool.pids()

    def call(self) -> None:
        self._pool.apply(nothing, (1,))

    def map(self, function: Any, items: range) -> None:
        self._pool.map(function, items)

    def give(self, array: Any) -> Any:
        """Bring an array to all hosts and read it there; return what keeps it there."""
        data = oc.share(array)
        self._pool.map(total, [data] * self._pool.workers, chunksize=1)
        return data


class OnDask:
    """The same by Dask's own means."""

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    def call(self) -> None:
        self._client.submit(nothing, 1, pure=False).result()

    def map(self, function: Any, items: range) -> None:
        self._client.gather(self._client.map(function, items, pure=False))

    def give(self, array: Any) -> Any:
        data = self._client.scatter(array, broadcast=True, hash=False)
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        read = [
            self._client.submit(total, data, workers=[address], pure=False)
            for address, worker in workers.items()
            for _ in range(worker["nthreads"])
        ]
        self._client.gather(read)
        return data


class Figures:
    """The figures by name: each method returns a sample."""

    def __init__(self, network: Network, work: OnOnecopy | OnDask) -> None:
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
        hosts = range(1, HOSTS + 1)
        before = [self._network.carried(host)[0] for host in hosts]
        kept = self._work.give(np.ones(size // 8))
        after = [self._network.carried(host)[0] for host in hosts]
        del kept
        return max(now - then for now, then in zip(after, before, strict=True))

    def processor(self) -> float:
        """Processor seconds of the driver, the scheduler and all hosts for the same."""
        array = np.ones(_DATA // 8)
        before = self._network.processor()
        kept = self._work.give(array)
        after = self._network.processor()
        del kept
        return after - before

    def broadcast(self) -> float:
        """Seconds until all hosts have it and have read it."""
        array = np.ones(_DATA // 8)
        return per_call(lambda: self._work.give(array), 1)


def main(name: str, way: str) -> None:
    """Answer until there are no more lines."""
    warnings.simplefilter("ignore")
    network = Network(HOSTS, name, owns=False)
    client = Client(network.SCHEDULER, timeout=60)
    # All of them: an array is scattered to those that are there.
    client.wait_for_workers(HOSTS * processes(way))
    figures = Figures(network, OnOnecopy(client) if way == ONECOPY else OnDask(client))
    for line in sys.stdin:
        try:
            print(getattr(figures, line.strip())(), flush=True)
        except Exception as error:  # said by the table
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
