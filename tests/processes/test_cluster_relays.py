"""Shared data that hosts get from each other: each byte leaves the driver once, and a host that fails the
others costs time alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._cluster.engine import ClusterEngine
from onecopy._cluster.relays import Relays
from tests.arrays import Array
from tests.scripts import until

_DATA = np.arange(8_000_000)  # 64 MB


def agents(pool: oc.Pool) -> list[int]:
    carrier: Any = engine(pool)._carrier
    return [process.pid for process, _ in carrier._agents.values()]


def engine(pool: oc.Pool) -> ClusterEngine:
    found = pool._engine
    assert isinstance(found, ClusterEngine)
    return found


def total(data: Array) -> tuple[int, int]:
    return os.getppid(), int(data.sum())


def sent(pool: oc.Pool) -> int:
    """Return the bytes that have left the driver."""
    return engine(pool).traffic()[0]


@pytest.fixture(autouse=True)
def _link(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has a link that is no faster than those of the hosts; else it helps, on one machine."""
    monkeypatch.setattr(Relays, "_is_faster", lambda relays: False)


def test_the_driver_does_not_send_all_to_each_host() -> None:
    with oc.Pool(cluster=oc.loopback(4)) as pool:
        pool.pids()
        data = oc.share(_DATA)
        before = sent(pool)
        calls = [pool.submit(total, data) for _ in range(16)]
        assert {call.result()[1] for call in calls} == {_DATA.sum()}
        until(lambda: [host.shared for host in pool.hosts()] == [_DATA.nbytes] * 4, "all have it")
        # Once, and what it helps with while many ask one host; to each it would be four times.
        assert _DATA.nbytes <= sent(pool) - before < 2 * _DATA.nbytes
        assert [host.shipped for host in pool.hosts()] == [_DATA.nbytes] * 4


def test_small_data_come_from_the_driver() -> None:
    with oc.Pool(cluster=oc.loopback(3)) as pool:
        pool.pids()
        data = oc.share(_DATA[:1_000_000])
        calls = [pool.submit(total, data) for _ in range(9)]
        assert {call.result()[1] for call in calls} == {_DATA[:1_000_000].sum()}
        assert not engine(pool)._table.relays._links


class Source:
    """A pool in which only the first host has the data, and is stopped; the others ask it for them."""

    def __init__(self, pool: oc.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        pool.pids()
        self.pool = pool
        self.pid, *others = agents(pool)
        relays = engine(pool)._table.relays
        self.data = oc.share(_DATA)
        arrived: list[int] = []
        has = Relays.has

        def noted(relays: Relays, host: Any, segment: int, piece: tuple[int, int]) -> None:
            has(relays, host, segment, piece)
            arrived.append(host.info.key)

        monkeypatch.setattr(Relays, "has", noted)
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        # Those that are stopped have been told of some pieces: not sent more than a socket takes.
        self.calls = [pool.submit(total, self.data) for _ in range(6)]
        self.relays = relays
        until(lambda: arrived.count(1) >= 5, "the first host has what comes to it")
        os.kill(self.pid, signal.SIGSTOP)
        for pid in others:
            os.kill(pid, signal.SIGCONT)
        until(
            lambda: any(asks != 1 for asks, source in relays._links if source == 1), "it is asked"
        )

    def results(self) -> set[int]:
        return {call.result()[1] for call in self.calls}


@pytest.fixture
def make_source(monkeypatch: pytest.MonkeyPatch) -> Callable[[oc.Pool], Source]:
    return lambda pool: Source(pool, monkeypatch)


def test_a_source_that_is_killed(make_source: Callable[[oc.Pool], Source]) -> None:
    with oc.Pool(cluster=oc.loopback(3)) as pool:
        source = make_source(pool)
        os.kill(source.pid, signal.SIGKILL)
        assert source.results() == {_DATA.sum()}
        until(lambda: pool.hosts()[0].state == "gone", "it has gone")
        assert [host.state for host in pool.hosts()[1:]] == ["ready", "ready"]


def test_a_source_that_hangs(make_source: Callable[[oc.Pool], Source]) -> None:
    """It is given up after some seconds, and the others get the data elsewhere."""
    with oc.Pool(cluster=oc.loopback(3)) as pool:
        source = make_source(pool)
        until(
            lambda: (
                [host.shared for host in pool.hosts()[1:]] == [_DATA.nbytes] * 2
                and not source.relays._busy[1]
            ),
            "the others have it",
        )
        os.kill(source.pid, signal.SIGCONT)
        assert source.results() == {_DATA.sum()}
        assert [host.state for host in pool.hosts()] == ["ready"] * 3


def test_a_pool_that_is_ended_while_hosts_wait_for_each_other(
    make_source: Callable[[oc.Pool], Source],
) -> None:
    with oc.Pool(cluster=oc.loopback(3)) as pool:
        source = make_source(pool)
        pool.terminate()
        pool.join()
        with pytest.raises(oc.PoolClosed):
            source.results()
        assert not os.path.exists(f"/proc/{source.pid}")
