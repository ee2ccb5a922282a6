"""``share`` beside the cheapest that can be done with the same data: a pickle, or a copy.

Lists of 200,000 dicts, dataclasses and texts beside ``pickle.dumps`` of them; an array and a frame
of 400 MB beside their ``copy()``. Each sample drops what it has made.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import onecopy as oc

from ..face import MB, Bar, Contender, Figure, Sample, Sense, Size

COUNT, NBYTES = 200_000, 400 * MB


@dataclass
class Reading:
    """One of the dataclasses."""

    index: int
    name: str
    value: float


def dicts() -> Any:
    return [
        {"id": at, "name": f"name {at}", "value": at / 3, "box": [at, 1]} for at in range(COUNT)
    ]


def dataclasses() -> Any:
    return [Reading(at, f"name {at}", at / 3) for at in range(COUNT)]


def texts() -> Any:
    return [f"a text with the number {at} in it" for at in range(COUNT)]


def array() -> Any:
    return np.arange(NBYTES // 8, dtype=float)


def frame() -> Any:
    import pandas as pd

    return pd.DataFrame(np.arange(NBYTES // 8, dtype=float).reshape(-1, 10))


Make = Callable[[], Any]
OBJECTS: dict[str, Make] = {
    "list of dicts": dicts,
    "list of dataclasses": dataclasses,
    "list of texts": texts,
}
LARGE: dict[str, Make] = {"array of 400 MB": array, "frame of 400 MB": frame}


@contextmanager
def _timed(make: Make, call: Callable[[Any], Any]) -> Iterator[Sample]:
    def sample() -> float:
        data = make()
        start = time.perf_counter()
        made = call(data)
        taken = time.perf_counter() - start
        del made
        return taken

    yield sample


def _pickled(data: Any) -> bytes:
    return pickle.dumps(data, 5)


def _copied(data: Any) -> Any:
    return data.copy()


def contenders(_: Size) -> list[Contender]:
    found = []
    for makers, call, theirs in ((OBJECTS, _pickled, "pickle.dumps"), (LARGE, _copied, "copy()")):
        for what, make in makers.items():
            for name, each in ((theirs, call), ("onecopy.share", oc.share)):
                found.append(
                    Contender(
                        f"{name}, {what}",
                        lambda m=make, c=each: _timed(m, c),
                        needs=3 * NBYTES,
                    )
                )
    return found


def bars(_: Size) -> list[Bar]:
    return [
        Bar(
            f"share: {what}, of {theirs}'s time",
            Sense.AT_MOST,
            limit,
            (f"onecopy.share, {what}",),
            (f"{theirs}, {what}",),
        )
        for makers, theirs, limit in ((OBJECTS, "pickle.dumps", 1.8), (LARGE, "copy()", 1.2))
        for what in makers
    ]


FIGURE = Figure(
    "share_cost",
    f"share of {COUNT:,} objects beside pickle.dumps, of 400 MB beside copy()",
    contenders,
    bars,
    rounds=5,
)
