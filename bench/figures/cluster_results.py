"""Four results of 50 MB from a cluster of four hosts.

The hosts are network namespaces of this machine, see ``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("results")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("seconds, of plain Dask's", Sense.AT_MOST, 1.5, ours, cluster.PLAIN),
    ]


FIGURE = Figure(
    "cluster_results",
    "four results of 50 MB from a cluster",
    contenders,
    bars,
    unit="s",
    rounds=5,
)
