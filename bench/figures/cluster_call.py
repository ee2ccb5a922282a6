"""One call on a cluster of four hosts, there and back.

The hosts are network namespaces of this machine, see ``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("call")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("one call, of plain Dask's", Sense.AT_MOST, 0.25, ours, cluster.PLAIN),
    ]


FIGURE = Figure(
    "cluster_call",
    "one call on a cluster that does nothing",
    contenders,
    bars,
    unit="s",
    rounds=7,
)
