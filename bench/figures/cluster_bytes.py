"""An array of 100 MB, read whole by all workers: the bytes that a host receives.

The hosts are network namespaces of this machine, see ``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("received")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("bytes into a host, of the data", Sense.VALUE, 1.01, ours),
    ]


FIGURE = Figure(
    "cluster_bytes",
    "bytes into a host for an array that all read, over its size",
    contenders,
    bars,
    unit="",
    rounds=3,
)
