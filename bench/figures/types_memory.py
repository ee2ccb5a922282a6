"""Growth of memory when four workers hold shared data of each type: flat at every size.

The sum of PSS of owner and workers, after every worker has read every page and holds on to
the data, less the sum before, when the owner alone had it. joblib is measured beside it: it maps
the arrays in an argument from a file, so arrays and frames of numbers grow by one copy, and
what is not an array by one copy a worker.
"""

from __future__ import annotations

from .. import kinds
from ..face import MB, Bar, Contender, Figure, Sense, Size, plain


def contenders(size: Size) -> list[Contender]:
    ways = {"": kinds.ours, ", joblib": kinds.of_joblib}
    return [
        Contender(
            f"{kind}, {megabytes} MB{way}",
            lambda k=kind, m=megabytes, f=measure: plain(lambda: f(k, m).growth),
            warm=0,
            needs=8 * megabytes * MB,
        )
        for kind in kinds.kinds()
        for megabytes in kinds.sizes(size)
        for way, measure in ways.items()
    ]


def bars(size: Size) -> list[Bar]:
    largest = kinds.sizes(size)[-1]
    # Of the size of the interpreter's own noise, and of no type's data.
    return [
        Bar(
            f"{kind}: growth with {largest} MB held by {kinds.WORKERS} workers",
            Sense.VALUE,
            8 * MB,
            (f"{kind}, {largest} MB",),
        )
        for kind in kinds.kinds()
    ]


FIGURE = Figure(
    "types_memory",
    f"shared data of each type, held by {kinds.WORKERS} workers; growth of the sum of PSS",
    contenders,
    bars,
    unit="B",
    rounds=1,
)
