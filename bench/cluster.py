"""Clusters for figures: four hosts with addresses of their own, and a driver in the middle.

Each way to work has its own hosts (``namespaces``), its own scheduler and workers, and a driver: a
process (``cluster_job``) that is asked for one sample at a time, so that the ways take turns. All
stay until the program ends. Plain Dask is run in the two ways that its documents know: one process
with two threads on each host, and two processes with a thread each. onecopy gets the first of these
clusters.
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

from .face import Contender, Sample
from .namespaces import Network
from .process import ROOT

HOSTS = 4
THREADS = 2

ONECOPY = "onecopy on Dask"
DASK_THREADS = "Dask, threads"
DASK_PROCESSES = "Dask, processes"
PLAIN = (DASK_THREADS, DASK_PROCESSES)
WAYS = (*PLAIN, ONECOPY)

ENVIRONMENT = {
    # As Dask's nannies set it: freed memory goes back to the system.
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "OMP_NUM_THREADS": "1",
    # It takes back copies while ``scatter(broadcast=True)`` makes them, and may do so for ever.
    "DASK_DISTRIBUTED__SCHEDULER__ACTIVE_MEMORY_MANAGER__START": "False",
}
# Seconds for a sample. A way that takes longer is left out.
_MOST = 120

_open: dict[str, Lab] = {}
_closing = ExitStack()
atexit.register(_closing.close)


def processes(way: str) -> int:
    """Return the number of Dask workers of a host."""
    return THREADS if way == DASK_PROCESSES else 1


def start_dask(
    network: Network, folder: str, space: str, what: str, *options: str
) -> subprocess.Popen[bytes]:
    """Start a Dask ``scheduler`` or ``worker`` in a namespace; its files are in the folder."""
    command = (sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard")
    return subprocess.Popen(
        network.inside(space, *command, *options),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        # The functions of ``cluster_job`` are imported by Dask's workers.
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
    )


class Lab:
    """Hosts, a Dask cluster on them, and a driver. A context manager.

    Args:
        way: one of ``WAYS``.
    """

    def __init__(self, way: str) -> None:
        self._way = way
        self._stack = ExitStack()
        self._made: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Lab:
        with ExitStack() as stack:
            number = WAYS.index(self._way)
            network = self._network = Network(HOSTS, f"ocb{os.getpid()}-{number}")
            self._folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(network)
            stack.callback(self._wait)
            address, port = network.SCHEDULER.removeprefix("tcp://").split(":")
            self._start(network.hub, "scheduler", "--host", address, "--port", port)
            for host in range(1, HOSTS + 1):
                self._add(host)
            stack.callback(self._kill)
            self._driver = stack.enter_context(self._begin())
            stack.callback(self._driver.kill)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _add(self, host: int) -> None:
        network = self._network
        each = processes(self._way)
        options = ("--no-nanny", "--memory-limit", "0", "--nthreads", str(THREADS // each))
        for _ in range(each):
            place = (network.SCHEDULER, "--host", network.address(host))
            self._start(network.space(host), "worker", *place, *options)

    def _start(self, space: str, what: str, *options: str) -> None:
        self._made.append(start_dask(self._network, self._folder, space, what, *options))

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
    if way not in _open:
        _open[way] = _closing.enter_context(Lab(way))
    yield lambda: _open[way].sample(figure)


def contenders(figure: str, warm: int = 1) -> list[Contender]:
    """Return all ways, for a figure of ``cluster_job``."""
    return [Contender(way, lambda way=way: _lab(way, figure), warm=warm) for way in WAYS]  # type: ignore[misc]  # mypy cannot infer it
