"""Eight workers ready: from making the pool until every one of them has answered.

Each sample is a fresh process, for a fork server is started once per process and its start
belongs to the figure. What is timed inside it starts with the pool's making, after all
imports, and ends when ``map`` has had an answer from each of the eight workers
(``jobs.ready``). The standard library's fork server is used as it is; nothing is preloaded,
since the tasks need nothing, and the same goes for onecopy. A second program is the same but for
its first line: it imports pandas (``jobs.ready_pandas``).
"""

from __future__ import annotations

from ..face import Bar, Contender, Figure, Sense, Size, plain
from ..process import timed

WORKERS = 8
ONECOPY = "onecopy, auto"
STANDARD = "multiprocessing, {}"
PANDAS = ", import pandas"
METHODS = ("forkserver", "fork", "spawn")


def _ready(job: str, which: str, method: str) -> float:
    _, output = timed(["-m", f"bench.jobs.{job}", which, method, str(WORKERS)])
    return float(output)


def _contender(name: str, which: str, method: str) -> Contender:
    job = "ready_pandas" if name.endswith(PANDAS) else "ready"
    return Contender(name, lambda: plain(lambda: _ready(job, which, method)))


def contenders(_: Size) -> list[Contender]:
    found = [_contender(STANDARD.format(name), "standard", name) for name in METHODS]
    found += [_contender(f"onecopy, {name}", "onecopy", name) for name in ("auto", "fork", "spawn")]
    found += [_contender(STANDARD.format(name) + PANDAS, "standard", name) for name in METHODS[:2]]
    found += [_contender(f"onecopy, {name}{PANDAS}", "onecopy", name) for name in ("auto", "fork")]
    return found


def _bar(text: str, limit: float, theirs: str, suffix: str = "") -> Bar:
    peer = STANDARD.format(theirs) + suffix
    return Bar(text, Sense.AT_MOST, limit, (ONECOPY + suffix,), (peer,))


def bars(_: Size) -> list[Bar]:
    return [
        _bar("8 workers ready under auto, of forkserver in the standard library", 1, "forkserver"),
        _bar("8 workers ready under auto, of fork in the standard library", 2, "fork"),
        _bar("the same with import pandas, of the standard forkserver", 1.2, "forkserver", PANDAS),
    ]


FIGURE = Figure(
    "ready",
    "8 workers, from making the pool until each of them has answered",
    contenders,
    bars,
    rounds=9,
)
