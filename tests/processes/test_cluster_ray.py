"""A pool on a Ray cluster. Each test is a program of its own: it may shut Ray down, or be killed.

Its clusters are on this machine, with several nodes where a test wants several hosts. The tests of any
cluster run on Ray's nodes by `make cluster-ray`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import end_what_is_left, is_here
from tests.pages import pages
from tests.scripts import run, until

pytest.importorskip("ray", reason="needs Ray: make cluster-ray")

# Ray's nodes take 10 s to start on an idle machine, and much longer on a busy one.
_TIME = 240

pytestmark = [pytest.mark.beside, pytest.mark.timeout(_TIME + 60)]

# Ray's own warnings are ignored.
_HEAD = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
import numpy as np
import ray
import onecopy as oc
from ray.cluster_utils import Cluster
from onecopy._cluster.carriers import ray as carrier

def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)

def alone():
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80_000_000, logging_level="ERROR")

def nodes(*cpus):
    made = Cluster()
    made.add_node(num_cpus=0, include_dashboard=False, object_store_memory=80_000_000)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    return made, [made.add_node(num_cpus=each, object_store_memory=80_000_000) for each in cpus]

def is_here(pid):
    return os.path.exists(f"/proc/{pid}")

def states(pool):
    return sorted(host.state for host in pool.hosts())

def slow(i):
    time.sleep(0.01)
    return i

def main():
"""

_TAIL = """
if __name__ == "__main__":
    main()
"""


@pytest.fixture
def folder() -> Iterator[str]:
    """Give Ray a folder of its own with a short name, and end what is left there."""
    # Ray's sockets are in it, whose names have at most 107 characters.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    yield folder
    end_what_is_left(folder)


def source(body: str, head: str = "") -> str:
    start = _HEAD.replace("def main():\n", head + "def main():\n")
    return start + "\n".join(f"    {line}" for line in body.splitlines()) + _TAIL


def environment(folder: str) -> dict[str, str]:
    return {**os.environ, "RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"}


def program(path: Path, folder: str, body: str, head: str = "") -> str:
    """Run a program, and return what it has printed; ``head`` has more functions."""
    # Not `-W error`: Ray's own modules warn.
    done = run(path, source(body, head), env=environment(folder), strict=False, timeout=_TIME)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_machine(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
alone()
for cluster in (ray, "ray"):
    with oc.Pool(cluster=cluster) as pool:
        assert pool.workers == 2
        data = oc.share(np.arange(1_000_000.0))
        assert pool.map_blocks(np.sum, data, reduce="sum") == data.sum()
        assert pool.map(slow, range(50)) == list(range(50))
        result = pool.apply(np.negative, (np.arange(3_000_000.0),))
        result[0] = 1
        assert (result[1:] == -np.arange(1, 3_000_000.0)).all()
        (host,) = pool.hosts()
        assert host.workers == 2 and host.shipped == data.nbytes, host
        # Ray gives these CPUs to no other program.
        assert ray.available_resources().get("CPU", 0) == 0
        pids = pool.pids()
    until(lambda: not any(map(is_here, pids)))
    until(lambda: ray.available_resources().get("CPU") == 2)
ray.shutdown()
print("done")
""",
    )
    assert said == "done\n"


_LARGE = """
data = oc.share(np.arange(8_000_000))
with oc.Pool(cluster=ray) as pool:
    pool.pids()
    found = pool.map(both, [data] * 12, chunksize=1)
    assert {total for total, _ in found} == {int(data.sum())}
    assert all((each == 7).all() and len(each) == 20_000_000 for _, each in found)
    assert [host.shipped for host in pool.hosts()] == [data.nbytes] * 3
    engine = pool._engine
    streams = [engine._carrier.bulk(host.info.key) for host in engine.seen()]
    links = engine._table.relays._links
"""
_BOTH = """
def both(data):
    time.sleep(0.05)
    return int(data.sum()), np.full(20_000_000, 7, "u1")

"""


def test_data_goes_from_node_to_node(tmp_path: Path, folder: str) -> None:
    """Large results come by the same streams."""
    body = """
from onecopy._cluster.relays import Relays
Relays._is_faster = lambda relays: False  # as over real links
nodes(1, 1, 1)
"""
    end = """
assert all(streams), streams
assert links and all(links.values()), links
"""
    program(tmp_path, folder, body + _LARGE + end, _BOTH)


def test_ports_that_cannot_be_reached(tmp_path: Path, folder: str) -> None:
    """All goes with Ray's messages, and the log says so."""
    body = """
import logging
said = []
logging.getLogger("onecopy.cluster").addFilter(lambda record: said.append(record.getMessage()))
def refused(door):
    raise ConnectionRefusedError("closed by a firewall")
carrier.connect = refused
nodes(1, 1, 1)
"""
    end = """
assert not any(streams), streams
assert sum("closed by a firewall" in each for each in said) == 3, said
"""
    program(tmp_path, folder, body + _LARGE + end, _BOTH)


def test_nodes_that_come_and_go(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
made, (first,) = nodes(1)
with oc.Pool(cluster=ray) as pool:
    pool.pids()
    assert [host.workers for host in pool.hosts()] == [1], pool.hosts()  # not the head
    second = made.add_node(num_cpus=2, object_store_memory=80_000_000)
    until(lambda: states(pool) == ["ready", "ready"])
    data = oc.share(np.arange(100_000.0))
    assert pool.map(np.sum, [data] * 40, chunksize=1) == [data.sum()] * 40
    assert {host.shipped for host in pool.hosts()} == {data.nbytes}
    result = pool.map_async(slow, range(600), chunksize=2)
    gone = pool.hosts()[0].pids
    made.remove_node(first, allow_graceful=False)
    assert result.get() == list(range(600))
    assert states(pool) == ["gone", "ready"]
    until(lambda: not any(map(is_here, gone)))
    print(pool.hosts()[0].why)
ray.shutdown()
made.shutdown()
""",
    )
    assert "actor has ended" in said or "declared its node dead" in said


def test_a_node_that_is_drained(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
made, (first, second) = nodes(1, 1)
def wait_and_return(path, i):
    while not os.path.exists(path):
        time.sleep(0.01)
    return i
flag = sys.argv[0] + ".flag"
with oc.Pool(cluster=ray, reruns=0) as pool:  # lost work would fail
    assert len(pool.pids()) == 2
    held = [pool.submit(wait_and_return, flag, i) for i in range(2)]
    until(lambda: all(future.running() for future in held))
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    end = int(1000 * time.time()) + 600_000
    assert GcsClient(address=made.gcs_address).drain_node(first.node_id, reason, "test", end)[0]
    until(lambda: states(pool) == ["leaving", "ready"])
    more = [pool.submit(slow, i) for i in range(20)]
    open(flag, "w").close()
    assert [future.result() for future in held] == [0, 1]
    assert [future.result() for future in more] == list(range(20))
    until(lambda: states(pool) == ["gone", "ready"])
    print([host.why for host in pool.hosts()])
ray.shutdown()
made.shutdown()
""",
    )
    assert said == "['', '']\n"


def test_a_node_that_does_not_answer(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
carrier.LOST = 3.0
def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
made, _ = nodes(1, 1)
with oc.Pool(cluster=ray) as pool:
    assert len(pool.pids()) == 2
    result = pool.map_async(slow, range(1000), chunksize=2)
    mute = pool.hosts()[0]
    actor = parent_of(parent_of(parent_of(mute.pids[0])))
    os.kill(actor, signal.SIGSTOP)
    assert result.get() == list(range(1000))
    assert states(pool) == ["gone", "ready"]
    print(pool.hosts()[0].why)
    until(lambda: not any(map(is_here, mute.pids)))  # Ray has ended the actor, which was stopped
ray.shutdown()
made.shutdown()
""",
    )
    assert "has not answered for 3 s" in said


def test_a_node_whose_cpus_are_in_use(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
carrier.START = 1.0
carrier.AGAIN = 1.0
alone()
@ray.remote(num_cpus=1)
class Other:
    def hello(self):
        return 1
other = Other.remote()
ray.get(other.hello.remote())
try:
    with oc.Pool(cluster=ray, hosts_timeout=8) as pool:
        pool.apply(abs, (-1,))
except oc.NoHosts as error:
    print(error)
with oc.Pool(cluster=ray) as pool:
    pool.pids()  # it cannot start yet
    ray.kill(other)
    carrier.START = 60.0
    assert pool.apply(abs, (-1,)) == 1
ray.shutdown()
""",
    )
    assert "CPUs may be free" in said


def test_ray_is_shut_down_under_a_pool(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
alone()
pool = oc.Pool(cluster=ray, hosts_timeout=20)
pids = pool.pids()
result = pool.map_async(slow, range(100_000), chunksize=2)
ray.shutdown()
try:
    result.get()
except oc.NoHosts as error:
    print(error)
assert not ray.is_initialized()  # by a call of ours
until(lambda: not any(map(is_here, pids)))
pool.terminate()
pool.join()
""",
    )
    # Ray ends the actors before it is gone.
    assert "Ray was shut down" in said or "actor has ended" in said


def test_a_program_that_closes_nothing(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
global pool
alone()
pool = oc.Pool(cluster=ray)
print(*pool.pids())
pool.map_async(slow, range(100_000))
""",
    )
    pids = said.split()
    assert len(pids) == 2
    assert not any(map(is_here, map(int, pids)))


def test_workers_end_with_a_killed_driver(tmp_path: Path, folder: str) -> None:
    body = """
ray.init("auto", log_to_driver=False, logging_level="ERROR")
pool = oc.Pool(cluster=ray)
for _ in range(4):
    pool.submit(time.sleep, 600)
print(*pool.pids(), flush=True)
time.sleep(600)
"""
    (tmp_path / "driver.py").write_text(source(body))
    ray = [str(Path(sys.executable).with_name("ray"))]
    options = ["--head", "--num-cpus=2", "--include-dashboard=false", "--port=0"]
    head = [*ray, "start", *options, "--object-store-memory=80000000", "--block"]
    env = environment(folder)
    with subprocess.Popen(head, env=env, stdout=subprocess.PIPE, text=True) as there:
        assert there.stdout is not None
        while "Ray runtime started" not in (line := there.stdout.readline()):
            assert line, "the head has ended"
        with subprocess.Popen(
            [sys.executable, str(tmp_path / "driver.py")],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        ) as driver:
            assert driver.stdout is not None
            pids = [int(pid) for pid in driver.stdout.readline().split()]
            assert len(pids) == 2
            driver.send_signal(signal.SIGKILL)
        began = time.monotonic()
        until(lambda: not any(map(is_here, pids)), "workers have ended")
        print(f"workers were gone after {time.monotonic() - began:.2f} s")
        there.terminate()


def test_refused(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
def refused(error):
    try:
        oc.Pool(cluster="ray")
    except error as raised:
        print(raised)

refused(oc.NoHosts)  # not initialised
assert not ray.is_initialized()
made, _ = nodes()
refused(oc.NoHosts)  # the head alone
carrier.ray_client.ray.is_connected = lambda: True
refused(TypeError)
ray.shutdown()
made.shutdown()
""",
    )
    first, second, third = said.splitlines()
    assert "call ray.init" in first
    assert "has CPUs" in second
    assert "ray://" in third


def test_other_versions_are_refused(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
from onecopy._cluster.carriers import running
ours = running.versions()
running.check("node7", ours)
for name in ours:
    try:
        running.check("node7", {**ours, name: "0"})
    except oc.HostMismatch as error:
        assert f"node7 has {name} 0" in str(error), error
        print(name)
# A node that describes itself as another version, and one that cannot import the library.
alone()
def other():
    return {**ours, "NumPy": "0"}
def missing():
    import no_such_module
for carrier.ray_host.facts in (other, missing):
    try:
        oc.Pool(cluster=ray)
    except oc.HostMismatch as error:
        print("refused", "no_such_module" in str(error))
ray.shutdown()
""",
    )
    names = ["Python", "onecopy", "architecture", "NumPy"]
    assert said.splitlines() == [*names, "refused False", "refused True"]


def test_an_open_cluster_elsewhere(tmp_path: Path, folder: str) -> None:
    said = program(
        tmp_path,
        folder,
        """
class Context:
    gcs_address = ""
carrier.ray.get_runtime_context = lambda: Context
carrier.ray.util.get_node_ip_address = lambda: "10.0.0.3"
def warns(address, *, token=False, tls="0"):
    Context.gcs_address = address
    carrier.is_token_auth_enabled = lambda: token
    os.environ["RAY_USE_TLS"] = tls
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        carrier._warn_if_open()
    return [warning.category for warning in caught] == [oc.InsecureClusterWarning]
print(warns("10.0.0.7:6379"), warns("10.0.0.7:6379", tls="1"), warns("10.0.0.7:6379", token=True))
print(warns("10.0.0.3:6379"), warns("127.0.0.1:6379"))
""",
    )
    assert said == "True False False\nFalse False\n"


def test_code_of_the_page(tmp_path: Path, folder: str) -> None:
    (page,) = (each for each in pages() if each.name == "docs/how-to/cluster.md")
    (block,) = (each for each in page.blocks("py") if "ray.init(num_cpus=2)" in each.lines)
    program(tmp_path, folder, "\n".join(block.lines))
