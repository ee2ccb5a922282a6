"""The tracks of trace viewers: slices per worker, their flows, counters.

``perfetto`` and ``chrome`` write the same events in two formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .._observe.columns import AGENT, LOST, OTHER, STATES
from .model import Run

# A process of another host has the host's index above its own id.
_HOST = 22

# Shorter parts of a task, in nanoseconds, cannot be seen, and are left out.
_SEEN = 2_000


class Slice(NamedTuple):
    """One stretch of time on a worker's track; times in nanoseconds.

    Attributes:
        pid, tid: the process, see ``process``, and thread; ``tid`` is the worker's number if
            workers are threads.
        name: a function, or a part of a task.
        begin, end: the times.
        inner: it is a part of the last slice that is not itself a part.
        args: the details in a viewer.
        flow: the number of the ``Submit`` and result that it belongs to; 0: none.
        submitted, returned: when the owner submitted it, and had its result; 0: none.
    """

    pid: int
    tid: int
    name: str
    begin: int
    end: int
    inner: bool
    args: dict[str, Any]
    flow: int = 0
    submitted: int = 0
    returned: int = 0


def process(host: int, pid: int) -> int:
    """Return the id of a process in the trace: those of two hosts may be equal."""
    return host << _HOST | pid


def slices(run: Run) -> Iterator[Slice]:
    """Yield every worker's slices, worker by worker, in order."""
    spans = run.spans
    for life in run.workers:
        number, pid = int(life["worker"]), process(int(life["host"]), int(life["pid"]))
        tid = number if pid == run.owner_pid else pid
        gone = int(life["gone"]) or run.ended
        born, initializing, ready = run.start(life)
        yield Slice(pid, tid, "start-up", born, initializing, False, {})
        if initializing < ready:
            yield Slice(pid, tid, "initializer", initializing, ready, False, {})
        rows = np.flatnonzero(spans["worker"] == number)
        rows = rows[np.argsort(spans["received"][rows], kind="stable")]
        for row in rows.tolist():
            span = spans[row]
            if span["state"] != LOST and span["finished"]:
                yield from _task(run, span, row + 1, pid, tid)
        for row in rows.tolist():
            span = spans[row]
            if span["state"] == LOST:
                begin = max(int(life["last"]), ready)
                name = f"{run.functions[int(span['function'])]} (lost)"
                yield Slice(pid, tid, name, begin, max(begin, gone), False, _args(span))


def _task(run: Run, span: Any, flow: int, pid: int, tid: int) -> Iterator[Slice]:
    received, decoded, started, finished, encoded = (int(span[name]) for name in _TIMES)
    name = run.functions[int(span["function"])]
    sent, returned = int(span["submitted"]), int(span["returned"])
    yield Slice(
        pid, tid, name, received, encoded, False, _args(span), flow, min(sent, received), returned
    )
    parts = (("decode", received, decoded), ("load", decoded, started))
    for part, begin, end in (*parts, ("compute", started, finished), ("encode", finished, encoded)):
        if end - begin >= _SEEN:
            yield Slice(pid, tid, part, begin, end, True, {})


_TIMES = ("received", "decoded", "started", "finished", "encoded")


def _args(span: Any) -> dict[str, Any]:
    args: dict[str, Any] = {"task": int(span["task"]), "state": STATES[int(span["state"])]}
    if span["stop"] > span["start"]:
        args["items"] = f"{span['start']} to {span['stop'] - 1}"
    for name in ("cpu", "minor_faults", "args_moved", "args_shared", "result_moved"):
        if span[name]:
            args[name] = int(span[name])
    return args


class Count(NamedTuple):
    """Memory of a process at one time, in bytes."""

    pid: int
    time: int
    pss: int
    uss: int


def counts(run: Run) -> Iterator[Count]:
    """Yield all readings of memory, by time."""
    for row in run.memory:
        pid = process(int(row["host"]), int(row["pid"]))
        yield Count(pid, int(row["time"]), int(row["pss"]), int(row["uss"]))


def processes(run: Run) -> dict[int, str]:
    """Return every process that has a track or a counter, with its name."""
    names = {run.owner_pid: "main process"}
    for life in run.workers:
        pid = process(int(life["host"]), int(life["pid"]))
        if pid != run.owner_pid:
            names[pid] = f"{_of(run, life)}worker {life['worker']}"
    for kind, name in ((OTHER, "fork server"), (AGENT, "agent")):
        for row in run.memory[run.memory["worker"] == kind]:
            names.setdefault(process(int(row["host"]), int(row["pid"])), _of(run, row) + name)
    return names


def _of(run: Run, row: Any) -> str:
    return f"{run.hosts[int(row['host'])].name}: " if run.hosts else ""
