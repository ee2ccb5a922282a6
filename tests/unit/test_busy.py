"""The list of what workers are running, as a table has it."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

from onecopy._engine.busy import heads
from onecopy._engine.work import Entry
from onecopy._schedule.events import Assignment


def entry(number: int, worker: int, sent: int) -> Any:
    made = Mock(spec=Entry)
    made.assignment = Mock(spec=Assignment, id=number)
    made.worker, made.sent = worker, sent
    return made


def test_a_worker_runs_the_first_of_what_it_was_sent() -> None:
    first, second = entry(1, 7, 100), entry(2, 7, 110)
    assert heads([second, first], {7: Mock(last=0)}) == [(first, 100)]
    assert heads([second], {7: Mock(last=150)}) == [(second, 150)]
    assert heads([first], {}) == []


def test_it_runs_nothing_that_has_still_to_be_sent() -> None:
    assert heads([entry(1, 7, 0)], {7: Mock(last=0)}) == []
