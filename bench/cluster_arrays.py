"""A large array to four hosts: ``python -m bench.cluster_arrays [MB] [ROUNDS]``.

The hosts are Dask workers of this machine, each a process that counts as a host of its own, and the
ways take turns on the same cluster. Wall time on a machine with few CPUs says little, so processor
time is shown for the driver and for all hosts together, and the bytes that went over the loopback
interface: all that any process has sent by TCP.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import dask
import numpy as np
import psutil
from distributed import Client, LocalCluster

import onecopy as oc
from onecopy._cluster.carriers import dask as carrier

from .cpu import Meter

HOSTS = 4
ONECOPY, DASK = "onecopy on Dask", "Dask"


class Sample(NamedTuple):
    """The cost of one way, once.

    Attributes:
        wall: seconds until each host has read the array.
        driver, hosts: processor seconds.
        carried: bytes over the loopback interface, of the array's.
    """

    wall: float
    driver: float
    hosts: float
    carried: float


def total(array: Any) -> float:
    """Read all of it."""
    return float(array.sum())


class Ways:
    """Both ways on one cluster; a context manager."""

    def __enter__(self) -> Ways:
        # Else all workers of this machine are one host.
        carrier._machine = lambda address, said: address
        # It takes back copies while ``scatter(broadcast=True)`` makes them, and may do so for ever.
        dask.config.set({"distributed.scheduler.active-memory-manager.start": False})
        self._cluster: Any = LocalCluster(
            n_workers=HOSTS, threads_per_worker=1, processes=True, dashboard_address=None
        )
        self._client: Any = Client(self._cluster)
        self._client.wait_for_workers(HOSTS)
        self._pool = oc.Pool(cluster=self._client)
        self._pool.pids()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.terminate()
        self._pool.join()
        self._client.close()
        self._cluster.close()

    def onecopy(self, array: Any) -> Any:
        """Share it, and read it once on each host."""
        data = oc.share(array)
        self._pool.map(total, [data] * HOSTS, chunksize=1)
        return data

    def dask(self, array: Any) -> Any:
        """Scatter it, and read it once on each worker."""
        data = self._client.scatter(array, broadcast=True, hash=False)
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        read = [self._client.submit(total, data, workers=[each], pure=False) for each in workers]
        self._client.gather(read)
        return data

    def sample(self, way: Callable[[Any], Any], size: int) -> Sample:
        """Return what one way uses for an array of ``size`` bytes."""
        array = np.ones(size // 8)
        before = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
        meter = Meter()
        kept = way(array)
        used = meter.used()
        after = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
        del kept
        return Sample(used.wall, used.owner, used.workers, (after - before) / size)


def main(megabytes: int = 100, rounds: int = 5) -> None:
    """Print the best of each way, and a line of JSON for a program."""
    warnings.simplefilter("ignore")
    with Ways() as ways:
        named = {ONECOPY: ways.onecopy, DASK: ways.dask}
        found: dict[str, list[Sample]] = {name: [] for name in named}
        for turn in range(rounds + 1):
            for name, way in named.items():
                taken = ways.sample(way, megabytes * 1_000_000)
                if turn:  # the first one imports and connects
                    found[name].append(taken)
    print(
        f"{'':16} {'wall s':>8} {'driver s':>9} {'hosts s':>8} {'TCP, x':>7}  (best; median wall)"
    )
    for name, samples in found.items():
        best = Sample(*map(min, zip(*samples, strict=True)))
        middle = median(each.wall for each in samples)
        row = f"{best.wall:8.3f} {best.driver:9.3f} {best.hosts:8.3f} {best.carried:7.2f}"
        print(f"{name:16} {row}  ({middle:.3f})")
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
