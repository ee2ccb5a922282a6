"""A pool on made-up hosts: what one machine does not have. Losses, shipping, refusals, the end.

What is the same on one machine is in `test_cluster_pool.py`.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._report import gather
from tests.children import in_child
from tests.clusters import Cluster
from tests.scripts import until


@pytest.fixture
def make(cluster: Cluster) -> Iterator[Any]:
    """Make pools on hosts, which are gone when the test is."""
    pools: list[oc.Pool] = []

    def make(hosts: int = 2, workers: int = 1, **options: Any) -> oc.Pool:
        pools.append(oc.Pool(cluster=cluster(hosts, workers), **options))
        return pools[-1]

    yield make
    while pools:
        pool = pools.pop()
        pool.terminate()
        pool.join()


@pytest.fixture
def patience(request: pytest.FixtureRequest) -> float:
    """Seconds in which the first host has come; made-up ones come at once."""
    return 0.2 if request.config.getoption("--cluster") == "loopback" else 20


def agents(pool: oc.Pool) -> list[int]:
    """The agents' process ids, in the order of `pool.hosts()`."""
    pool.pids()  # all are there
    return [agent_of(parent_of(host.pids[0])) for host in pool.hosts()]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def agent_of(zygote: int) -> int:
    return parent_of(zygote)


def agent_of_me() -> int:
    """In a worker: the agent of its host."""
    return agent_of(os.getppid())


def host_and_pid(_: Any) -> tuple[int, int]:
    return agent_of_me(), os.getpid()


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.005)


def append(path: Path, text: str) -> None:
    with open(path, "a") as file:
        file.write(text)


def mark_and_wait(folder: Path, i: int) -> int:
    """The first run of 0 hangs until its host is killed; each run leaves a line."""
    append(folder / f"runs-{i}", "x")
    if i == 0 and len((folder / "runs-0").read_text()) == 1:
        (folder / "begun").write_text(str(agent_of_me()))
        while True:
            time.sleep(1)
    return i


def kill_my_host(folder: Path) -> None:
    append(folder / "runs", "x")
    os.kill(agent_of_me(), signal.SIGKILL)
    while True:
        time.sleep(1)


def wait_and_return(path: Path, value: int) -> int:
    wait_for(path)
    return value


def quick_or_long(path: Path | None) -> None:
    if path is not None:
        wait_for(path)


def total(array: Any) -> float:
    return float(array.sum())


def shared_here(_: Any) -> Any:
    return oc.share({"a": np.arange(200_000), "text": "made there"})


class TestHosts:
    def test_workers_of_all_hosts_work(self, make: Any) -> None:
        pool = make(hosts=3, workers=2)
        assert pool.workers == 6
        seen = set(pool.map(host_and_pid, range(600), chunksize=1))
        assert {pid for _, pid in seen} <= set(pool.pids())
        assert {agent for agent, _ in seen} <= set(agents(pool))
        hosts = pool.hosts()
        assert len({host.name for host in hosts}) == 3
        assert [host.workers for host in hosts] == [2, 2, 2]
        assert {host.state for host in hosts} == {"ready"}
        assert sorted(pid for host in hosts for pid in host.pids) == sorted(pool.pids())

    def test_a_pool_on_this_machine_has_none(self) -> None:
        with oc.Pool(1) as pool:
            assert pool.hosts() == []

    def test_records_come_once_with_worker_and_task(
        self, make: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        pool = make(hosts=2)

        def say(i: int) -> int:
            logging.getLogger("here").info("item %d", i)
            return i

        with caplog.at_level(logging.INFO):
            assert pool.map(say, range(50), chunksize=1) == list(range(50))
            ours: list[Any] = [record for record in caplog.records if record.name == "here"]
        assert sorted(record.msg for record in ours) == sorted(f"item {i}" for i in range(50))
        known = {row[0] for row in pool._engine.worker_history()}
        assert {record.worker for record in ours} <= known
        assert len({record.task for record in ours}) == 1

    def test_the_report_adds_up(self, make: Any) -> None:
        pool = make(hosts=2)
        pool.map(host_and_pid, range(100), chunksize=1)
        accounting = gather.run(pool._engine).accounting()
        assert abs(accounting.other) <= 0.05 * accounting.workers * accounting.wall

    def test_spans_name_the_process(self, make: Any) -> None:
        pool = make(hosts=2)
        ran = {pid for _, pid in pool.map(host_and_pid, range(20), chunksize=1)}
        spans = pool.spans()
        assert len(spans) == 20
        assert set(spans["pid"]) == ran
        assert (spans["sent"] <= spans["returned"]).all()
        assert (spans["received"] <= spans["finished"]).all()
        if pool.hosts()[0].name.startswith("loopback"):  # others' clocks are estimated
            assert (spans["sent"] <= spans["received"]).all()
            assert (spans["finished"] <= spans["returned"]).all()


class TestShipping:
    def test_a_small_array_costs_little_more_than_its_size(self, make: Any) -> None:
        pool = make(hosts=2)
        oc.share(np.ones(10_000))  # another one, in the same common segment
        data = oc.share(np.ones(10_000))
        assert pool.map(total, [data] * 20, chunksize=1) == [10_000.0] * 20
        for host in pool.hosts():
            assert host.shipped in (0, data.nbytes)

    def test_each_byte_goes_to_a_host_once(self, make: Any) -> None:
        pool = make(hosts=2, workers=2)
        data = oc.share(np.arange(2_000_000.0))
        for _ in range(3):
            parts = pool.map_blocks(np.sum, data, block=50_000)
            assert sum(parts) == data.sum()
            assert pool.map(total, [data] * 8, chunksize=1) == [data.sum()] * 8
        shipped = [host.shipped for host in pool.hosts()]
        assert all(each <= data.nbytes for each in shipped)
        assert any(each == data.nbytes for each in shipped)
        assert pool.stats().bytes_copied == 0

    def test_hosts_forget_what_the_driver_has_no_view_of(self, make: Any) -> None:
        pool = make(hosts=2)
        data = oc.share(np.arange(1_000_000.0))
        pool.map(total, [data] * 8, chunksize=1)
        assert any(host.shared for host in pool.hosts())
        del data
        until(lambda: not any(host.shared for host in pool.hosts()), "the hosts have forgotten it")
        again = oc.share(np.arange(1_000_000.0))
        assert pool.map(total, [again] * 8, chunksize=1) == [again.sum()] * 8

    def test_a_view_that_comes_back_is_the_driver_s_own(self, make: Any) -> None:
        pool = make(hosts=1)
        data = oc.share(np.arange(1_000_000.0))
        back = pool.apply(np.flip, (data,))
        assert np.shares_memory(back, data)
        assert (back == data[::-1]).all()

    def test_what_a_task_shares_comes_by_value(self, make: Any) -> None:
        pool = make(hosts=1)
        there = pool.apply(shared_here, (0,))
        assert (there["a"] == np.arange(200_000)).all()
        assert there["text"] == "made there"

    def test_a_task_cannot_return_open_memory(self, make: Any) -> None:
        pool = make(hosts=1)
        for made in (lambda: oc.zeros(5), lambda: [oc.Counter(), np.ones(100_000)]):
            with pytest.raises(oc.NotShared, match="return a copy"):
                pool.apply(made)
        assert pool.apply(lambda: np.array(oc.zeros(5))).tolist() == [0] * 5

    def test_plain_arguments_and_results_are_writable_copies(self, make: Any) -> None:
        pool = make(hosts=1)
        data = np.arange(300_000.0)
        result = pool.apply(np.negative, (data,))
        result[0] = 5
        assert (result[1:] == -data[1:]).all()

    def test_a_file_that_hosts_see_is_mapped(self, make: Any, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.arange(1_000_000.0))
        data = oc.load(tmp_path / "a.npy")
        pool = make(hosts=2)
        assert pool.map(total, [data] * 8, chunksize=1) == [data.sum()] * 8
        assert [host.shipped for host in pool.hosts()] == [0, 0]

    def test_a_file_is_shipped_if_told_so(self, make: Any, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.arange(1_000_000.0))
        data = oc.load(tmp_path / "a.npy")
        pool = make(hosts=1, files="ship")
        assert pool.apply(total, (data,)) == data.sum()
        assert pool.hosts()[0].shipped >= data.nbytes

    @pytest.mark.parametrize("files", ["auto", "same"])
    def test_another_file_of_that_name(self, make: Any, tmp_path: Path, files: Any) -> None:
        np.save(tmp_path / "a.npy", np.arange(1_000_000.0))
        data = oc.load(tmp_path / "a.npy")
        expected = data.sum()
        (tmp_path / "a.npy").rename(tmp_path / "b.npy")
        np.save(tmp_path / "a.npy", np.zeros(1_000_000))
        pool = make(hosts=1, files=files)
        if files == "auto":
            assert pool.apply(total, (data,)) == expected
            assert pool.hosts()[0].shipped >= data.nbytes
        else:
            with pytest.raises(oc.BadFile, match="does not see the same file") as caught:
                pool.apply(total, (data,))
            assert f": {pool.hosts()[0].name} does not see" in str(caught.value)

    def test_open_memory_is_refused_and_the_pool_goes_on(self, make: Any) -> None:
        pool = make(hosts=1)
        with pytest.raises(oc.NotShared, match="is on the driver's machine"):
            pool.apply(total, (oc.zeros(10),))
        frozen = oc.freeze(oc.zeros(10))
        assert pool.apply(total, (frozen,)) == 0


class TestLosses:
    # A signal of real time has no name.
    @pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (35, "signal 35")])
    def test_work_of_a_killed_host_is_given_to_another(
        self, make: Any, tmp_path: Path, number: int, name: str
    ) -> None:
        pool = make(hosts=3)
        futures = [pool.submit(mark_and_wait, tmp_path, i) for i in range(60)]
        wait_for(tmp_path / "begun")
        victim = int((tmp_path / "begun").read_text())
        os.kill(victim, number)
        assert [future.result() for future in futures] == list(range(60))
        assert (tmp_path / "runs-0").read_text() == "xx"
        lost = [host for host in pool.hosts() if host.state == "gone"]
        assert [host.why for host in lost] == [f"its agent was killed by {name}"]
        assert len(pool.pids()) == 2

    def test_no_worker_outlives_its_agent(self, make: Any) -> None:
        pool = make(hosts=2, workers=2)
        agent = agents(pool)[0]
        pids = pool.hosts()[0].pids
        os.kill(agent, signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "they have ended")
        assert pool.map(abs, range(-5, 0)) == [5, 4, 3, 2, 1]

    def test_without_reruns_it_fails_at_once(self, make: Any, tmp_path: Path) -> None:
        pool = make(hosts=2, reruns=0)
        with pytest.raises(oc.HostLost, match=r"was lost while it had .*kill_my_host") as caught:
            pool.apply(kill_my_host, (tmp_path,))
        assert caught.value.host in [host.name for host in pool.hosts()]
        assert (tmp_path / "runs").read_text() == "x"
        assert pool.apply(abs, (-1,)) == 1

    def test_a_task_that_kills_hosts_does_not_kill_all(self, make: Any, tmp_path: Path) -> None:
        pool = make(hosts=3, reruns=1)
        with pytest.raises(oc.HostLost, match="given out 2 times") as caught:
            pool.apply(kill_my_host, (tmp_path,))
        assert len(set(caught.value.hosts)) == 2
        assert (tmp_path / "runs").read_text() == "xx"
        assert pool.apply(abs, (-1,)) == 1

    def test_when_the_last_host_is_lost(self, make: Any, tmp_path: Path, patience: float) -> None:
        pool = make(hosts=1, hosts_timeout=patience)
        future = pool.submit(kill_my_host, tmp_path)
        with pytest.raises(oc.NoHosts, match="its agent was killed by SIGKILL"):
            future.result()
        with pytest.raises(oc.NoHosts):
            pool.apply(abs, (-1,))

    def test_when_the_last_host_of_a_closed_pool_is_lost(
        self, make: Any, tmp_path: Path, patience: float
    ) -> None:
        pool = make(hosts=1, hosts_timeout=patience)
        future = pool.submit(kill_my_host, tmp_path)
        pool.close()
        pool.join()
        with pytest.raises(oc.NoHosts):
            future.result()

    def test_a_killed_worker_costs_its_own_task(self, make: Any) -> None:
        pool = make(hosts=2)
        dead = pool.submit(os.abort)
        assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        with pytest.raises(oc.WorkerDied, match="SIGABRT") as caught:
            dead.result()
        names = [host.name for host in pool.hosts()]
        assert any(f"on {name}" in note for note in caught.value.__notes__ for name in names)

    def test_an_iteration_goes_on(self, make: Any) -> None:
        pool = make(hosts=2)
        victims = agents(pool)
        got = []
        for value in pool.imap(abs, range(-500, 0)):
            got.append(value)
            if len(got) == 100:
                os.kill(victims[0], signal.SIGKILL)
        assert got == list(range(500, 0, -1))

    def test_a_handed_out_span_of_a_map_is_run_again(self, make: Any, tmp_path: Path) -> None:
        pool = make(hosts=2)
        result = pool.map_async(Marked(tmp_path), range(200), chunksize=5)
        wait_for(tmp_path / "begun")
        os.kill(int((tmp_path / "begun").read_text()), signal.SIGKILL)
        assert result.get() == list(range(200))


class Marked:
    """`mark_and_wait` for maps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, i: int) -> int:
        return mark_and_wait(self.folder, i)


def quick(i: int) -> int:
    return i


def test_a_tiny_task_does_not_wait_long_for_one_that_is_not(make: Any, tmp_path: Path) -> None:
    """Tiny ones are put behind each other, so that many hosts are not woken for each."""
    with make() as pool:
        for _ in range(200):
            pool.submit(quick_or_long, None).result()
        slow = pool.submit(quick_or_long, tmp_path / "go")
        assert pool.submit(quick_or_long, None).result(timeout=60) is None
        assert not slow.done()
        (tmp_path / "go").touch()
        assert slow.result(timeout=60) is None


class Waiting:
    """Item 0 waits until all others have been run."""

    def __init__(self, folder: Path, items: int) -> None:
        self.folder = folder
        self.items = items

    def __call__(self, i: int) -> int:
        file = self.folder / "run"
        if i == 0:
            while not file.exists() or file.stat().st_size < self.items - 1:
                time.sleep(0.005)
        else:
            append(file, "x")
        return i


class TestOrder:
    def test_work_behind_something_long_goes_to_another_host(
        self, make: Any, tmp_path: Path
    ) -> None:
        pool = make(hosts=2)
        for _ in range(3):
            assert pool.map(abs, range(-20, 0), chunksize=1)  # they are known to be quick
        for _ in range(3):
            [pool.submit(wait_and_return, tmp_path, i).result() for i in range(20)]
        flag = tmp_path / "flag"
        first = [pool.submit(wait_and_return, flag, 0)]
        others = [pool.submit(wait_and_return, tmp_path, i) for i in range(1, 100)]
        assert [future.result() for future in others] == list(range(1, 100))
        flag.touch()
        assert first[0].result() == 0

    def test_an_item_may_wait_for_all_others_of_its_chunk(self, make: Any, tmp_path: Path) -> None:
        pool = make(hosts=2)
        pool.map(quick, range(4000))  # now they are known to be quick: chunks are long
        assert pool.map(Waiting(tmp_path, 2000), range(2000)) == list(range(2000))

    def test_cancelled_work_is_killed(self, make: Any, tmp_path: Path) -> None:
        pool = make(hosts=2)
        hung = pool.submit(mark_and_wait, tmp_path, 0)
        wait_for(tmp_path / "begun")
        assert pool.cancel(hung)
        assert hung.cancelled()
        assert pool.map(abs, [-1] * 20, chunksize=1) == [1] * 20

    def test_a_timeout_ends_the_worker_there(self, make: Any, tmp_path: Path) -> None:
        pool = make(hosts=1)
        with pytest.raises(oc.TaskTimeout):
            pool.options(timeout=0.2).apply(mark_and_wait, (tmp_path, 0))
        assert pool.apply(abs, (-1,)) == 1

    def test_close_and_join_finish_the_work(self, make: Any) -> None:
        pool = make(hosts=2)
        result = pool.map_async(abs, range(-1000, 0))
        pool.close()
        pool.join()
        assert result.get() == list(range(1000, 0, -1))
        assert {host.state for host in pool.hosts()} == {"gone"}
        assert {host.why for host in pool.hosts()} == {""}

    def test_terminate_while_a_task_hangs(self, make: Any, tmp_path: Path) -> None:
        pool = make(hosts=2)
        hung = pool.submit(mark_and_wait, tmp_path, 0)
        wait_for(tmp_path / "begun")
        pool.terminate()
        pool.join()
        with pytest.raises(oc.PoolClosed):
            hung.result()

    def test_from_many_threads(self, make: Any) -> None:
        pool = make(hosts=2, workers=2)
        got: list[int] = []

        def call(n: int) -> None:
            got.extend([pool.apply(abs, (-(n * 50 + i),)) for i in range(50)])

        threads = [threading.Thread(target=call, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == list(range(300))


_DRIVER = """
import os, sys, time
import onecopy as oc
def hang(): time.sleep(600)
pool = oc.Pool(cluster=oc.loopback(hosts=2, workers=2))
[pool.submit(hang) for _ in range(8)]
print(*pool.pids(), flush=True)
time.sleep(600)
"""


def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    (tmp_path / "driver.py").write_text(_DRIVER)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py")], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        pids = driver.stdout.readline().split()
        assert len(pids) == 4
        driver.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "workers have ended")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"workers": 2}, TypeError, "leave workers out"),
        ({"method": "fork"}, ValueError, "no other host has"),
        ({"method": "thread"}, ValueError, "no other host has"),
        ({"main": "import"}, ValueError, "goes by value"),
        ({"reruns": -1}, ValueError, "at least 0"),
        ({"files": "some"}, ValueError, "auto, ship, same"),
        ({"hosts_timeout": 0}, ValueError, "above 0"),
        ({"cluster": "tcp://here"}, ValueError, "no address such as tcp://10.0.0.1:8786"),
        ({"cluster": 5}, TypeError, "not an int"),
    ],
)
def test_refused(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        oc.Pool(**{"cluster": oc.loopback(), **options})


@pytest.mark.parametrize(
    ("values", "error"), [((0, 1), ValueError), ((1, 0), ValueError), ((1.5, 1), TypeError)]
)
def test_numbers_of_made_up_hosts(values: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        oc.loopback(*values)


def test_an_initializer_that_fails(make: Any) -> None:
    def fail() -> None:
        raise RuntimeError("no licence")

    pool = make(hosts=2, initializer=fail)
    with pytest.raises(oc.InitializerFailed, match="no licence"):
        pool.apply(abs, (1,))


def test_a_child_that_is_forked_after_a_host_has_ended(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has nothing to close of that host."""
    pool = make(hosts=2)
    os.kill(agents(pool)[0], signal.SIGKILL)
    until(lambda: any(host.state == "gone" for host in pool.hosts()), "the host is lost")
    faults: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", faults.append)

    def look() -> None:
        assert not faults, [each.exc_value for each in faults]

    assert in_child(look) == 0


def test_a_forked_child_cannot_use_it(make: Any) -> None:
    pool = make(hosts=1)
    assert pool.apply(abs, (-1,)) == 1

    def use() -> None:
        with pytest.raises(oc.PoolClosed):
            pool.apply(abs, (-1,))

    assert in_child(use) == 0
    assert pool.apply(abs, (-2,)) == 2
