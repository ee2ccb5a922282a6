"""A pool on a Dask cluster whose hosts have addresses of their own: bytes, memory, and losses.

The hosts are network namespaces, see `bench.namespaces`. The driver is a program in the hub, as the
scheduler is; each host has one Dask worker with two threads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.namespaces import Network, missing
from tests.scripts import until

pytest.importorskip("distributed")

HOSTS = 3
_REASON = missing()
pytestmark = pytest.mark.skipif(bool(_REASON), reason=_REASON)

# Dask's nannies set this, so that memory which is freed goes back to the system.
_WITHOUT_NANNY = {"MALLOC_TRIM_THRESHOLD_": "65536"}

_HEAD = """
import os, signal, sys, time, warnings
sys.path.insert(0, sys.argv[3])
warnings.simplefilter("ignore", ResourceWarning)  # of Dask's own
warnings.simplefilter("ignore", DeprecationWarning)
import numpy as np
import onecopy as oc
from distributed import Client
from bench.namespaces import Network

warnings.simplefilter("ignore", oc.InsecureClusterWarning)
network = Network(3, sys.argv[1], owns=False)
folder = sys.argv[2]

def until(condition, seconds=60):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds, "has not come true"
        time.sleep(0.01)
    return time.monotonic() - began

def client():
    made = Client(network.SCHEDULER, set_as_default=False)
    made.wait_for_workers(3)
    return made

def at(pool, host):
    return [each for each in pool.hosts() if f"{network.address(host)}:" in each.name][-1]

def total(array):
    time.sleep(0.02)  # so that all workers get some
    return float(array.sum())

def mark(i):
    with open(f"{folder}/run-{i}", "a") as file:
        file.write("x")
    time.sleep(0.02)
    return i

def runs(n):
    return [os.path.getsize(f"{folder}/run-{i}") for i in range(n)]

"""


class Cluster:
    """A scheduler in the hub, and a Dask worker in each host.

    Attributes:
        network: the hosts.
        scheduler: its process, or rather the `ip` that has become it.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder
        self._made: list[subprocess.Popen[bytes]] = []
        address, port = network.SCHEDULER.removeprefix("tcp://").split(":")
        place = ("--host", address, "--port", port)
        self.scheduler = self._start(network.hub, "scheduler", *place)
        for host in range(1, network.count + 1):
            self.add(host)

    def add(self, host: int) -> None:
        """Start the Dask worker of a host."""
        options = ("--nthreads", "2", "--no-nanny", "--memory-limit", "0", "--host")
        scheduler = self.network.SCHEDULER
        space = self.network.space(host)
        self._start(space, "worker", scheduler, *options, self.network.address(host))

    def _start(self, space: str, what: str, *options: str) -> subprocess.Popen[bytes]:
        module = f"distributed.cli.dask_{what}"
        command = (sys.executable, "-m", module, "--no-dashboard", *options)
        with open(self.folder / f"{space}.log", "ab") as log:
            made = subprocess.Popen(
                self.network.inside(space, *command),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **_WITHOUT_NANNY, "DASK_TEMPORARY_DIRECTORY": str(self.folder)},
                start_new_session=True,
            )
        self._made.append(made)
        return made

    def driver(self, body: str) -> subprocess.Popen[str]:
        """Start a program that has `network`, `client` and `folder`."""
        program = self.folder / "driver.py"
        lines = [f"    {line}" for line in body.splitlines()]
        main = ["def main():", *lines, 'if __name__ == "__main__":', "    main()", ""]
        program.write_text(_HEAD + "\n".join(main))
        arguments = (self.network.name, str(self.folder), str(Path(__file__).parents[2]))
        strict = ("-X", "dev", "-W", "error")
        return subprocess.Popen(
            self.network.inside(
                self.network.hub, sys.executable, *strict, str(program), *arguments
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )

    def run(self, body: str) -> str:
        """Run such a program, which has to end well; return what it has printed."""
        with self.driver(body) as driver:
            try:
                out, err = driver.communicate(timeout=150)
            except subprocess.TimeoutExpired:
                driver.kill()
                raise
        print(out)
        assert driver.returncode == 0, err
        assert not err
        return out

    def close(self) -> None:
        """End all of it."""
        for made in self._made:
            made.kill()
        for host in range(1, self.network.count + 1):
            self.network.kill(host)
        for made in self._made:
            made.wait()


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(HOSTS) as made:
        yield made


@pytest.fixture
def cluster(network: Network, tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(network, tmp_path)
    yield made
    made.close()


def test_one_copy_of_the_data_on_each_host_and_its_bytes_once(cluster: Cluster) -> None:
    cluster.run("""
with client() as dask, oc.Pool(cluster=dask) as pool:
    pool.pids()  # all are there
    assert len(pool.hosts()) == 3 and pool.workers == 6
    small = oc.share(np.ones(100_000))
    pool.map(total, [small] * 60, chunksize=1)
    memory = [network.pss(host) for host in (1, 2, 3)]
    before = [network.carried(host)[0] for host in (1, 2, 3)]
    data = oc.share(np.arange(25_000_000.0))
    assert pool.map(total, [data] * 60, chunksize=1) == [data.sum()] * 60
    came = [network.carried(host)[0] for host in (1, 2, 3)]
    for host in (1, 2, 3):
        assert at(pool, host).shipped == data.nbytes + small.nbytes
        received = (came[host - 1] - before[host - 1]) / data.nbytes
        grown = network.pss(host) - memory[host - 1]
        print(f"host {host}: received {received:.4f} of the data, PSS grew by {grown / 1e6:.1f} MB")
        assert 1 <= received <= 1.01
        # Two workers: 5 MB of its own for each.
        assert grown <= 1.02 * data.nbytes + 10e6
    little = oc.share(np.ones(10_000))
    before = [network.carried(host)[0] for host in (1, 2, 3)]
    pool.map(total, [little] * 12, chunksize=1)
    came = [network.carried(host)[0] for host in (1, 2, 3)]
    costs = [after - earlier for after, earlier in zip(came, before)]
    print(f"an array of 80 kB: {costs} bytes received")
    assert all(each <= 200_000 for each in costs)
""")


def test_a_killed_worker_costs_its_own_task(cluster: Cluster) -> None:
    cluster.run("""
with client() as dask, oc.Pool(cluster=dask) as pool:
    dead = pool.submit(os.abort)
    assert pool.map(mark, range(100)) == list(range(100))
    try:
        dead.result()
    except oc.WorkerDied as error:
        assert "10.77.0.1" in error.__notes__[-1], error.__notes__
    else:
        raise AssertionError("it has a result")
    assert runs(100) == [1] * 100
    until(lambda: len(pool.pids()) == 6)
    assert all(host.state == "ready" for host in pool.hosts())
""")


def test_a_killed_host_loses_nothing(cluster: Cluster) -> None:
    cluster.run("""
with client() as dask, oc.Pool(cluster=dask) as pool:
    pool.pids()
    result = pool.map_async(mark, range(600), chunksize=2)
    until(lambda: len(os.listdir(folder)) > 60)
    network.kill(2)
    seconds = until(lambda: at(pool, 2).state == "gone")
    print(f"a killed host: noticed after {seconds:.2f} s")
    assert result.get() == list(range(600))
    again = [count for count in runs(600) if count > 1]
    print(f"run twice: {len(again)}")
    # What it held: of two workers a chunk that runs, and what was sent ahead.
    assert all(count == 2 for count in again)
    assert at(pool, 2).why
    assert len(pool.pids()) == 4
""")


def test_a_cut_link_is_noticed_and_the_host_comes_back(cluster: Cluster) -> None:
    with cluster.driver("""
with client() as dask, oc.Pool(cluster=dask) as pool:
    pool.pids()
    first = at(pool, 2).pids
    result = pool.map_async(mark, range(2000), chunksize=2)
    until(lambda: len(os.listdir(folder)) > 60)
    network.link(2, up=False)
    seconds = until(lambda: at(pool, 2).state == "gone")
    print(f"a cut link: noticed after {seconds:.2f} s ({at(pool, 2).why})")
    assert result.get() == list(range(2000))
    assert max(runs(2000)) <= 2
    # What is cut off ends by itself, its Dask worker too.
    seconds = until(lambda: not network.pids(2))
    print(f"its processes have ended {seconds:.2f} s later")
    network.link(2, up=True)
    print("mended", flush=True)
    seconds = until(lambda: at(pool, 2).state == "ready")
    print(f"a mended link: the host is there again after {seconds:.2f} s")
    assert pool.map(mark, range(60), chunksize=1) == list(range(60))
    assert len(pool.pids()) == 6
""") as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            print(line)
            if line == "mended\n":
                cluster.add(2)
        assert driver.wait() == 0, driver.stderr.read() if driver.stderr is not None else ""


def test_a_link_that_is_cut_for_a_while_loses_no_host(cluster: Cluster) -> None:
    cluster.run("""
with client() as dask, oc.Pool(cluster=dask) as pool:
    pool.pids()
    result = pool.map_async(mark, range(600), chunksize=2)
    until(lambda: len(os.listdir(folder)) > 60)
    network.link(2, up=False)
    time.sleep(5)  # as long as an interruption takes
    network.link(2, up=True)
    assert result.get() == list(range(600))
    assert runs(600) == [1] * 600
    assert [host.state for host in pool.hosts()] == ["ready"] * 3
""")


def test_workers_end_with_a_killed_driver(cluster: Cluster) -> None:
    network = cluster.network
    with cluster.driver("""
dask = client()
pool = oc.Pool(cluster=dask)
for _ in range(12):
    pool.submit(time.sleep, 600)
print(*pool.pids(), flush=True)
time.sleep(600)
""") as driver:
        assert driver.stdout is not None
        pids = driver.stdout.readline().split()
        if len(pids) != 2 * HOSTS:
            driver.kill()
            pytest.fail(f"it has no workers: {driver.communicate()[1]}")
        driver.send_signal(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "workers have ended")
    # The Dask workers stay, and nothing of ours besides.
    for host in range(1, HOSTS + 1):
        until(lambda host=host: len(network.pids(host)) <= 2, "agents have ended")  # type: ignore[misc]  # mypy cannot infer it


def test_a_killed_scheduler_ends_the_pool(cluster: Cluster) -> None:
    cluster.scheduler.poll()
    cluster.run(f"""
dask = client()
with oc.Pool(cluster=dask, hosts_timeout=600) as pool:
    pool.pids()
    result = pool.map_async(time.sleep, [600] * 6, chunksize=1)
    os.kill({cluster.scheduler.pid}, signal.SIGKILL)
    began = time.monotonic()
    try:
        result.get()
    except oc.OnecopyError as error:
        print(f"a killed scheduler: {{time.monotonic() - began:.1f}} s, {{error!r}}")
        assert "scheduler" in str(error), error
    else:
        raise AssertionError("it has a result")
os._exit(0)  # its client tries to come back for a long time
""")
