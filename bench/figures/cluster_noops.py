"""2,000 tasks that do nothing by eight workers of four hosts.

The hosts are network namespaces of this machine, see ``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("noops")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("plain Dask's time over ours", Sense.AT_LEAST, 50, ours, cluster.PLAIN),
    ]


FIGURE = Figure(
    "cluster_noops",
    "2,000 tasks that do nothing on a cluster",
    contenders,
    bars,
    unit="s",
    rounds=3,
)
