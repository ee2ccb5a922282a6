"""The processor time of a task that does nothing: the owner's and the worker's together.

One worker and 20,000 tasks, in a process of its own for each pool and way (``jobs.tasks``). Other
programs' work disturbs wall time, and this hardly: of the wall time of the same runs only the
submits have a bar here, ``round_trip`` has that of ``apply``. Every pool is made as its documents
show, by its default start method, which has no part in what a task costs.

Beside them a bare echo between two processes (``jobs.echo``), where the system puts them and both on one
CPU: the difference is what waking a process on another CPU costs, for every pool and each message. And one
with some Python at both ends, which takes a multiple of its time there: after each wake the caches are cold.
"""

from __future__ import annotations

from .. import parts, pools
from ..face import Bar, Contender, Figure, Sense, Size

TASKS = 20_000
# Way: the standard pool that offers it, and its bar.
_WAYS = {
    "apply": (pools.POOL, 0.45),
    "submit_result": (pools.EXECUTOR, 0.4),
    "submits": (pools.EXECUTOR, 0.12),
}
_TITLES = {"apply": "apply", "submit_result": "submit().result()", "submits": "20,000 submits"}
WALL = ", wall"
_STEPS = 300  # of Python at each end of an echo: about as much as onecopy has for a task


def _name(pool: str, way: str) -> str:
    return f"{pool}, {_TITLES[way]}"


def contenders(_: Size) -> list[Contender]:
    found = []
    for way, (peer, _limit) in _WAYS.items():
        for name, pool in ((peer, "standard"), (pools.ONECOPY, "onecopy")):
            titles = {"cpu": "", "wall": WALL} if way == "submits" else {"cpu": ""}
            job = parts.of_job("tasks", way, pool, 1, TASKS)
            found += parts.contenders(_name(name, way), job, titles)
    for where, title in (("free", ""), ("one", ", on one CPU")):
        echo = parts.of_job("echo", where, TASKS)
        found += parts.contenders(f"a bare echo{title}", echo, {"cpu": ""})
    echo = parts.of_job("echo", "free", TASKS, _STEPS)
    title = "an echo with Python at both ends"
    found += parts.contenders(title, echo, {"cpu": "", "python": ": the Python alone"})
    return found


def bars(_: Size) -> list[Bar]:
    by_cpu = [
        Bar(
            f"CPU of {_TITLES[way]}, of {peer}'s",
            Sense.AT_MOST,
            limit,
            (_name(pools.ONECOPY, way),),
            (_name(peer, way),),
        )
        for way, (peer, limit) in _WAYS.items()
    ]
    ours, theirs = (_name(name, "submits") + WALL for name in (pools.ONECOPY, pools.EXECUTOR))
    rate = Bar(
        "20,000 submits and results by one worker, times ProcessPoolExecutor's rate",
        Sense.AT_LEAST,
        8,
        (ours,),
        (theirs,),
    )
    return [*by_cpu, rate]


FIGURE = Figure(
    "task_cpu",
    f"CPU time of owner and worker for an empty task; per task, over {TASKS:,}",
    contenders,
    bars,
    rounds=5,
)
