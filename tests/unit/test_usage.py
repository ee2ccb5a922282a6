"""The usage of single tasks: what is read, and what is assumed."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic_ns, sleep, thread_time_ns

import pytest

from onecopy._system import usage
from onecopy._system.usage import SHORT, Meter

MS = 1_000_000


def compute(nanoseconds: int) -> None:
    end = thread_time_ns() + nanoseconds
    while thread_time_ns() < end:
        pass


def wait_often() -> None:
    for _ in range(5):
        sleep(0.002)


class Task:
    """Runs functions as a worker does: waits, begins, calls, encodes, sends."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.since = monotonic_ns()

    def run(
        self,
        function: object,
        encoding: int = 0,
        sending: int = 0,
        decoding: int = 0,
        *,
        waits: bool = True,
    ) -> usage.Used:
        if waits:
            self.meter.waits(self.since)
        since = monotonic_ns()
        compute(decoding)
        started = monotonic_ns()
        self.meter.begins(since, started)
        assert callable(function)
        function()
        ended = monotonic_ns()
        found = self.meter.took(since, started, ended, 0, 0)
        compute(encoding + sending)
        self.since = ended + encoding + sending  # whatever else runs on this machine
        return found


@pytest.fixture
def task() -> Iterator[Task]:
    task = Task()
    yield task
    task.meter.delay.close()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The system calls of readings, in their order."""
    seen: list[str] = []
    names = {resource.RUSAGE_SELF: "self", resource.RUSAGE_CHILDREN: "children"}
    getrusage, now = resource.getrusage, usage.Delay.now

    class Watched:
        RUSAGE_SELF, RUSAGE_CHILDREN = names

        @staticmethod
        def getrusage(who: int) -> resource.struct_rusage:
            seen.append(names[who])
            return getrusage(who)

    def watched(delay: usage.Delay) -> bytes:
        seen.append("delay")
        return now(delay)

    monkeypatch.setattr("onecopy._system.usage.resource", Watched)
    monkeypatch.setattr(usage.Delay, "now", watched)
    return seen


def test_a_task_that_computes_costs_two_readings(task: Task, reads: list[str]) -> None:
    task.run(lambda: compute(MS))
    del reads[:]
    cpu, *_ = task.run(lambda: compute(MS))
    assert 0.8 * MS < cpu < 3 * MS
    assert reads[:2] == ["delay", "self"]
    # On a busy machine it was without a CPU for a while, and then the rest is read too.
    assert reads[2:] in ([], ["children", "delay"])


def test_a_task_that_waits_has_all_figures(task: Task, reads: list[str]) -> None:
    task.run(lambda: compute(MS))
    del reads[:]
    cpu, _, _, _, _, voluntary, _ = task.run(wait_often)
    assert cpu < 5 * MS
    assert voluntary >= 3  # one less for each time that the worker has waited for work
    assert reads == ["delay", "self", "children", "delay"]


def test_what_surrounds_short_tasks_is_not_the_next_task_s(task: Task) -> None:
    for _ in range(500):
        task.run(lambda: None, encoding=20_000)
    cpu, *_ = task.run(lambda: compute(MS))
    assert 0.8 * MS < cpu < 3 * MS


@pytest.mark.parametrize("sending", [SHORT // 2, 5 * MS])  # assumed to compute; read
def test_sending_a_result_is_not_the_next_task_s(task: Task, sending: int) -> None:
    task.run(lambda: compute(MS), sending=sending)
    cpu, *_ = task.run(lambda: compute(2 * MS))
    assert 1.8 * MS < cpu < 4 * MS


def test_what_surrounds_tasks_in_a_row_is_not_theirs(task: Task) -> None:
    """Their messages came together: the worker does not wait between them."""
    task.run(lambda: compute(MS))
    found = [
        task.run(lambda: compute(MS // 4), SHORT // 2, SHORT // 3, SHORT // 2, waits=False)[0]
        for _ in range(100)
    ]
    assert 20 * MS < sum(found) < 33 * MS


def test_what_surrounds_short_tasks_in_a_row_is_not_the_next_task_s(task: Task) -> None:
    for _ in range(500):
        task.run(lambda: None, encoding=10_000, decoding=10_000, waits=False)
    cpu, *_ = task.run(lambda: compute(2 * MS), waits=False)
    assert 1.2 * MS < cpu < 4 * MS


def test_a_wait_between_is_no_computing(task: Task) -> None:
    task.run(lambda: compute(MS))
    task.meter.waits(task.since)  # frames that were no task came, and it waits again
    sleep(0.002)
    task.since = monotonic_ns()
    cpu, *_ = task.run(lambda: compute(MS))
    assert 0.8 * MS < cpu < 3 * MS


def test_programs_that_a_task_waits_for_compute_for_it(task: Task) -> None:
    source = "import time\nwhile time.process_time() < 0.2: pass"
    command = [sys.executable, "-S", "-c", source]
    cpu, *_ = task.run(lambda: subprocess.run(command, check=True))
    assert cpu > 150 * MS
