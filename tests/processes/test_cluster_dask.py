"""A pool on a Dask cluster. Each test is a program of its own: Dask's threads outlive a client.

Its clusters are on this machine. Where a test wants several hosts, each Dask worker counts as one.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.dask_programs import HEAD, TAIL, environment, program
from tests.scripts import until

pytest.importorskip("distributed")

pytestmark = pytest.mark.beside


def test_workers_of_one_machine_are_one_host(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
with cluster(n_workers=2) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        assert pool.workers == 2
        pool.pids()
        assert pool._engine._carrier.bulk(1) is not None
        data = oc.share(np.arange(1_000_000.0))
        assert pool.map_blocks(np.sum, data, reduce="sum") == data.sum()
        assert pool.map(slow, range(50)) == list(range(50))
        result = pool.apply(np.negative, (np.arange(500_000.0),))
        result[0] = 1
        assert (result[1:] == -np.arange(1, 500_000.0)).all()
        (host,) = pool.hosts()
        assert host.workers == 2 and host.shipped == data.nbytes, host
        assert set(pool.spans()["pid"]) <= set(pool.pids())
        pids = pool.pids()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_worker_that_is_killed_and_one_that_comes(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
each_worker_is_a_host()
with cluster(n_workers=2) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        pool.pids()
        assert [host.state for host in pool.hosts()] == ["ready", "ready"]
        result = pool.map_async(slow, range(400), chunksize=2)
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        assert result.get() == list(range(400))
        lost = [host for host in pool.hosts() if host.state == "gone"]
        assert len(lost) == 1 and lost[0].why, pool.hosts()
        # Dask has started another in its place: a new host.
        until(lambda: sum(host.state == "ready" for host in pool.hosts()) == 2)
        assert pool.map(slow, range(40), chunksize=1) == list(range(40))
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_with_tls(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    done = program(
        tmp_path,
        """
security = Security.temporary()
with cluster(n_workers=1, security=security) as dask, Client(dask, security=security) as client:
    assert client.scheduler.address.startswith("tls://")
    with oc.Pool(cluster=client) as pool:
        pool.pids()
        assert pool._engine._carrier.bulk(1) is None
        data = oc.share(np.arange(300_000.0))
        assert pool.map_blocks(np.sum, data, reduce="sum") == data.sum()
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_where_only_the_scheduler_can_be_reached(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import logging
logging.basicConfig(stream=sys.stdout, format="%(name)s: %(message)s")
def unreachable(*arguments):
    raise OSError("no way")
carrier.Direct = unreachable
with cluster(n_workers=1) as dask, Client(dask, set_as_default=False) as client:
    with oc.Pool(cluster=client) as pool:
        pool.pids()
        assert pool._engine._carrier.bulk(1) is None
        data = oc.share(np.arange(1_000_000.0))
        assert pool.map_blocks(np.sum, data, reduce="sum") == data.sum()
        assert pool.map(slow, range(50)) == list(range(50))
        assert len(pool.apply(np.ones, (500_000,))) == 500_000
""",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("onecopy.cluster: tcp://127.0.0.1:")
    assert "cannot be reached from here (no way): its messages go by the scheduler" in done.stdout


def test_an_agent_that_is_killed_comes_back(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
def agent_of_me():
    stat = open(f"/proc/{os.getppid()}/stat").read()
    return int(stat.rpartition(")")[2].split()[1])

with cluster(n_workers=1) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        os.kill(pool.apply(agent_of_me), signal.SIGKILL)
        until(lambda: pool.hosts()[0].state == "gone")
        assert pool.hosts()[0].why == "its agent has ended", pool.hosts()
        assert pool.map(slow, range(20)) == list(range(20))
        assert [host.state for host in pool.hosts()] == ["gone", "ready"]
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    body = """
with cluster(n_workers=1) as dask, Client(dask) as client:
    pool = oc.Pool(cluster=client)
    for _ in range(4):
        pool.submit(time.sleep, 600)
    print(*pool.pids(), flush=True)
    time.sleep(600)
"""
    lines = [f"    {line}" for line in body.splitlines()]
    (tmp_path / "driver.py").write_text(HEAD + "\n".join(lines) + TAIL)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    ) as driver:
        assert driver.stdout is not None
        pids = driver.stdout.readline().split()
        assert pids
        driver.send_signal(signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "workers have ended")


@pytest.mark.parametrize("place", ["address", "file", "cluster"])
def test_a_pool_connects_itself(tmp_path: Path, place: str) -> None:
    file = str(tmp_path / "scheduler.json")
    done = program(
        tmp_path,
        f"""
from distributed import default_client
from joblib import Parallel, delayed, parallel_config
import onecopy.joblib
onecopy.joblib.register()
with cluster(n_workers=2) as dask:
    with Client(dask) as client:
        client.write_scheduler_file({file!r})
    def clients():
        return sum(each.startswith("Client-") for each in dask.scheduler.clients)
    until(lambda: not clients())
    place = dict(address=dask.scheduler_address, file={file!r}, cluster=dask)[{place!r}]
    with oc.Pool(cluster=place) as pool:
        assert clients() == 1
        assert pool.map(slow, range(50)) == list(range(50))
        try:
            default_client()
        except ValueError:
            pass
        else:
            raise AssertionError("it is not the program's client")
    until(lambda: not clients())
    with oc.ProcessPoolExecutor(cluster=place) as executor:
        assert executor.submit(slow, 3).result() == 3
    until(lambda: not clients())
    with parallel_config(backend="onecopy", cluster=place):
        assert Parallel()(delayed(slow)(i) for i in range(4)) == [0, 1, 2, 3]
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_place_without_a_scheduler(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import dask
with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
    try:
        oc.Pool(cluster="tcp://127.0.0.1:1")
    except oc.NoHosts as error:
        print(error)
try:
    oc.Pool(cluster="nowhere.json")
except ValueError as error:
    print(error)
""",
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("no Dask scheduler can be reached at tcp://127.0.0.1:1: ")
    assert second.startswith("cluster='nowhere.json' is no address such as")


def test_no_worker_is_there(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
with cluster(n_workers=0) as dask, Client(dask) as client:
    try:
        oc.Pool(cluster=client)
    except oc.NoHosts as error:
        print(error)
""",
    )
    assert "no Dask worker is connected" in done.stdout, done.stderr


def test_other_versions_are_refused(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
ours = carrier.facts()
carrier.check("here", ours.versions)
for name in ours.versions:
    try:
        carrier.check("node7", {**ours.versions, name: "0"})
    except oc.HostMismatch as error:
        assert f"node7 has {name} 0" in str(error), error
        print(name)
""",
    )
    said = done.stdout.split("\n")
    assert said == ["Python", "onecopy", "architecture", "NumPy", ""], done.stderr


def test_an_open_scheduler_elsewhere(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
class Client:
    class scheduler:
        address = ""
places = [
    "tcp://10.0.0.7:8786", "tcp://scheduler.example:8786", "tls://10.0.0.7:8786",
    "tcp://127.0.0.1:8786", "tcp://[::1]:8786", "inproc://10.0.0.7/1/2",
]
for Client.scheduler.address in places:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        carrier._warn_if_open(Client)
    print(*(warning.category.__name__ for warning in caught))
""",
    )
    name = "InsecureClusterWarning"
    assert done.stdout.split("\n") == [name, name, "", "", "", "", ""], done.stderr


_TOLD = {
    "retire_workers": "client.retire_workers([address])",
    "by the scheduler": "client.retire_workers([address])",
    "lifetime": "client.run(end_of_lifetime, workers=[address])",
    "signal": "threading.Thread(target=end_as_signalled, args=(dask, address)).start()",
}


@pytest.mark.parametrize("way", _TOLD)
def test_a_worker_that_is_told_to_end_finishes_what_it_runs(tmp_path: Path, way: str) -> None:
    unreachable = "carrier.Direct = unreachable" if way == "by the scheduler" else ""
    done = program(
        tmp_path,
        f"""
import threading
from pathlib import Path
each_worker_is_a_host()
folder = Path(os.environ["DASK_TEMPORARY_DIRECTORY"]) / "runs"
folder.mkdir()

def unreachable(*arguments):
    raise OSError("no way")

def end_of_lifetime(dask_worker):
    dask_worker.loop.add_callback(dask_worker.close_gracefully)

def end_as_signalled(dask, address):
    (nanny,) = [each for each in dask.workers.values() if each.worker_address == address]
    dask.sync(nanny.close, timeout=100)

def run(i):
    with open(folder / f"{{i}}-{{os.getpid()}}", "x"):
        pass
    while i < 2 and not (folder / "go").exists():
        time.sleep(0.005)
    return i

{unreachable}
with cluster(n_workers=2) as dask, Client(dask) as client:
    pids = client.run(os.getpid)
    with oc.Pool(cluster=client, reruns=0) as pool:
        pool.pids()
        result = pool.map_async(run, range(100), chunksize=1)
        until(lambda: len(list(folder.glob("[01]-*"))) == 2)
        address = "tcp://" + pool.hosts()[0].name.partition("(")[2].rstrip(")")
        {_TOLD[way]}
        until(lambda: pool.hosts()[0].state == "leaving")
        assert pool.hosts()[1].state == "ready"
        (folder / "go").touch()
        assert result.get() == list(range(100))
        assert len(list(folder.glob("*-*"))) == 100  # once each
        until(lambda: pool.hosts()[0].state == "gone")
        assert pool.hosts()[0].why == "" and pool.stats().lost == 0, pool.hosts()
        until(lambda: not os.path.exists(f"/proc/{{pids[address]}}"))
        assert pool.map(run, range(100, 120)) == list(range(100, 120))
        assert len(pool.hosts()) == 2
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_host_moves_to_another_dask_worker_of_its_machine(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
with cluster(n_workers=3) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        assert pool.map(slow, range(20)) == list(range(20))
        (host,) = pool.hosts()
        assert host.workers == 3
        client.retire_workers(["tcp://" + host.name.partition("(")[2].rstrip(")")])
        assert pool.map(slow, range(20)) == list(range(20))
        assert [(host.state, host.workers) for host in pool.hosts()] == [("gone", 3), ("ready", 2)]
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_an_executor_ends_before_its_client(tmp_path: Path) -> None:
    """It finishes what it was given, though the program ends."""
    done = program(
        tmp_path,
        """
dask = cluster(n_workers=1)
client = Client(dask)
executor = oc.ProcessPoolExecutor(cluster=client)
assert executor._max_workers == 1
assert executor.submit(slow, 1).result() == 1
for i in range(5):
    executor.submit(slow, i).add_done_callback(lambda future: print(future.result()))
""",
    )
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n3\n4\n"), done.stderr


def test_joblib(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    done = program(
        tmp_path,
        """
import joblib
import onecopy.joblib
onecopy.joblib.register()
with cluster(n_workers=1) as dask, Client(dask) as client:
    with joblib.parallel_config(backend="onecopy", cluster=client):
        assert joblib.Parallel()(joblib.delayed(abs)(at) for at in (-1, -2)) == [1, 2]
        assert onecopy.joblib.stats().tasks
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_lost_scheduler_is_not_waited_for(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import subprocess
def dask(*words):
    return subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]])
file = os.environ["DASK_TEMPORARY_DIRECTORY"] + "/scheduler.json"
options = ("--scheduler-file", file, "--no-dashboard")
scheduler = dask("scheduler", "--port", "0", "--host", "127.0.0.1", *options)
worker = dask("worker", "--nthreads", "1", *options)
client = Client(scheduler_file=file)
client.wait_for_workers(1)
pool = oc.Pool(cluster=client, hosts_timeout=600)
pool.pids()
result = pool.map_async(time.sleep, [600] * 2, chunksize=1)
until(lambda: pool.stats().running)
scheduler.kill()
try:
    result.get()
except oc.NoHosts as error:
    print(error)
worker.kill()
scheduler.wait(), worker.wait()
os._exit(0)  # its client tries to come back for a long time
""",
    )
    assert "the connection to the Dask scheduler was lost" in done.stdout, done.stderr


@pytest.mark.parametrize("place", ["client.scheduler.address", "file"])
def test_a_command(tmp_path: Path, place: str) -> None:
    """Its client is not the default one of its process."""
    np.save(tmp_path / "data.npy", np.arange(1000.0))
    done = program(
        tmp_path,
        f"""
import subprocess
with cluster(n_workers=1) as dask, Client(dask) as client:
    file = "{tmp_path}/scheduler.json"
    client.write_scheduler_file(file)
    run = [sys.executable, "-m", "onecopy", "run", "numpy:sum", "{tmp_path}/data.npy"]
    run += ["--reduce", "sum", "--cluster", {place}]
    print(subprocess.run(run, stdout=subprocess.PIPE, text=True).stdout, end="")
""",
    )
    assert done.stdout == "499500.0\n", done.stderr


def test_top_shows_the_workers_of_other_machines(tmp_path: Path) -> None:
    done = program(
        tmp_path,
        """
import json, subprocess
def top():
    command = [sys.executable, "-m", "onecopy", "top", str(os.getpid()), "--once", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
each_worker_is_a_host()
with cluster(n_workers=2) as dask, Client(dask) as client:
    with oc.Pool(cluster=client) as pool:
        pool.map(abs, range(20), chunksize=1)
        result = pool.map_async(time.sleep, [60], chunksize=1)
        until(lambda: pool.stats().running)
        (seen,) = top()["pools"]
        assert seen["elsewhere"] and seen["tasks"] == 20, seen
        assert {each["host"] for each in seen["present"]} == {each.name for each in pool.hosts()}
        assert {each["pid"] for each in seen["present"]} == set(pool.pids())
        assert sum(each["tasks"] for each in seen["present"]) == 20, seen
        (busy,) = [each for each in seen["present"] if each["running"]]
        assert busy["running"]["function"] == "time.sleep" and busy["running"]["stop"] == 1, busy
        assert busy["running"]["host"] == busy["host"], busy
        assert busy["running"]["pid"] == busy["pid"], busy
        # What a host's agent does not say is not known.
        (pid,) = [host.pids[0] for host in pool.hosts() if host.name == busy["host"]]
        parent = lambda pid: int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
        os.kill(parent(parent(pid)), signal.SIGSTOP)
        (seen,) = top()["pools"]
        (silent,) = [each for each in seen["present"] if each["host"] == busy["host"]]
        assert (silent["tasks"], silent["running"]) == (-1, None), silent
        os.kill(parent(parent(pid)), signal.SIGCONT)
        pool.terminate()
""",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
