"""A run in Chrome's trace format: JSON that chrome://tracing, Perfetto and Speedscope read.

See the "Trace Event Format" document of the Chromium project: complete events (X), counters
(C), flows (s and f), and metadata (M). Times are microseconds from the run's begin.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from . import tracks
from .model import Run


def write_chrome(run: Run, file: IO[str]) -> None:
    """Write ``run``, an event per line."""
    file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
    between = ""
    for event in _events(run):
        file.write(between + json.dumps(event, separators=(",", ":")))
        between = ",\n"
    file.write("\n]}\n")


def _events(run: Run) -> Iterator[dict[str, Any]]:
    def at(time: int) -> float:
        return (time - run.began) / 1e3

    for order, (pid, name) in enumerate(tracks.processes(run).items()):
        yield {"ph": "M", "pid": pid, "tid": pid, "name": "process_name", "args": {"name": name}}
        rank = {"sort_index": order}
        yield {"ph": "M", "pid": pid, "tid": pid, "name": "process_sort_index", "args": rank}
    owner = {"pid": run.owner_pid, "tid": run.owner_pid}
    for each in tracks.slices(run):
        where = {"pid": each.pid, "tid": each.tid}
        took = (each.end - each.begin) / 1e3
        begin = at(each.begin)
        kind = "part" if each.inner else "task"
        event = {"ph": "X", **where, "name": each.name, "cat": kind, "ts": begin, "dur": took}
        yield {**event, "args": each.args} if each.args else event
        if each.flow:
            # A flow binds to the slice in which it begins, so the owner has one for each end.
            said = {"cat": "flow", "name": "task"}
            for name, time, flow in (
                ("submit", each.submitted, f"{each.flow}a"),
                ("result", each.returned, f"{each.flow}b"),
            ):
                here = {**owner, "ts": at(time)}
                yield {"ph": "X", **here, "name": name, "cat": "owner", "dur": 0}
                out = name == "submit"
                there = {**where, "ts": begin}
                yield {"ph": "s", **(here if out else there), **said, "id": flow}
                yield {"ph": "f", "bp": "e", **(there if out else here), **said, "id": flow}
    for count in tracks.counts(run):
        args = {"PSS": count.pss, "USS": count.uss}
        yield {"ph": "C", "pid": count.pid, "name": "memory", "ts": at(count.time), "args": args}
