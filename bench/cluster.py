"""Clusters for figures: four hosts with addresses of their own, and a driver in the middle.

Each way to work has its own hosts (``namespaces``), its own head and workers, and a driver: a
process (``cluster_job``) that is asked for one sample at a time, so that the ways take turns. Plain
Dask is run in the two ways that its documents know: one process with two threads on each host, and two
processes with a thread each. onecopy gets the first of these clusters. Plain Ray is run in two ways
as well, by tasks and by its own pool; its nodes have two CPUs, and onecopy gets the same.

The clusters of one engine stay until those of the other are needed, or the program ends.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

from .face import Contender, Sample
from .namespaces import Network
from .process import ROOT

HOSTS = 4
THREADS = 2

ONECOPY = "onecopy on Dask"
DASK_THREADS = "Dask, threads"
DASK_PROCESSES = "Dask, processes"
PLAIN = (DASK_THREADS, DASK_PROCESSES)
ON_RAY = "onecopy on Ray"
RAY_TASKS = "Ray, tasks"
RAY_POOL = "Ray, its Pool"
RAY = (RAY_TASKS, RAY_POOL, ON_RAY)

ENVIRONMENT = {
    # As Dask's nannies set it: freed memory goes back to the system.
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "OMP_NUM_THREADS": "1",
    # It takes back copies while ``scatter(broadcast=True)`` makes them, and may do so for ever.
    "DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__START": "False",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Nothing else is on these hosts' network.
    "RAY_AUTH_MODE": "disabled",
    # It ends tasks when this machine, which is all of the hosts, runs short of memory.
    "RAY_DISABLE_MEMORY_MONITOR": "1",
}
# Bytes of each node's object store; only what is used of it takes memory.
_STORE = 2_500_000_000
# Seconds for a sample. A way that takes longer is left out.
_MOST = 120

_numbers = count()
_open: dict[str, Lab] = {}
_closing = ExitStack()
atexit.register(_closing.close)


def processes(way: str) -> int:
    """Return the number of Dask workers of a host."""
    return THREADS if way == DASK_PROCESSES else 1


def start(network: Network, folder: str, space: str, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command in a namespace; its files are in the folder."""
    return subprocess.Popen(
        network.inside(space, *command),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        # The functions of ``cluster_job`` are imported by the workers.
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
    )


def start_dask(
    network: Network, folder: str, space: str, what: str, *options: str
) -> subprocess.Popen[bytes]:
    """Start a Dask ``scheduler`` or ``worker`` in a namespace."""
    module = f"distributed.cli.dask_{what}"
    return start(network, folder, space, [sys.executable, "-m", module, "--no-dashboard", *options])


def start_ray(
    network: Network, folder: str, space: str, address: str, *options: str
) -> subprocess.Popen[bytes]:
    """Start a node of Ray in a namespace. All have the same name for their folder of temporary
    files; each but the head's has one of its own there, as a machine has."""
    node = [str(Path(sys.executable).with_name("ray")), "start", f"--node-ip-address={address}"]
    node += ["--disable-usage-stats", "--block", f"--object-store-memory={_STORE}", *options]
    if space != network.hub:
        own = Path(folder, space)
        own.mkdir()
        mounted = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        node = ["sh", "-c", mounted, "sh", str(own), _shared(folder), *node]
    return start(network, folder, space, node)


def _shared(folder: str) -> str:
    """The name of Ray's folder for temporary files, on every node."""
    return str(Path(folder, "ray"))


class Lab:
    """Hosts, a cluster on them, and a driver. A context manager.

    Args:
        way: one of the names above.
    """

    def __init__(self, way: str) -> None:
        self._way = way
        self._stack = ExitStack()
        self._made: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Lab:
        with ExitStack() as stack:
            network = self._network = Network(HOSTS, f"ocb{os.getpid()}-{next(_numbers)}")
            # A short name: Ray's sockets are in it, whose names have at most 107 characters.
            self._folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="oc", dir="/tmp"))
            stack.enter_context(network)
            stack.callback(self._wait)
            if self._way in RAY:
                self._add_nodes()
            else:
                self._add_workers()
            stack.callback(self._kill)
            self._driver = stack.enter_context(self._begin())
            stack.callback(self._driver.kill)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _add_workers(self) -> None:
        """Start Dask's scheduler and workers."""
        network = self._network
        address, port = network.SCHEDULER.removeprefix("tcp://").split(":")
        scheduler = ["--host", address, "--port", port]
        places = [(network.hub, "scheduler", scheduler)]
        each = processes(self._way)
        options = ["--no-nanny", "--memory-limit", "0", "--nthreads", str(THREADS // each)]
        for host in [host for host in range(1, HOSTS + 1) for _ in range(each)]:
            at = [network.SCHEDULER, "--host", network.address(host), *options]
            places.append((network.space(host), "worker", at))
        for space, what, said in places:
            self._made.append(start_dask(network, self._folder, space, what, *said))

    def _add_nodes(self) -> None:
        """Start Ray's head, without CPUs, and a node for each host. Each node tries to reach the
        head for some time."""
        network = self._network
        Path(_shared(self._folder)).mkdir()
        address, port = network.HEAD.split(":")
        head = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"]
        head.append(f"--temp-dir={_shared(self._folder)}")
        places = [(network.hub, address, head)]
        for host in range(1, HOSTS + 1):
            node = [f"--address={network.HEAD}", f"--num-cpus={THREADS}"]
            places.append((network.space(host), network.address(host), node))
        for space, at, options in places:
            self._made.append(start_ray(network, self._folder, space, at, *options))

    def _begin(self) -> subprocess.Popen[str]:
        network = self._network
        job = (sys.executable, "-m", "bench.cluster_job", network.name, self._way)
        return subprocess.Popen(
            network.inside(network.hub, *job),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
        )

    def _kill(self) -> None:
        for made in self._made:
            made.kill()

    def _wait(self) -> None:
        for made in self._made:
            made.wait()

    def sample(self, figure: str) -> float:
        """Return one sample of a figure of ``cluster_job``. Raises RuntimeError if there is none."""
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(f"{figure}\n")
        self._driver.stdin.flush()
        if not select.select([self._driver.stdout], [], [], _MOST)[0]:
            self._driver.kill()
        answer = self._driver.stdout.readline()
        try:
            return float(answer)
        except ValueError:
            raise RuntimeError(answer.strip() or f"no answer for {_MOST} s") from None


@contextmanager
def _lab(way: str, figure: str) -> Iterator[Sample]:
    if not {way in RAY} >= {other in RAY for other in _open}:
        _closing.close()  # else the idle processes of one engine would disturb the other's
        _open.clear()
    if way not in _open:
        _open[way] = _closing.enter_context(Lab(way))
    yield lambda: _open[way].sample(figure)


@contextmanager
def _fresh(way: str, figure: str) -> Iterator[Sample]:
    def sample() -> float:
        with Lab(way) as lab:
            return lab.sample(figure)

    yield sample


def contenders(
    figure: str, ways: tuple[str, ...] = (*PLAIN, ONECOPY), *, fresh: bool = False
) -> list[Contender]:
    """Return the ways as contenders, for a figure of ``cluster_job``. ``fresh``: each sample is
    taken in a cluster of its own."""
    lab = _fresh if fresh else _lab
    return [Contender(way, partial(lab, way, figure), warm=int(not fresh)) for way in ways]
