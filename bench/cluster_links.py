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
import tempfile
import time
import warnings
from contextlib import ExitStack

import numpy as np
from distributed import Client

from .cluster import DASK_THREADS, ENVIRONMENT, ONECOPY, THREADS, start_dask
from .cluster_job import OnDask, OnOnecopy
from .namespaces import Network
from .process import ROOT


def main(hosts: str = "4", megabytes: str = "250", rate: str = "1gbit", rounds: str = "3") -> None:
    """Make the hosts, and run the driver on one of its own."""
    # The last one is the driver's.
    with Network(int(hosts) + 1, rate=rate) as network, ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        address, port = network.SCHEDULER.removeprefix("tcp://").split(":")
        places = [(network.hub, ("scheduler", "--host", address, "--port", port))]
        options = ("--no-nanny", "--memory-limit", "0", "--nthreads", str(THREADS))
        for host in range(1, int(hosts) + 1):
            at = ("worker", network.SCHEDULER, "--host", network.address(host))
            places.append((network.space(host), (*at, *options)))
        for space, said in places:
            made = start_dask(network, folder, space, *said)
            stack.callback(made.wait)
            stack.callback(made.kill)
        arguments = ("driver", network.name, hosts, megabytes, rounds)
        job = (sys.executable, "-m", "bench.cluster_links", *arguments)
        subprocess.run(
            network.inside(network.space(int(hosts) + 1), *job),
            env={**os.environ, **ENVIRONMENT},
            cwd=ROOT,
            check=True,
        )


def drive(name: str, hosts: int, megabytes: int, rounds: int) -> None:
    """Print the seconds until each host has read the array, and what has left the driver."""
    warnings.simplefilter("ignore")
    network = Network(hosts + 1, name, owns=False)
    client = Client(network.SCHEDULER, timeout=60)
    client.wait_for_workers(hosts)
    ways: dict[str, OnOnecopy | OnDask] = {ONECOPY: OnOnecopy(client), DASK_THREADS: OnDask(client)}
    print(f"{'':16} {'wall s':>8} {'out, x':>8}")
    for turn in range(rounds):
        for way, work in ways.items():
            array = np.random.default_rng(turn).random(megabytes * 125_000)
            _, before = network.carried(hosts + 1)
            began = time.perf_counter()
            kept = work.give(array)
            took = time.perf_counter() - began
            _, after = network.carried(hosts + 1)
            print(f"{way:16} {took:8.2f} {(after - before) / array.nbytes:8.2f}", flush=True)
            del kept


if __name__ == "__main__":
    if sys.argv[1:2] == ["driver"]:
        drive(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main(*sys.argv[1:])
