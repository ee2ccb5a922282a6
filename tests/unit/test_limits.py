"""Time and memory limits: when they are broken, and when they are looked at again. The clock
and the figures of the kernel are made up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from onecopy import errors
from onecopy._engine import limits
from onecopy._engine.limits import Limits
from onecopy._engine.rules import Rules
from onecopy._system import procfs
from onecopy._system.procfs import Mappings


@dataclass
class Worker:
    pid: int = 7
    sent: tuple[int, float] = (0, 0.0)


@dataclass
class Machine:
    """The world that ``limits`` sees."""

    now: float = 1000.0
    slow: float = 0.0  # seconds that reading the mappings takes
    anonymous: int = 0
    mappings: Mappings | None = None
    read: list[str] = field(default_factory=list)

    def shown(self, own: int) -> None:
        self.mappings = Mappings(own, 10 * own, 10 * own, 5 * own)

    def read_anonymous(self, pid: int) -> int:
        self.read.append("quick")
        return self.anonymous

    def read_mappings(self, pid: int) -> Mappings | None:
        self.read.append("slow")
        self.now += self.slow
        return self.mappings


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(limits, "monotonic", lambda: made.now)
    monkeypatch.setattr(procfs, "anonymous", made.read_anonymous)
    monkeypatch.setattr(procfs, "mappings", made.read_mappings)
    return made


def limited(machine: Machine, rules: Rules) -> tuple[Limits, Worker]:
    """Limits that hold for assignment 1, which was sent just now."""
    made, worker = Limits(), Worker(sent=(1, machine.now))
    made.add(1, worker, rules, "the task")
    return made, worker


def again_in(found: Limits) -> float | None:
    """Nothing is broken; in how many seconds to look again."""
    breaches, again = found.look()
    assert not breaches
    return again


def test_nothing_to_look_at(machine: Machine) -> None:
    assert Limits().look() == ([], None)


def test_time(machine: Machine) -> None:
    found, worker = limited(machine, Rules(timeout=5))
    assert found.look() == ([], 5.0)
    machine.now += 3
    assert found.look() == ([], 2.0)
    machine.now += 2
    [(assignment, who, error)], again = found.look()
    assert (assignment, who, again) == (1, worker, None)
    assert isinstance(error, errors.TaskTimeout)
    assert (error.task, error.timeout) == ("the task", 5)
    assert found.look() == ([], None), "said once"
    assert machine.read == [], "memory is not looked at"


def test_time_begins_when_it_is_sent(machine: Machine) -> None:
    found, worker = limited(machine, Rules(timeout=5))
    worker.sent = (0, machine.now)
    machine.now += 100
    breaches, again = found.look()
    assert not breaches
    assert again is not None
    assert 0 < again < 0.1, "soon: its arguments are being copied"
    worker.sent = (1, machine.now)
    assert found.look() == ([], 5.0)


@pytest.mark.parametrize("timeout", [1e9, float("inf")])
def test_a_long_time_is_waited_for_in_parts(machine: Machine, timeout: float) -> None:
    found, _ = limited(machine, Rules(timeout=timeout))
    _, again = found.look()
    assert again is not None
    assert again <= 24 * 3600, "what waits takes no more than 24 days"


def test_one_that_has_ended_is_not_looked_at(machine: Machine) -> None:
    found, _ = limited(machine, Rules(timeout=5, memory_limit=100))
    found.remove(1)
    machine.now += 10
    assert found.look() == ([], None)
    found.remove(1)


def test_memory(machine: Machine) -> None:
    found, worker = limited(machine, Rules(memory_limit=100))
    machine.anonymous = 99
    assert again_in(found) == pytest.approx(0.02)
    assert machine.read == ["quick"], "that is enough as long as it is less"
    machine.anonymous = 150
    machine.shown(120)
    assert not found.look()[0], "not looked at between two looks"
    machine.now += 0.02
    [(assignment, who, error)], again = found.look()
    assert (assignment, who, again) == (1, worker, None)
    assert isinstance(error, errors.WorkerOutOfMemory)
    assert (error.pid, error.limit, error.memory, error.task) == (7, 100, 120, "the task")


def test_what_is_not_its_own_does_not_count(machine: Machine) -> None:
    found, _ = limited(machine, Rules(memory_limit=100))
    machine.anonymous = 200
    machine.shown(99)
    assert not found.look()[0], "inherited and shared memory is there, ten times as much"


def test_a_worker_that_is_gone_breaks_nothing(machine: Machine) -> None:
    found, _ = limited(machine, Rules(memory_limit=100))
    machine.anonymous, machine.mappings = 200, None
    assert not found.look()[0]


def test_what_takes_long_is_asked_seldom_unless_it_has_grown(machine: Machine) -> None:
    found, _ = limited(machine, Rules(memory_limit=100))
    machine.anonymous, machine.slow = 200, 0.1
    machine.shown(50)
    assert not found.look()[0]
    machine.shown(120)  # the inherited part has been written to: nothing tells
    machine.now += 1.8
    assert not found.look()[0], "a twentieth of the time"
    machine.now += 0.4
    assert found.look()[0]


def test_what_has_grown_is_asked_at_once(machine: Machine) -> None:
    found, _ = limited(machine, Rules(memory_limit=100))
    machine.anonymous, machine.slow = 200, 0.1
    machine.shown(50)
    assert not found.look()[0]
    machine.anonymous = 250
    machine.shown(100)
    machine.now += 0.02
    assert found.look()[0]


def test_time_and_memory_together(machine: Machine) -> None:
    found, _ = limited(machine, Rules(timeout=0.01, memory_limit=100))
    assert again_in(found) == pytest.approx(0.01), "whichever comes first"
    machine.now += 0.01
    [(_, _, error)], _ = found.look()
    assert isinstance(error, errors.TaskTimeout)


def test_several(machine: Machine) -> None:
    found, _ = limited(machine, Rules(timeout=5))
    other = Worker(sent=(2, machine.now - 3))
    found.add(2, other, Rules(timeout=5), "another")
    assert found.look() == ([], 2.0)
    machine.now += 2
    [(assignment, who, _)], again = found.look()
    assert (assignment, who, again) == (2, other, 3.0)
