"""Making the shared dict of ``shared_dict``, beside making the plain one that each worker makes."""

from __future__ import annotations

import time

import onecopy as oc

from ..face import Bar, Contender, Figure, Sense, Size, plain
from .shared_dict import OURS, PLAIN, count, entries


def _build(number: int) -> float:
    data = entries(number)
    start = time.perf_counter()
    oc.share(data)
    return time.perf_counter() - start


def _plain(number: int) -> float:
    start = time.perf_counter()
    entries(number)
    return time.perf_counter() - start


def contenders(size: Size) -> list[Contender]:
    number = count(size)
    return [
        Contender(PLAIN, lambda: plain(lambda: _plain(number)), needs=number * 300),
        Contender(OURS, lambda: plain(lambda: _build(number)), needs=number * 300),
    ]


def bars(_: Size) -> list[Bar]:
    return [Bar("building / building the plain dict", Sense.AT_MOST, 4.0, (OURS,), (PLAIN,))]


FIGURE = Figure("dict_build", "making a dict of int to float", contenders, bars, rounds=3)
