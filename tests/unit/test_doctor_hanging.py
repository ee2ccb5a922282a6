"""The line about a program that hangs: only where the cause is known."""

from __future__ import annotations

from typing import Any

import pytest

from onecopy._doctor import hanging, launch
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


class Looking:
    """A sampler whose idle time is set, and all else that has turns."""

    def __init__(self) -> None:
        self.idle, self.interrupted = 0.0, False

    def look(self, *_: object) -> None:
        """No action is needed."""

    def cpu(self) -> float:
        """Return none."""
        return 0.0


def test_each_time_it_is_asked_after_twice_as_long() -> None:
    looking: Any = Looking()
    asked: list[float] = []
    unused: Any = None
    watch = launch._Watch(unused, looking, unused, looking, lambda: asked.append(looking.idle))
    for idle in (1.0, 6.0, 8.0, 0.1, 7.0, 11.0, 15.0, 0.0, 12.0, 21.0):
        looking.idle = idle
        watch._rest()
    assert asked == [6.0, 11.0, 21.0]
    looking.idle = 0.0
    watch._rest()
    looking.idle, looking.interrupted = 100.0, True
    watch._rest()
    assert len(asked) == 3, "it is ending"
