"""The cost of observation: records of tasks, usage, forwarded logs and prints, the memory watch.

Measured by switching it off (``jobs.tasks``, ``unobserved``), under ``fork`` both times, since what
is switched off in the owner is then off in its workers too. Processor time of owner and worker.
The line of the program that a call belongs to is looked up either way.
"""

from __future__ import annotations

from .. import parts
from ..face import Bar, Contender, Figure, Sense, Size

ON, OFF = "onecopy, observed, {}", "onecopy, unobserved, {}"
# Title: tasks, microseconds that each computes, and the bar.
_TASKS = {"empty task": (20_000, 0, 1.05), "task of 1 ms": (1000, 1000, 1.01)}


def contenders(_: Size) -> list[Contender]:
    found = []
    for title, (tasks, spin, _limit) in _TASKS.items():
        for name, pool in ((OFF, "unobserved"), (ON, "observed")):
            job = parts.of_job("tasks", "submits", pool, 1, tasks, 0, spin)
            found += parts.contenders(name.format(title), job, {"cpu": ""})
    return found


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"CPU of an observed {title}, of an unobserved one's",
            Sense.AT_MOST,
            limit,
            (ON.format(title),),
            (OFF.format(title),),
        )
        for title, (*_rest, limit) in _TASKS.items()
    ]


FIGURE = Figure(
    "observation",
    "CPU time of owner and worker for a task, with observation and without; per task",
    contenders,
    bars,
    rounds=9,
)
