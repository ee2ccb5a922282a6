"""One run that gives several numbers, each of them a contender of its own.

Processor and wall time of the same run belong together, and a run takes seconds. The first
contender that asks in a round runs the job; the others take what is left of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial

from .face import Contender, plain
from .process import timed


class Parts:
    """The numbers of the latest run, each of which is taken once."""

    def __init__(self, run: Callable[[], Mapping[str, float]]) -> None:
        self._run = run
        self._left: dict[str, float] = {}

    def take(self, part: str) -> float:
        if part not in self._left:
            self._left = dict(self._run())
        return self._left.pop(part)


def of_job(job: str, *arguments: object) -> Parts:
    """Of a program in ``jobs`` that prints JSON, run as a fresh process."""

    def run() -> dict[str, float]:
        _, output = timed(["-m", f"bench.jobs.{job}", *map(str, arguments)])
        found: dict[str, float] = json.loads(output)
        return found

    return Parts(run)


def contenders(name: str, parts: Parts, titles: Mapping[str, str]) -> list[Contender]:
    """A contender for each part: ``titles`` has what is put behind the name."""
    return [
        Contender(f"{name}{title}", partial(plain, partial(parts.take, part)), warm=0)
        for part, title in titles.items()
    ]
