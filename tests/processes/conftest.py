"""Common parts of the tests of the executor: executors that are gone when the test is, and signs
that tasks and the test give each other."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

import onecopy as oc
from tests import clusters, hosts
from tests.tasks import Signs


class MakeExecutor(Protocol):
    """The `make_executor` fixture."""

    def __call__(self, method: str, workers: int = 2, **options: Any) -> oc.ProcessPoolExecutor:
        """Make an executor that the end of the test ends."""
        ...


@pytest.fixture(scope="session")
def _ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ray's nodes, if tests run there."""
    if request.config.getoption("--cluster") == "ray":
        with clusters.ray_nodes():
            yield
    else:
        yield


@pytest.fixture
def cluster(request: pytest.FixtureRequest, _ray: None) -> Iterator[clusters.Cluster]:
    """Return hosts of the kind that `--cluster` names."""
    if request.config.getoption("--cluster") == "loopback":
        yield clusters.loopback
        return
    with pytest.MonkeyPatch.context() as patch:
        yield lambda hosts, workers: clusters.ray_cluster(patch, hosts, workers)


@pytest.fixture
def signs() -> Iterator[Signs]:
    """Numbers that the test and all its tasks write and read in place."""
    shared = oc.zeros(64, "i8")
    yield shared
    shared[:] = 1


@pytest.fixture
def make_executor(signs: Signs) -> Iterator[MakeExecutor]:
    """Make executors, by a context of `multiprocessing` where there is one."""
    executors: list[oc.ProcessPoolExecutor] = []

    def make(method: str, workers: int = 2, **options: Any) -> oc.ProcessPoolExecutor:
        if method == hosts.CLUSTER:
            executor = oc.ProcessPoolExecutor(cluster=oc.loopback(workers), **options)
        else:
            context: Any = method if method == "thread" else multiprocessing.get_context(method)
            executor = oc.ProcessPoolExecutor(workers, context, **options)
        executors.append(executor)
        return executor

    yield make
    signs[:] = 1
    while executors:
        executor = executors.pop()
        executor.kill_workers()
        executor.shutdown()


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of progress of a test before this one is fresh: see `Log`."""
    from onecopy._progress import display

    monkeypatch.setattr(display.display, "log", display.Log())
