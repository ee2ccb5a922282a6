"""Processor time of an array of 100 MB to four hosts, and of its sum in each worker.

All processes count: driver, scheduler, hosts. The hosts are network namespaces of this machine, see
``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("processor")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("processor seconds, of plain Dask's", Sense.AT_MOST, 1.0, ours, cluster.PLAIN),
    ]


FIGURE = Figure(
    "cluster_processor",
    "processor time of all for an array of 100 MB to four hosts",
    contenders,
    bars,
    unit="s",
    rounds=3,
)
