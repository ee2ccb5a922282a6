"""One record of a shared list, at random, against unpickling that record; and one field.

The records are those of ``objects``. Each sample is the mean over 20,000 places, the same for
all; ``pickle.loads`` gets bytes that were made before, from a plain list.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import onecopy as oc

from .. import objects
from ..face import Bar, Contender, Figure, Sample, Sense, Size, per_call

COUNT, READS = 50_000, 20_000
LOADS, RECORD, FIELD = "pickle.loads of a record", "a record", "one field of it"


class _Data:
    """Made once for all contenders."""

    def __init__(self) -> None:
        records = objects.records(COUNT)
        rng = random.Random(3)
        self.places = [rng.randrange(COUNT) for _ in range(READS)]
        self.pickles = [pickle.dumps(record, 5) for record in records]
        self.shared: Any = oc.share(records)
        self.boxes = self.shared.column("bbox")

    def read(self, get: Callable[[int], Any]) -> None:
        for place in self.places:
            get(place)


_data: list[_Data] = []


@contextmanager
def _opened(way: Callable[[_Data], Callable[[int], Any]]) -> Iterator[Sample]:
    if not _data:
        _data.append(_Data())
    data = _data[0]
    get = way(data)
    yield lambda: per_call(lambda: data.read(get), 1) / READS


def _loads(data: _Data) -> Callable[[int], Any]:
    pickles, loads = data.pickles, pickle.loads
    return lambda place: loads(pickles[place])


def contenders(_: Size) -> list[Contender]:
    ways: dict[str, Callable[[_Data], Callable[[int], Any]]] = {
        LOADS: _loads,
        RECORD: lambda data: lambda place: data.shared[place],
        FIELD: lambda data: lambda place: data.boxes[place],
    }
    return [Contender(name, lambda w=way: _opened(w)) for name, way in ways.items()]


def bars(_: Size) -> list[Bar]:
    return [
        Bar("a record / pickle.loads of it", Sense.AT_MOST, 1.3, (RECORD,), (LOADS,)),
        Bar("one field / pickle.loads of the record", Sense.AT_MOST, 0.5, (FIELD,), (LOADS,)),
    ]


FIGURE = Figure(
    "object_access",
    f"one record of a shared list of dicts at random; mean of {READS:,}",
    contenders,
    bars,
)
