"""The sum of a file of 1 GB that all four hosts see, by each of their workers.

The hosts are network namespaces of this machine, see ``cluster``. Plain Dask's tasks map it by
themselves.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("file 1000000000")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("seconds, of a mapping made by each task", Sense.AT_MOST, 0.8, ours, cluster.PLAIN),
    ]


FIGURE = Figure(
    "cluster_file",
    "the sum of a file of 1 GB that all hosts see, by each worker",
    contenders,
    bars,
    unit="s",
    rounds=3,
)
