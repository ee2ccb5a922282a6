"""An array of 80 kB for all hosts: the bytes that a host receives, messages included.

The hosts are network namespaces of this machine, see ``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(_: Size) -> list[Contender]:
    return cluster.contenders("little")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("bytes into a host", Sense.VALUE, 200_000, ours),
    ]


FIGURE = Figure(
    "cluster_little",
    "bytes into a host for an array of 80 kB",
    contenders,
    bars,
    unit="B",
    rounds=3,
)
