"""A host that is to go: it gets no more work, and what it runs is finished, there or elsewhere.

The hosts are made up, and are told to go as a carrier tells it. On Dask: `test_cluster_dask.py`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import onecopy as oc
from onecopy._cluster.engine import ClusterEngine
from tests.processes.test_cluster import agent_of_me, append, wait_for
from tests.scripts import until


def say_and_wait(folder: Path, at: int) -> int:
    """Say in which host it runs; item 0 waits for `go`."""
    append(folder / f"runs-{at}", f"{agent_of_me()}\n")
    if at == 0:
        wait_for(folder / "go")
    return at


def let_go(pool: oc.Pool, agent: int) -> int:
    """Tell the host of an agent to go; return its place in `hosts`."""
    engine = pool._engine
    assert isinstance(engine, ClusterEngine)
    carrier: Any = engine._carrier
    keys: dict[int, int] = {process.pid: key for key, (process, _) in carrier._agents.items()}
    engine.leaving(keys[agent])
    return keys[agent] - 1


def runs(folder: Path, at: int) -> list[int]:
    path = folder / f"runs-{at}"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_it_finishes_what_it_runs_and_gets_no_more(tmp_path: Path) -> None:
    with oc.Pool(cluster=oc.loopback(2), reruns=0) as pool:
        pool.pids()
        first = pool.submit(say_and_wait, tmp_path, 0)
        until(lambda: bool(runs(tmp_path, 0)), "it runs")
        (agent,) = runs(tmp_path, 0)
        place = let_go(pool, agent)
        until(lambda: pool.hosts()[place].state == "leaving", "it is to go")
        items = range(1, 30)
        assert pool.map(say_and_wait, [tmp_path] * 29, items, chunksize=1) == list(items)
        assert agent not in {each for at in items for each in runs(tmp_path, at)}
        assert not first.done()
        (tmp_path / "go").touch()
        assert first.result() == 0
        until(lambda: pool.hosts()[place].state == "gone", "it has gone")
        assert pool.hosts()[place].why == ""
        assert (len(runs(tmp_path, 0)), pool.stats().lost) == (1, 0)


def test_if_it_goes_before_that_counts_for_no_rerun(tmp_path: Path) -> None:
    with oc.Pool(cluster=oc.loopback(3), reruns=1) as pool:
        pool.pids()
        result = pool.submit(say_and_wait, tmp_path, 0)
        until(lambda: len(runs(tmp_path, 0)) == 1, "it runs")
        place = let_go(pool, runs(tmp_path, 0)[0])
        until(lambda: pool.hosts()[place].state == "leaving", "it is to go")
        os.kill(runs(tmp_path, 0)[0], signal.SIGKILL)
        until(lambda: len(runs(tmp_path, 0)) == 2, "it runs again")
        os.kill(runs(tmp_path, 0)[1], signal.SIGKILL)
        until(lambda: len(runs(tmp_path, 0)) == 3, "it runs a third time")
        (tmp_path / "go").touch()
        assert result.result() == 0


def test_without_reruns_nothing_runs_twice(tmp_path: Path) -> None:
    with oc.Pool(cluster=oc.loopback(2), reruns=0) as pool:
        pool.pids()
        result = pool.submit(say_and_wait, tmp_path, 0)
        until(lambda: bool(runs(tmp_path, 0)), "it runs")
        (agent,) = runs(tmp_path, 0)
        place = let_go(pool, agent)
        until(lambda: pool.hosts()[place].state == "leaving", "it is to go")
        os.kill(agent, signal.SIGKILL)
        with pytest.raises(oc.HostLost):
            result.result()


def test_a_pool_that_ends_meanwhile(tmp_path: Path) -> None:
    pool = oc.Pool(cluster=oc.loopback(2))
    pool.pids()
    result = pool.submit(say_and_wait, tmp_path, 0)
    until(lambda: bool(runs(tmp_path, 0)), "it runs")
    let_go(pool, runs(tmp_path, 0)[0])
    pool.close()
    (tmp_path / "go").touch()
    pool.join()
    assert result.result() == 0
