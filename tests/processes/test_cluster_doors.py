"""The other doors to a pool on several hosts: the executor, joblib, groups, the command line.

What an executor does anywhere is in `test_executor*.py`, which `make hosts` runs on hosts too.
"""

from __future__ import annotations

import json
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

import onecopy as oc
import onecopy.joblib
from onecopy._cluster.engine import ClusterEngine
from tests.scripts import until

pytestmark = pytest.mark.door

HOSTS = oc.loopback(2)


def agent_of_me() -> int:
    """In a worker: the agent of its host."""
    stat = Path(f"/proc/{os.getppid()}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def host_of(_: object) -> int:
    return agent_of_me()


def meet(folder: Path) -> int:
    """Wait until a task runs on another host too."""
    agent = agent_of_me()
    (folder / str(agent)).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.005)
    return agent


def wait_for(path: Path) -> str:
    while not path.exists():
        time.sleep(0.005)
    return "there"


def say_and_wait(begun: Path, go: Path) -> str:
    begun.touch()
    return wait_for(go)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    raise ValueError("no")


@pytest.fixture
def executor() -> Iterator[oc.ProcessPoolExecutor]:
    """An executor on two hosts with a worker each."""
    executor = oc.ProcessPoolExecutor(cluster=HOSTS)
    yield executor
    executor.kill_workers()
    executor.shutdown()


def test_an_executor_ends_although_a_stream_has_more_items() -> None:
    """It takes none of them after the shutdown: nothing waits for the hosts that have ended."""
    items = iter(range(4))
    executor = oc.ProcessPoolExecutor(cluster=HOSTS)
    got = executor.map(str, items, buffersize=2)
    executor.shutdown()
    assert operator.length_hint(items) == 2
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        next(got)


class TestExecutor:
    def test_all_hosts_work(self, executor: oc.ProcessPoolExecutor, tmp_path: Path) -> None:
        assert executor._max_workers == 2
        data = oc.share(np.arange(100_000.0))
        assert executor.submit(np.sum, data).result() == data.sum()
        assert set(executor._processes) == set(executor._started().pids())
        assert len(set(executor.map(meet, [tmp_path] * 2, chunksize=1))) == 2

    def test_an_error_and_a_death_are_of_one_call(self, executor: oc.ProcessPoolExecutor) -> None:
        refused, died = executor.submit(refuse), executor.submit(die)
        with pytest.raises(ValueError, match="no"):
            refused.result()
        with pytest.raises(oc.WorkerDied) as caught:
            died.result()
        assert isinstance(caught.value, BrokenProcessPool)
        assert any("loopback-" in note for note in caught.value.__notes__)
        assert executor.submit(abs, -1).result() == 1

    def test_what_waits_is_cancelled_and_what_runs_is_finished(
        self, executor: oc.ProcessPoolExecutor, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        begun = [tmp_path / f"begun-{at}" for at in range(2)]
        running = [executor.submit(say_and_wait, path, go) for path in begun]
        for path in begun:
            wait_for(path)
        waiting: list[Future[int]] = [executor.submit(abs, -at) for at in range(50)]
        executor.shutdown(wait=False, cancel_futures=True)
        assert waiting[-1].cancelled()
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(abs, 1)
        go.touch()
        executor.shutdown()
        assert [future.result() for future in running] == ["there", "there"]
        assert all(future.cancelled() or future.result() >= 0 for future in waiting)

    def test_killed_workers_break_it(
        self, executor: oc.ProcessPoolExecutor, tmp_path: Path
    ) -> None:
        future = executor.submit(say_and_wait, tmp_path / "begun", tmp_path / "go")
        wait_for(tmp_path / "begun")
        executor.kill_workers()
        with pytest.raises(BrokenProcessPool):
            future.result()
        with pytest.raises(RuntimeError):
            executor.submit(abs, 1)

    def test_without_hosts_it_is_broken(self) -> None:
        executor = oc.ProcessPoolExecutor(cluster=oc.loopback(1), hosts_timeout=0.1, reruns=0)
        agent = executor.submit(agent_of_me).result()
        os.kill(agent, signal.SIGKILL)
        until(lambda: bool(executor._broken), "the executor is broken")
        with pytest.raises(BrokenProcessPool, match="no host"):
            executor.submit(abs, 1).result()
        executor.shutdown()

    @pytest.mark.parametrize(
        ("kind", "options", "said"),
        [
            (TypeError, {"max_workers": 2}, "leave max_workers out"),
            (ValueError, {"mp_context": "fork"}, "no other host has"),
            (ValueError, {"mp_context": "thread"}, "no other host has"),
            (ValueError, {"main": "import"}, "goes by value"),
            (ValueError, {"reruns": -1}, "at least 0"),
            (TypeError, {"cluster": 3}, "distributed.Client"),
        ],
    )
    def test_what_cannot_hold_is_refused(self, kind: Any, options: Any, said: str) -> None:
        given: dict[str, Any] = {"cluster": HOSTS, **options}
        with pytest.raises(kind, match=said):
            oc.ProcessPoolExecutor(**given)

    @pytest.mark.parametrize("door", [oc.Pool, oc.ProcessPoolExecutor])
    @pytest.mark.parametrize("options", [{"reruns": 0}, {"files": "ship"}, {"hosts_timeout": 1.0}])
    def test_options_of_hosts_need_hosts(self, door: Any, options: Any) -> None:
        with pytest.raises(TypeError, match="give cluster= too"):
            door(1, **options)


class TestJoblib:
    @pytest.fixture(autouse=True)
    def _registered(self) -> None:
        onecopy.joblib.register()

    def test_all_workers_of_all_hosts(self, tmp_path: Path) -> None:
        with joblib.parallel_config(backend="onecopy", cluster=HOSTS):
            assert joblib.effective_n_jobs() == 2
            call = joblib.Parallel(batch_size=1, pre_dispatch="all")
            met = set(call(joblib.delayed(meet)(tmp_path) for _ in range(2)))
            again = set(call(joblib.delayed(host_of)(at) for at in range(20)))
            assert len(met) == 2
            assert again <= met  # one pool
            assert onecopy.joblib.stats().tasks == 22

    def test_of_a_parallel_and_one_worker_is_a_host_too(self) -> None:
        hosts = oc.loopback(1)
        call = joblib.Parallel(n_jobs=-1, backend="onecopy", cluster=hosts, files="ship")
        (agent,) = set(call(joblib.delayed(host_of)(at) for at in range(10)))
        assert agent != os.getppid()
        assert call(joblib.delayed(abs)(at) for at in (-1, 2)) == [1, 2]

    def test_an_error_is_raised(self) -> None:
        with (
            joblib.parallel_config(backend="onecopy", cluster=HOSTS),
            pytest.raises(ValueError, match="no"),
        ):
            joblib.Parallel()(joblib.delayed(refuse)() for _ in range(4))

    def test_another_number_of_workers_is_refused(self) -> None:
        with (
            joblib.parallel_config(backend="onecopy", cluster=HOSTS),
            pytest.raises(ValueError, match="all 2 workers of the hosts"),
        ):
            joblib.Parallel(n_jobs=3)(joblib.delayed(abs)(at) for at in range(4))
        call = joblib.Parallel(backend="onecopy", n_jobs=-1, cluster=HOSTS, method="thread")
        with pytest.raises(ValueError, match="no other host has"):
            call(joblib.delayed(abs)(at) for at in range(4))


def test_groups() -> None:
    frame = {"key": np.arange(1_000) % 7, "value": np.arange(1_000.0)}
    import pandas as pd

    with oc.Pool(cluster=HOSTS) as pool:
        table = oc.share(pd.DataFrame(frame))
        sums = pool.map_groups(lambda group: float(group["value"].sum()), table, by="key")
        expected = pd.DataFrame(frame).groupby("key")["value"].sum().to_dict()
        assert sums == expected
        assert isinstance(pool._engine, ClusterEngine)
        assert sum(host.shipped for host in pool.hosts()) > 0


class TestRun:
    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "onecopy", "run", *arguments]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        np.save(tmp_path / "data.npy", np.arange(10_000.0))
        (tmp_path / "mine.py").write_text(
            "FACTOR = 2\ndef total(block):\n    return FACTOR * float(block.sum())\n"
            "def bad(block):\n    raise ValueError('no good')\n"
        )
        return tmp_path

    def test_a_function_of_a_file(self, folder: Path) -> None:
        hosts = ("--cluster", "loopback:2x1", "--block", "1000")
        done = self.run(folder, "mine.py:total", "data.npy", "--reduce", "sum", *hosts, "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["result"] == 2 * np.arange(10_000.0).sum()
        assert said["workers"] == 2
        assert [host["name"] for host in said["hosts"]] == ["loopback-1", "loopback-2"]
        assert not any(host["why"] for host in said["hosts"])

    def test_what_is_said(self, folder: Path) -> None:
        done = self.run(
            folder, "numpy:sum", "data.npy", "--reduce", "sum", "--cluster", "loopback:1"
        )
        assert (done.returncode, done.stdout) == (0, "49995000.0\n"), done.stderr
        assert "hosts    1, sent " in done.stderr

    def test_an_error_of_the_function(self, folder: Path) -> None:
        done = self.run(folder, "mine.py:bad", "data.npy", "--cluster", "loopback:1")
        assert done.returncode == 1
        assert "ValueError: no good" in done.stderr

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--cluster", "loopback:2", "--workers", "3"), "no --workers"),
            (("--cluster", "loopback:2", "--method", "fork"), "no other host has"),
            (("--cluster", "loopback:x"), "loopback:HOSTS"),
            (("--cluster", "no such address"), "it is no address"),
        ],
    )
    def test_what_cannot_hold_is_refused(
        self, folder: Path, options: tuple[str, ...], said: str
    ) -> None:
        done = self.run(folder, "numpy:sum", "data.npy", *options)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
