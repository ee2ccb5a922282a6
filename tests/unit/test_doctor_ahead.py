"""Work ahead of the end: only while a CPU is free, in the machine and for the program."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from onecopy._doctor import ahead
from onecopy._system import cpus


@dataclass
class Machine:
    """Two CPUs whose clock and load are set."""

    now: float = 0.0
    busy: float = 0.0

    def passes(self, seconds: float, busy: float) -> None:
        """Let time pass; ``busy`` CPU seconds are used meanwhile."""
        self.now += seconds
        self.busy += busy


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    monkeypatch.setattr(ahead, "busy", lambda: made.busy)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(cpus, "cpu_count", lambda: 2)
    return made


def steps(taken: list[int]) -> Iterator[None]:
    for number in range(2):
        taken.append(number)
        yield


def test_steps_are_taken_one_by_one_while_a_cpu_is_free(machine: Machine) -> None:
    taken: list[int] = []
    work = ahead.Ahead(steps(taken))
    work.look(0.0)
    assert taken == [], "nothing is known yet"
    for expected in ([0], [0, 1], [0, 1], [0, 1]):
        machine.passes(0.2, 0.1)
        work.look(0.0)
        assert taken == expected


def test_none_is_taken_on_a_full_machine(machine: Machine) -> None:
    taken: list[int] = []
    work = ahead.Ahead(steps(taken))
    for _ in range(5):
        machine.passes(0.2, 0.39)
        work.look(0.0)
    assert taken == []
    machine.passes(0.2, 0.2)
    work.look(0.0)
    assert taken == [0]


def test_none_is_taken_while_the_program_uses_all_that_it_may(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpus, "cpu_count", lambda: 1)
    taken: list[int] = []
    work = ahead.Ahead(steps(taken))
    machine.passes(0.2, 0.2)
    work.look(0.2)
    assert taken == []
    machine.passes(0.2, 0.0)
    work.look(0.2)
    assert taken == [0]
