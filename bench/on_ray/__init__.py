"""Figures of a Ray cluster: a pool on four hosts beside Ray's own tasks and its own pool.

The hosts are network namespaces of this machine, see ``cluster``: needs root, iproute2 and
``onecopy[ray]``. A plain task is given to any host (``SPREAD``), as Ray's documents advise for tasks
that do not share data; one that reads data is sent to each host as often as it has CPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .. import cluster
from ..cluster import ON_RAY, RAY_POOL, RAY_TASKS
from ..face import Bar, Contender, Figure, Sense

_OURS = (ON_RAY,)


def _figure(
    name: str,
    what: str,
    bars: list[Bar],
    ways: Callable[[], list[Contender]] | None = None,
    *,
    unit: str = "s",
    rounds: int = 5,
) -> Figure:
    """Make a figure; ``ways`` returns its contenders: all of them if it is not given."""
    made = ways or partial(cluster.contenders, name, cluster.RAY)
    return Figure(name, what, lambda _: made(), lambda _: bars, unit, rounds)


def _two(line: str, *, fresh: bool = False) -> Callable[[], list[Contender]]:
    """Plain tasks and onecopy; ``line`` is said to the driver (``cluster_job``)."""
    return partial(cluster.contenders, line, (RAY_TASKS, ON_RAY), fresh=fresh)


def _at_most(text: str, limit: float, theirs: str) -> Bar:
    return Bar(text, Sense.AT_MOST, limit, _OURS, (theirs,))


def _at_least(text: str, limit: float, theirs: str) -> Bar:
    return Bar(text, Sense.AT_LEAST, limit, _OURS, (theirs,))


_FIGURES = [
    _figure(
        "call",
        "one call that does nothing",
        [_at_most("one call, of a plain task's", 1.1, RAY_TASKS)],
    ),
    _figure(
        "tasks",
        "2,000 tasks of 1 ms",
        [
            _at_least("time of plain tasks over ours", 4, RAY_TASKS),
            _at_least("time of Ray's Pool over ours", 0.9, RAY_POOL),
        ],
    ),
    _figure(
        "noops",
        "2,000 tasks that do nothing",
        [_at_least("time of plain tasks over ours", 4, RAY_TASKS)],
    ),
    _figure(
        "uneven",
        "200 tasks of 20 ms, then 3,800 of 1 ms",
        [_at_least("time of Ray's Pool over ours", 1.7, RAY_POOL)],
    ),
    _figure(
        "memory",
        "a host's memory for an array of 100 MB that all read, over its size",
        [_at_most("growth of a host, of Ray's", 1.05, RAY_TASKS)],
        _two("memory", fresh=True),
        unit="",
        rounds=3,
    ),
    _figure(
        "received",
        "bytes into a host for an array of 100 MB that all read, over its size",
        [Bar("bytes into a host, of the data", Sense.VALUE, 1.01, _OURS)],
        _two("received"),
        unit="",
        rounds=3,
    ),
    _figure(
        "little",
        "bytes into a host for an array of 80 kB",
        [Bar("bytes into a host", Sense.VALUE, 200_000, _OURS)],
        _two("little"),
        unit="B",
        rounds=3,
    ),
    _figure(
        "broadcast",
        "an array of 1 GB to four hosts, and its sum in each worker",
        [_at_most("seconds, of put and a task for each", 1.0, RAY_TASKS)],
        # What one way has left in memory is freed while the other is measured.
        _two("broadcast 1000000000", fresh=True),
        rounds=3,
    ),
    _figure(
        "file",
        "the sum of a file of 1 GB that all hosts see, by each worker",
        [_at_most("seconds, of a mapping made by each task", 0.8, RAY_TASKS)],
        _two("file 1000000000"),
        rounds=3,
    ),
    _figure(
        "results",
        "four results of 50 MB",
        [_at_most("seconds, of plain tasks'", 1.5, RAY_TASKS)],
        _two("results"),
    ),
]
_BY_NAME = {each.name: each for each in _FIGURES}
NAMES = tuple(_BY_NAME)
figure = partial(dict.__getitem__, _BY_NAME)
