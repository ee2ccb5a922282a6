"""A large array over links as real hosts have: ``python -m bench.cluster_links [HOSTS] [MB] [RATE] [ROUNDS]``.

Each host, and the driver, is a network namespace whose link carries so much each way, by default 1 Gbit/s. There
the ways differ by what they send, and not by what this machine's few CPUs copy. Both ways take turns on one
Dask cluster; the bytes that have left the driver are shown as multiples of the data. Needs root and
iproute2.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from distributed import Client

import onecopy as oc

from .namespaces import Network
from .process import ROOT

_ENVIRONMENT = {
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "OMP_NUM_THREADS": "1",
    # It takes back copies while ``scatter(broadcast=True)`` makes them, and may do so for ever.
    "DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__START": "False",
    "PYTHONPATH": str(ROOT),
}
_THREADS = 2


def total(array: Any) -> float:
    """Read all of it, and give the other workers time to get their part of the tasks."""
    time.sleep(0.05)
    return float(array.sum())


def main(hosts: str = "4", megabytes: str = "250", rate: str = "1gbit", rounds: str = "3") -> None:
    """Make the hosts, and run the driver on one of its own."""
    # The last one is the driver's.
    with Network(int(hosts) + 1, rate=rate) as network, ExitStack() as stack:
        address, port = network.SCHEDULER.removeprefix("tcp://").split(":")
        places = [(network.hub, ("scheduler", "--host", address, "--port", port))]
        options = ("--no-nanny", "--memory-limit", "0", "--nthreads", str(_THREADS))
        for host in range(1, int(hosts) + 1):
            at = ("worker", network.SCHEDULER, "--host", network.address(host))
            places.append((network.space(host), (*at, *options)))
        for space, (what, *said) in places:
            command = (sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard")
            made = subprocess.Popen(
                network.inside(space, *command, *said),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ENVIRONMENT},
            )
            stack.callback(made.wait)
            stack.callback(made.kill)
        job = (sys.executable, "-m", "bench.cluster_links", "driver", hosts, megabytes, rounds)
        subprocess.run(
            network.inside(network.space(int(hosts) + 1), *job),
            env={**os.environ, **_ENVIRONMENT},
            check=True,
        )


def drive(hosts: int, megabytes: int, rounds: int) -> None:
    """Print the seconds until each host has read the array, and what has left the driver."""
    warnings.simplefilter("ignore")
    client: Any = Client(Network.SCHEDULER, timeout=60)
    client.wait_for_workers(hosts)
    with oc.Pool(cluster=client) as pool:
        pool.pids()

        def by_onecopy(array: Any) -> Any:
            data = oc.share(array)
            pool.map(total, [data] * (_THREADS * hosts), chunksize=1)
            return data

        def by_dask(array: Any) -> Any:
            data = client.scatter(array, broadcast=True, hash=False)
            there = client.scheduler_info(n_workers=-1)["workers"]
            client.gather([client.submit(total, data, workers=[at], pure=False) for at in there])
            return data

        ways: dict[str, Callable[[Any], Any]] = {"onecopy on Dask": by_onecopy, "Dask": by_dask}
        print(f"{'':16} {'wall s':>8} {'out, x':>8}")
        for turn in range(rounds):
            for name, way in ways.items():
                array = np.random.default_rng(turn).random(megabytes * 125_000)
                before, began = _sent(), time.perf_counter()
                kept = way(array)
                took, out = time.perf_counter() - began, (_sent() - before) / array.nbytes
                print(f"{name:16} {took:8.2f} {out:8.2f}", flush=True)
                del kept
    client.close()


def _sent() -> int:
    with open("/sys/class/net/eth0/statistics/tx_bytes") as file:
        return int(file.read())


if __name__ == "__main__":
    if sys.argv[1:2] == ["driver"]:
        drive(*map(int, sys.argv[2:]))
    else:
        main(*sys.argv[1:])
