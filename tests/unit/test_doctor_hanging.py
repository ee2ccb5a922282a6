"""The line about a program that hangs: only where the cause is known."""

from __future__ import annotations

import pytest

from onecopy._doctor import hanging
from onecopy._doctor.inside import kinds
from onecopy._doctor.recording import Stuck
from tests.doctor.made import MS, SECOND, Made


def test_a_join_before_the_queue_is_drained() -> None:
    made = Made(wall=8.0)
    child = made.process(20, begin=MS, end=0)
    child.note(kinds.QUEUE, 2 * MS, 700)
    made.readings.stuck = [Stuck(20, 20, "write", 700), Stuck(1, 1, "wait", 20)]
    made.readings.idle = 6.0
    made.look(20, 7 * SECOND)
    line = hanging.line(made.recording())
    assert line is not None
    assert "\n" not in line
    assert "A deadlock" in line
    assert line.endswith("Ctrl-C ends it and shows the report.")


@pytest.mark.parametrize("call", ["read", "poll", ""])
def test_a_program_that_waits_for_its_user_or_the_network(call: str) -> None:
    made = Made(wall=8.0)
    made.readings.stuck = [Stuck(1, 1, call, 5)]
    made.readings.idle = 6.0
    assert hanging.line(made.recording()) is None


def test_faults_that_do_not_hang_are_left_for_the_report() -> None:
    made = Made(wall=8.0)
    name = made.main.name("a|Thread|f"), made.main.name("prog.py:4 <module>")
    made.main.note(kinds.FORK, MS, 1, 2, 1, *name)
    assert made.findings(), "there is something to report"
    assert hanging.line(made.recording()) is None
