"""An array of 100 MB, read whole by all workers: the growth of a host's memory (PSS).

The hosts are network namespaces of this machine, see ``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("memory")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        # 1.02 times the data, and 5 MB for each of two workers.
        Bar("growth of a host, of the data", Sense.VALUE, 1.12, ours),
        Bar(
            "the same, of Dask's with processes",
            Sense.AT_MOST,
            0.55,
            ours,
            (cluster.DASK_PROCESSES,),
        ),
    ]


FIGURE = Figure(
    "cluster_memory",
    "a host's memory for an array that all read, over its size",
    contenders,
    bars,
    unit="",
    rounds=3,
)
