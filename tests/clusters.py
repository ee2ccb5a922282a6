"""The clusters that the tests of several hosts run on: made-up hosts, or Ray's nodes on this machine.

`pytest --cluster=ray` (`make cluster-ray`) runs them on a Ray cluster that is started once. It has a
head and `NODES` nodes of `CPUS` CPUs; a pool that wants fewer sees the first of them only.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psutil
import pytest

import onecopy as oc

NODES = 3
CPUS = 2
_STORE = 80_000_000  # bytes: no object of Ray's is large here


class Cluster(Protocol):
    """The `cluster` fixture."""

    def __call__(self, hosts: int, workers: int) -> Any:
        """Return what `Pool(cluster=...)` is given for `hosts` hosts with `workers` workers each."""
        ...


@contextmanager
def ray_nodes() -> Iterator[None]:
    """Start Ray's nodes on this machine, and connect this process to them; end them all then."""
    import ray
    from ray.cluster_utils import Cluster as Nodes

    # A short name: Ray's sockets are in it, whose names have at most 107 characters.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_DISABLE_MEMORY_MONITOR", "1")
        made = Nodes()
        try:
            made.add_node(num_cpus=0, object_store_memory=_STORE, include_dashboard=False)
            ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
            for _ in range(NODES):
                made.add_node(num_cpus=CPUS, object_store_memory=_STORE)
            yield
        finally:
            ray.shutdown()
            made.shutdown()
            end_what_is_left(folder)


def end_what_is_left(folder: str) -> None:
    """Kill the processes of Ray that are run from a folder, and remove it."""
    for process in psutil.process_iter():
        try:
            if any(folder in word for word in process.cmdline()):
                process.kill()
        except psutil.Error:
            continue  # it has ended, or is another user's
    shutil.rmtree(folder, ignore_errors=True)


def ray_cluster(patch: pytest.MonkeyPatch, hosts: int, workers: int) -> Any:
    """Return Ray, of which new pools see `hosts` nodes, with `workers` CPUs each."""
    import ray

    from onecopy._cluster.carriers import ray as carrier

    assert hosts <= NODES
    assert workers <= CPUS
    every = carrier.nodes

    def some() -> list[carrier.Node]:
        there = sorted(every(), key=lambda node: node.id)
        return [node._replace(cpus=workers) for node in there[:hosts]]

    patch.setattr(carrier, "nodes", some)
    return ray


def loopback(hosts: int, workers: int) -> Any:
    """Return made-up hosts."""
    return oc.loopback(hosts, workers)


def is_here(pid: int) -> bool:
    """Return True while a process is there."""
    return os.path.exists(f"/proc/{pid}")
