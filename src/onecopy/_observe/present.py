"""The present work of a pool's workers, for this process and for ``onecopy top`` in another one.

``encode`` and ``decode`` are the text that goes from one to the other. It comes from a process that
need not be honest: what does not have the form of such a text is refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_type_hints


class Running(NamedTuple):
    """A worker's present work.

    Attributes:
        worker: the worker's number. On a host that is known to ``onecopy top`` alone; here it is the
            number of its place among all hosts' workers.
        pid: its process id; 0 if it is known to its host alone.
        function: the function, or the name given by ``options(name=)``.
        method: the method of the pool that was called.
        task: the call's number in its pool.
        start, stop: the range of its items that the worker has been given; 0 and 0 for a single
            call.
        seconds: for how long.
        host: the name of the host; empty on one machine.
    """

    worker: int
    pid: int
    function: str
    method: str
    task: int
    start: int
    stop: int
    seconds: float
    host: str = ""

    @property
    def which(self) -> str:
        """Return ``task 7``, ``item 3`` or ``items 4 to 9``."""
        if self.stop - self.start == 1:
            return f"item {self.start}"
        if self.stop > self.start:
            return f"items {self.start} to {self.stop - 1}"
        return f"task {self.task}"

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        return f"{self.function} of {self.method}, {self.which}, for {self.seconds:.1f} s{where}"


UNKNOWN = -1
"""In place of a number that is not known."""


class WorkerNow(NamedTuple):
    """A worker process.

    Attributes:
        number, pid: its number in the pool, and its process.
        ready: it can be given tasks; False while it starts and while it ends.
        tasks: tasks (or chunks of ``map``) that it has ended, whatever became of them; UNKNOWN if its
            host has not said so.
        host: the name of its host; empty on one machine.
        pss: its physical memory at the last reading, in bytes; UNKNOWN on this machine, where anybody
            can read it.
        cpu: CPU seconds that it has used; UNKNOWN on this machine.
        running: its present work; None if it has none, or if it is not known.
    """

    number: int
    pid: int
    ready: bool
    tasks: int
    host: str = ""
    pss: int = UNKNOWN
    cpu: float = float(UNKNOWN)
    running: Running | None = None


class PoolNow(NamedTuple):
    """A pool of worker processes.

    Attributes:
        number: counts the pools of its process, from 1.
        method: the start method.
        workers: the number of workers of the complete pool.
        closed: it takes no more work.
        tasks, failed, lost: as in ``PoolStats``.
        elsewhere: its workers are processes of other machines.
        present: the workers that are there.
    """

    number: int
    method: str
    workers: int
    closed: bool
    tasks: int
    failed: int
    lost: int
    elsewhere: bool
    present: tuple[WorkerNow, ...]


def encode(pool: PoolNow) -> bytes:
    """Return a pool's state as text."""
    import json  # few programs are looked at

    return json.dumps(pool).encode()  # a tuple is written as a list


def decode(text: bytes) -> PoolNow:
    """Return what was encoded. Raises ValueError for any other text."""
    import json

    try:
        pool: PoolNow = _record(PoolNow, json.loads(text), list)
        present = [_record(WorkerNow, row, list, type(None)) for row in pool.present]
    except RecursionError as error:
        raise ValueError("this text is nested too deeply") from error
    workers = [
        each if each.running is None else each._replace(running=_record(Running, each.running, str))
        for each in present
    ]
    return pool._replace(present=tuple(workers))


def _record(kind: type[Any], values: Any, *last: type) -> Any:
    """Return a record of values that have the types of its fields; ``last``: those that the last one
    may have."""
    types = list(get_type_hints(kind).values())[:-1]
    if type(values) is list and len(values) == len(types) + 1:
        plain = [type(each) is wanted for each, wanted in zip(values, types, strict=False)]
        if all(plain) and type(values[-1]) in last:
            return kind(*values)
    raise ValueError(f"this is no {kind.__name__}")
