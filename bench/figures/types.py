"""Bytes that a task moves for shared data of each type: the same at every size.

Counted by the pool itself: what it wrote to a worker's socket plus what it copied into arenas.
Beside it stands the pickle of the same data, which is what a pool has to send that does
nothing about it. Growth of memory is in ``types_memory``.
"""

from __future__ import annotations

import pickle

from .. import kinds
from ..face import MB, Bar, Contender, Figure, Sense, Size, plain


def _pickled(kind: str, megabytes: int) -> float:
    return float(len(pickle.dumps(kinds.MAKERS[kind][1](megabytes * MB), 5)))


def contenders(size: Size) -> list[Contender]:
    largest = kinds.sizes(size)[-1]
    ours = [
        Contender(
            _name(kind, megabytes),
            lambda k=kind, m=megabytes: plain(lambda: kinds.ours(k, m).moved),
            warm=0,
            needs=8 * megabytes * MB,
        )
        for kind in kinds.kinds()
        for megabytes in kinds.sizes(size)
    ]
    pickled = [
        Contender(
            f"{kind}, {largest} MB, pickled",
            lambda k=kind: plain(lambda: _pickled(k, largest)),
            warm=0,
            needs=8 * largest * MB,
        )
        for kind in kinds.kinds()
    ]
    return ours + pickled


def _name(kind: str, megabytes: int) -> str:
    return f"{kind}, {megabytes} MB"


def bars(size: Size) -> list[Bar]:
    smallest, *_, largest = kinds.sizes(size)
    return [
        Bar(
            f"{kind}: bytes moved for {largest} MB over those for {smallest} MB",
            Sense.OVER,
            64,
            (_name(kind, largest),),
            (_name(kind, smallest),),
        )
        for kind in kinds.kinds()
    ]


FIGURE = Figure(
    "types",
    "shared data of each type as an argument; bytes moved by a task",
    contenders,
    bars,
    unit="B",
    rounds=1,
)
