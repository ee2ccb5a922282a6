"""Shared data and results on a Dask cluster: the ways they take, and what each end holds.

Each test is a program of its own, as in ``test_cluster_dask``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dask_programs import program

pytest.importorskip("distributed")

pytestmark = pytest.mark.beside


def test_shared_data_has_a_connection_of_its_own(tmp_path: Path) -> None:
    """And a host that is killed while an array comes by it is lost as any other."""
    done = program(
        tmp_path,
        """
def agent_of_me():
    time.sleep(0.1)
    stat = open(f"/proc/{os.getppid()}/stat").read()
    return int(stat.rpartition(")")[2].split()[1])

each_worker_is_a_host()
with cluster(n_workers=2) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        pool.pids()
        agents = {pool.submit(agent_of_me): None for _ in range(2)}
        agents = sorted({each.result() for each in agents})
        assert len(agents) == 2
        data = oc.share(np.arange(4_000_000))
        bulks = [pool._engine._carrier.bulk(key) for key in (1, 2)]
        os.kill(agents[0], signal.SIGSTOP)
        calls = [pool.submit(np.sum, data) for _ in range(2)]
        until(lambda: any(bulk._using.locked() for bulk in bulks))
        os.kill(agents[0], signal.SIGKILL)
        assert [call.result() for call in calls] == [data.sum()] * 2
        until(lambda: sum(host.state == "gone" for host in pool.hosts()) == 1)
        assert max(host.shipped for host in pool.hosts()) == data.nbytes
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_hosts_get_shared_data_from_each_other(tmp_path: Path) -> None:
    """The streams are made by way of the Dask workers, over addresses that these know."""
    done = program(
        tmp_path,
        """
from onecopy._cluster.relays import Relays
Relays._is_faster = lambda relays: False  # else the driver helps, on one machine
each_worker_is_a_host()
with cluster(n_workers=3) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        pool.pids()
        data = oc.share(np.arange(8_000_000))  # 64 MB
        def total():
            time.sleep(0.05)
            return int(data.sum())
        calls = [pool.submit(total) for _ in range(9)]
        assert {call.result() for call in calls} == {int(data.sum())}
        until(lambda: [host.shared for host in pool.hosts()] == [data.nbytes] * 3)
        links = pool._engine._table.relays._links
        assert links and all(links.values()), links
        # Once, and what it helps with while both others ask one host; to each it would be three times.
        assert pool._engine.traffic()[0] < 2 * data.nbytes, pool._engine.traffic()
        # One that has gone gives nothing, and nothing is lost.
        more = oc.share(np.arange(8_000_000) * 2)
        def other():
            time.sleep(0.05)
            return int(more.sum())
        calls = [pool.submit(other) for _ in range(9)]
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        assert {call.result() for call in calls} == {int(more.sum())}
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_client_s_own_copies_are_made_beside_a_pool(tmp_path: Path) -> None:
    """Their events, of the topic for all, cannot be pickled (distributed 2026.8)."""
    done = program(
        tmp_path,
        """
with cluster(n_workers=2) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        assert pool.apply(abs, (-1,)) == 1
        there = client.scatter(np.arange(1000), broadcast=True)
        assert client.submit(np.sum, there).result() == 499_500
        assert client.status == "running"
        assert pool.apply(abs, (-1,)) == 1
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_result_too_large_for_the_driver(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import resource
each_worker_is_a_host()
with cluster(n_workers=2) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        pool.pids()
        result = pool.apply(np.ones, (2_000_000,))
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), resource.RLIM_INFINITY))
        others = pool.map_async(slow, range(100))
        try:
            pool.apply(np.ones, (200_000_000,))
            raise AssertionError
        except oc.NotEnoughMemory as error:
            assert "no room for the result" in error.__notes__[0], error.__notes__
        assert others.get() == list(range(100))
        assert len(pool.apply(np.ones, (2_000_000,))) == 2_000_000
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        assert [host.state for host in pool.hosts()] == ["ready", "ready"]
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
