"""The driver's own part: tasks that 4 and 256 hosts answer at once, each with 8 workers.

The hosts are made up within the driver's process, see ``fake_hosts``. Compared are seconds per task:
0.7 of the rate is 1.43 times the seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import onecopy as oc

from ..cluster_job import nothing
from ..face import Bar, Contender, Figure, Sample, Sense, Size
from ..fake_hosts import FakeHosts

_ITEMS = 8192
FEW, MANY = "4 hosts", "256 hosts"


@contextmanager
def _on(hosts: int) -> Iterator[Sample]:
    with oc.Pool(cluster=FakeHosts(hosts, 8)) as pool:
        pool.pids()

        def sample() -> float:
            began = perf_counter()
            pool.map(nothing, range(_ITEMS), chunksize=1)
            return (perf_counter() - began) / _ITEMS

        yield sample


def contenders(_: Size) -> list[Contender]:
    return [Contender(FEW, lambda: _on(4)), Contender(MANY, lambda: _on(256))]


def bars(_: Size) -> list[Bar]:
    return [Bar("a task by 256 hosts, of one by 4", Sense.AT_MOST, 1.43, (MANY,), (FEW,))]


FIGURE = Figure(
    "cluster_many", "a task that 4 or 256 made-up hosts answer at once", contenders, bars
)
