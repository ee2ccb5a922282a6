"""Quick items, then slow ones: the commonest shape there is, of cached, empty or skipped items.

k items of an instant, then sixteen of 0.25 s, by 8 workers, which could be done in 0.5 s; for each
of the four calls that take many items, and no chunk size given (``jobs.quick_slow``). Each of ours
is compared with the best of the standard library's four, which chunk in two ways.
"""

from __future__ import annotations

from ..face import Bar, Contender, Figure, Sense, Size, plain
from ..process import timed

CALLS = ("map", "imap", "imap_unordered", "executor.map")
INSTANTS = (0, 8, 200, 2000)
KINDS = ("standard", "onecopy")


def _sample(call: str, kind: str, instants: int) -> float:
    _, output = timed(["-m", "bench.jobs.quick_slow", call, kind, str(instants)])
    return float(output)


def _name(kind: str, call: str, instants: int) -> str:
    return f"{kind}, {call}, k = {instants}"


def contenders(_: Size) -> list[Contender]:
    return [
        Contender(
            _name(kind, call, instants),
            lambda c=call, k=kind, n=instants: plain(lambda: _sample(c, k, n)),
            warm=0,
        )
        for instants in INSTANTS
        for kind in KINDS
        for call in CALLS
    ]


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"k = {instants} instants, then 16 slow items, of the standard library's best",
            Sense.AT_MOST,
            1.2,
            tuple(_name("onecopy", call, instants) for call in CALLS),
            tuple(_name("standard", call, instants) for call in CALLS),
        )
        for instants in INSTANTS
    ]


FIGURE = Figure(
    "quick_then_slow",
    "k items of an instant, then 16 x 0.25 s, by 8 workers (0.5 s at best); seconds for all",
    contenders,
    bars,
    rounds=3,
)
