"""A host that is lost, or a pool that ends, while a large array is on its way to a host.

Its agent is stopped, so that the array is in the middle of its way for as long as a test wants.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._cluster.engine import ClusterEngine
from tests.scripts import until

_DATA = np.arange(2_000_000)


class Stuck:
    """A pool on two hosts, and the agent of one of them, which takes no more bytes."""

    def __init__(self, pool: oc.Pool) -> None:
        engine = pool._engine
        assert isinstance(engine, ClusterEngine)
        carrier: Any = engine._carrier
        self.pool = pool
        self.pids = [process.pid for process, _ in carrier._agents.values()]
        self.bulks = list(carrier._bulks.values())
        os.kill(self.pids[0], signal.SIGSTOP)
        self.data = oc.share(_DATA)
        self.calls = [pool.submit(np.sum, self.data) for _ in range(2)]
        until(self.bulks[0]._using.locked, "bytes are on their way")

    def results(self) -> list[int]:
        return [int(call.result()) for call in self.calls]


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    with oc.Pool(cluster=oc.loopback(2)) as pool:
        pool.pids()
        yield Stuck(pool)


def test_a_host_that_is_killed(stuck: Stuck) -> None:
    os.kill(stuck.pids[0], signal.SIGKILL)
    assert stuck.results() == [_DATA.sum()] * 2
    until(lambda: stuck.pool.hosts()[0].state == "gone", "it has gone")
    assert stuck.pool.hosts()[1].state == "ready"


def test_a_stream_that_is_cut(stuck: Stuck) -> None:
    """The host is not trusted with half an array: its agent ends."""
    stuck.bulks[0].shut()
    os.kill(stuck.pids[0], signal.SIGCONT)
    assert stuck.results() == [_DATA.sum()] * 2
    until(lambda: stuck.pool.hosts()[0].state == "gone", "it has gone")


def test_a_pool_that_is_ended(stuck: Stuck) -> None:
    stuck.pool.terminate()
    stuck.pool.join()
    with pytest.raises(oc.PoolClosed):
        stuck.results()
    assert not os.path.exists(f"/proc/{stuck.pids[0]}")


def test_a_host_that_is_slow(stuck: Stuck) -> None:
    os.kill(stuck.pids[0], signal.SIGCONT)
    assert stuck.results() == [_DATA.sum()] * 2
    assert [host.shipped for host in stuck.pool.hosts()] == [_DATA.nbytes] * 2
