"""Descriptors that the owner of 256 workers has open, each of which has answered."""

from __future__ import annotations

from .. import parts
from ..face import Bar, Contender, Figure, Sense, Size
from .many_workers import LARGE, MOST


def contenders(_: Size) -> list[Contender]:
    job = parts.of_job("tasks", "submits", "onecopy", MOST, 1000)
    return parts.contenders(LARGE, job, {"descriptors": ""})


def bars(_: Size) -> list[Bar]:
    return [Bar("descriptors: 1 for each worker, and 20", Sense.VALUE, MOST + 20, (LARGE,))]


FIGURE = Figure(
    "many_descriptors",
    f"{MOST} workers that have all answered; descriptors open in the owner",
    contenders,
    bars,
    unit="",
    rounds=1,
)
