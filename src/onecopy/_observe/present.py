"""The present work of a pool's workers, for this process and for ``onecopy top`` in another one.

``encode`` and ``decode`` are the text that goes from one to the other. It comes from a process that
need not be honest: what does not have the form of such a text is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Running:
    """A worker's present work.

    Attributes:
        worker: the worker's number.
        pid: its process id.
        function: the function, or the name given by ``options(name=)``.
        method: the method of the pool that was called.
        task: the call's number in its pool.
        start, stop: the range of its items that the worker has been given; 0 and 0 for a single
            call.
        seconds: for how long.
    """

    worker: int
    pid: int
    function: str
    method: str
    task: int
    start: int
    stop: int
    seconds: float

    @property
    def which(self) -> str:
        """Return ``task 7``, ``item 3`` or ``items 4 to 9``."""
        if self.stop - self.start == 1:
            return f"item {self.start}"
        if self.stop > self.start:
            return f"items {self.start} to {self.stop - 1}"
        return f"task {self.task}"

    def __str__(self) -> str:
        return f"{self.function} of {self.method}, {self.which}, for {self.seconds:.1f} s"


@dataclass(frozen=True)
class WorkerNow:
    """A worker process.

    Attributes:
        number, pid: its number in the pool, and its process.
        ready: it can be given tasks; False while it starts and while it ends.
        tasks: tasks (or chunks of ``map``) that it has ended, whatever became of them.
        running: its present work; None if it has none.
    """

    number: int
    pid: int
    ready: bool
    tasks: int
    running: Running | None


@dataclass(frozen=True)
class PoolNow:
    """A pool of worker processes.

    Attributes:
        number: counts the pools of its process, from 1.
        method: the start method.
        workers: the number of workers of the complete pool.
        closed: it takes no more work.
        tasks, failed, lost: as in ``PoolStats``.
        present: the workers that are there.
    """

    number: int
    method: str
    workers: int
    closed: bool
    tasks: int
    failed: int
    lost: int
    present: tuple[WorkerNow, ...]


def encode(pool: PoolNow) -> bytes:
    """Return a pool's state as text."""
    workers = [
        _values(replace(each, running=_values(each.running) if each.running else None))  # type: ignore[arg-type]
        for each in pool.present
    ]
    return json.dumps(_values(replace(pool, present=workers))).encode()  # type: ignore[arg-type]


def decode(text: bytes) -> PoolNow:
    """Return what was encoded. Raises ValueError for any other text."""
    try:
        pool: PoolNow = _record(PoolNow, json.loads(text), list)
        present = [_record(WorkerNow, row, list, type(None)) for row in pool.present]
    except RecursionError as error:
        raise ValueError("this text is nested too deeply") from error
    workers = [
        each
        if each.running is None
        else replace(each, running=_record(Running, each.running, float))
        for each in present
    ]
    return replace(pool, present=tuple(workers))


_PLAIN: dict[Any, type] = {"int": int, "str": str, "bool": bool}


def _values(record: Any) -> list[Any]:
    return [getattr(record, field.name) for field in fields(record)]


def _record(kind: type[Any], values: Any, *last: type) -> Any:
    """Return a record of values that have the types of its fields; ``last``: those that the last one
    may have."""
    types = [field.type for field in fields(kind)][:-1]
    if type(values) is list and len(values) == len(types) + 1:
        plain = [type(each) is _PLAIN[name] for each, name in zip(values, types, strict=False)]
        if all(plain) and type(values[-1]) in last:
            return kind(*values)
    raise ValueError(f"this is no {kind.__name__}")
