"""An array of 100 MB (1 GB with `--full`) to four hosts, and its sum in each worker.

The hosts are network namespaces of this machine, see ``cluster``.
"""

from __future__ import annotations

from .. import cluster
from ..face import Bar, Contender, Figure, Sense, Size


def contenders(size: Size) -> list[Contender]:
    return cluster.contenders(f"broadcast {10**9 if size.full else 10**8}")


def bars(_: Size) -> list[Bar]:
    ours = (cluster.ONECOPY,)
    return [
        Bar("seconds, of plain Dask's", Sense.AT_MOST, 0.5, ours, cluster.PLAIN),
    ]


FIGURE = Figure(
    "cluster_broadcast",
    "an array of 100 MB (1 GB) to four hosts, and its sum there",
    contenders,
    bars,
    unit="s",
    rounds=3,
)
