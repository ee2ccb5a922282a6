"""A pool on several hosts, as it is seen: records, memory and reports by host."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._observe.columns import AGENT, OWNER
from onecopy._report import gather, hosts, saved, terminal
from tests.processes.test_cluster import agent_of_me, wait_for
from tests.scripts import until


@pytest.fixture(scope="module")
def pool() -> Iterator[oc.Pool]:
    """Two hosts with two workers each, which have done something."""
    with oc.Pool(cluster=oc.loopback(2, 2)) as pool:
        pool.pids()
        data = oc.share(np.arange(200_000.0))
        pool.map_blocks(np.sum, data, block=1_000)
        pool.map(abs, range(400), chunksize=1)
        yield pool


NAMES = ["loopback-1", "loopback-2"]


def test_each_record_has_its_host(pool: oc.Pool) -> None:
    spans = pool.spans()
    assert set(spans["host"]) == set(NAMES)
    pids = {name: set(spans["pid"][spans["host"] == name].tolist()) for name in NAMES}
    for host in pool.hosts():
        assert pids[host.name] <= set(host.pids)


def test_stats_say_what_runs_where(pool: oc.Pool, tmp_path: Path) -> None:
    assert pool.stats().running == ()
    call = pool.submit(wait_for, tmp_path / "go")
    until(lambda: len(pool.stats().running) == 1, "it runs")
    (now,) = pool.stats().running
    assert (now.function, now.method) == (f"{wait_for.__module__}.wait_for", "submit")
    assert now.host in NAMES
    assert now.pid == 0
    assert str(now).endswith(f" s on {now.host}")
    assert "1 busy with" in repr(pool)
    (tmp_path / "go").touch()
    call.result()
    with oc.Pool(1) as other:
        again = other.submit(wait_for, tmp_path / "again")
        until(lambda: len(other.stats().running) == 1, "it runs")
        (now,) = other.stats().running
        assert (now.host, now.pid) == ("", other.pids()[0])
        assert str(now).endswith(" s")
        (tmp_path / "again").touch()
        again.result()


def test_records_of_this_machine_have_its_name() -> None:
    with oc.Pool(1) as pool:
        pool.apply(abs, (-1,))
        assert set(pool.spans()["host"]) == {gethostname()}
        (memory,) = pool.memory().values()
        assert memory.processes[0].pid == os.getpid()
        assert gather.run(pool._engine).hosts == ()


def test_a_task_that_is_lost_with_its_host_has_none(tmp_path: Path) -> None:
    def end_my_host() -> None:
        os.kill(agent_of_me(), signal.SIGKILL)
        wait_for(tmp_path / "never")

    with oc.Pool(cluster=oc.loopback(2), reruns=0) as pool:
        with pytest.raises(oc.HostLost):
            pool.apply(end_my_host)
        assert pool.spans()["host"].tolist() == [""]
        run = gather.run(pool._engine)
        assert sum(row.state == "gone" for row in run.hosts) == 1


def test_memory_by_host(pool: oc.Pool) -> None:
    found = pool.memory()
    assert list(found) == [gethostname(), *NAMES]
    seen: set[int] = set()
    for host in pool.hosts():
        pids = {each.pid for each in found[host.name].processes}
        assert set(host.pids) < pids  # and an agent
        assert not seen & pids
        assert found[host.name].pss > 0
        seen |= pids
    assert not seen & {each.pid for each in found[gethostname()].processes}


def test_hosts_report_their_memory(pool: oc.Pool) -> None:
    run = gather.run(pool._engine)  # has them read it
    for at, host in enumerate(pool.hosts(), 1):
        rows = run.memory[run.memory["host"] == at]
        workers = run.workers["worker"][run.workers["host"] == at]
        assert AGENT in rows["worker"]
        assert OWNER not in rows["worker"]
        assert set(rows["worker"][rows["worker"] > 0]) == set(workers)
        assert host.peak_pss == max(
            rows["pss"][rows["time"] == time].sum() for time in np.unique(rows["time"])
        )
    times, sums = hosts.sums(run, "pss")
    assert len(sums) == 3
    assert all(len(each) == len(times) for each in sums)
    assert all(each[-1] > 0 for each in sums)


def test_a_host_that_is_gone_does_not_answer(tmp_path: Path) -> None:
    with oc.Pool(cluster=oc.loopback(2)) as pool:
        pool.pids()
        killed = int(pool.map(lambda _: agent_of_me(), [0])[0])
        os.kill(killed, signal.SIGKILL)
        until(lambda: any(host.state == "gone" for host in pool.hosts()), "one is lost")
        assert len(pool.memory()) == 2


def test_reports(pool: oc.Pool, tmp_path: Path) -> None:
    run = gather.run(pool._engine)
    text = io.StringIO()
    terminal.print_report(run, text, 100)
    said = text.getvalue()
    assert "4 workers on 2 hosts" in said
    for name in NAMES:
        assert re.search(rf"^{name}$", said, re.MULTILINE)  # above its workers' lanes
        assert re.search(rf"^{name} +ready +2 +\d+", said, re.MULTILINE)
    for suffix in (".html", ".json", ".onecopy"):
        pool.report(tmp_path / f"run{suffix}")
    page = (tmp_path / "run.html").read_text()
    head = json.loads(page.partition('id="run">')[2].partition("</script>")[0])
    labels = [lane["label"] for lane in head["lanes"]]
    assert [label for label in labels if not label.startswith("worker")] == [
        "loopback-1",
        "together",
        "loopback-2",
        "together",
    ]
    assert [each["label"] for each in head["memory"]["processes"]] == ["main process", *NAMES]
    assert "<h2>Hosts</h2>" in page
    again = saved.load(tmp_path / "run.onecopy")
    assert [row.name for row in again.hosts] == [gethostname(), *NAMES]
    assert hosts.named(again, int(again.workers["worker"][0])).endswith("on loopback-1")


def test_traces_keep_processes_of_two_hosts_apart(pool: oc.Pool, tmp_path: Path) -> None:
    pool.report(tmp_path / "run.json")
    events: list[dict[str, Any]] = json.loads((tmp_path / "run.json").read_text())["traceEvents"]
    names = {each["pid"]: each["args"]["name"] for each in events if each["name"] == "process_name"}
    for name in NAMES:
        assert f"{name}: agent" in names.values()
        assert sum(said.startswith(f"{name}: worker") for said in names.values()) == 2
    counted = {each["pid"] for each in events if each["ph"] == "C"}
    assert counted <= set(names)


def test_hosts_have_figures(pool: oc.Pool) -> None:
    gather.run(pool._engine)
    assert pool.stats().peak_pss > sum(host.peak_pss for host in pool.hosts())
    for host in pool.hosts():
        assert 0 < host.pss <= host.peak_pss
        assert host.clock_error == 0.0  # of this machine
