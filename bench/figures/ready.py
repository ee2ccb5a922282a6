"""Eight workers ready: from making the pool until every one of them has answered.

Each sample is a fresh process, for a fork server is started once per process and its start
belongs to the figure. What is timed inside it starts with the pool's making, after all
imports, and ends when ``map`` has had an answer from each of the eight workers
(``jobs.ready``). The standard library's fork server is used as it is; nothing is preloaded,
since the tasks need nothing, and the same goes for onecopy.
"""

from __future__ import annotations

from ..face import Bar, Contender, Figure, Sense, Size, plain
from ..process import timed

WORKERS = 8
ONECOPY = "onecopy, auto"
STANDARD = "multiprocessing, {}"
METHODS = ("forkserver", "fork", "spawn")


def _ready(which: str, method: str) -> float:
    _, output = timed(["-m", "bench.jobs.ready", which, method, str(WORKERS)])
    return float(output)


def contenders(_: Size) -> list[Contender]:
    standard = [
        Contender(STANDARD.format(name), lambda name=name: plain(lambda: _ready("standard", name)))
        for name in METHODS
    ]
    ours = [
        Contender(f"onecopy, {name}", lambda name=name: plain(lambda: _ready("onecopy", name)))
        for name in ("auto", "fork", "spawn")
    ]
    return [*standard, *ours]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            "8 workers ready under auto, of forkserver in the standard library",
            Sense.AT_MOST,
            1.0,
            (ONECOPY,),
            (STANDARD.format("forkserver"),),
        )
    ]


FIGURE = Figure(
    "ready",
    "8 workers, from making the pool until each of them has answered",
    contenders,
    bars,
    rounds=9,
)
