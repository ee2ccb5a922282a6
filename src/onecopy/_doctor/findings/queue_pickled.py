"""Large objects through a queue or pipe of the program's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .. import source
from ..finding import Case, Finding, Line, human_bytes, seconds
from ..history import NOWHERE, Process, Site
from ..inside import kinds

_EACH, _ALL, _PART = 200_000, 8e6, 0.2


@dataclass
class _Channel:
    process: Process
    messages: int = 0
    bytes: int = 0
    pickling: float = 0.0
    writing: float = 0.0
    sorts: Counter[str] = field(default_factory=Counter)


def look(case: Case) -> Iterator[Finding]:
    channels: dict[tuple[Process, int], _Channel] = {}
    for process in case.history.processes:
        sorts = {int(row["t0"]): process.text(row["d"]) for row in process.of(kinds.BIG)}
        for row in process.of(kinds.OUT, kinds.OTHER):
            if int(row["c"]) >= _EACH:
                key = process, int(row["g"])
                found = channels.setdefault(key, _Channel(process))
                found.messages += 1
                found.bytes += int(row["c"])
                found.pickling += int(row["a"]) / 1e9
                found.writing += int(row["b"]) / 1e9
                found.sorts[sorts.get(int(row["t0"]), "object")] += 1
    for (_, channel), each in channels.items():
        most = each.pickling + each.writing
        if each.messages >= 2 and each.bytes >= _ALL and most >= _PART * case.wall:
            told = _finding(case, channel, each)
            if told is not None:
                yield told


def _made(case: Case, channel: int) -> tuple[Site, str, list[int]]:
    """The place where a channel was made, its class, and the inodes of its ends."""
    for process in case.history.processes:
        for row in process.of(kinds.QUEUE):
            ends = [int(row["a"]), int(row["f"])]
            if channel in ends:
                return process.site(row["d"]), process.text(row["e"]), ends
    return NOWHERE, "pipe", [channel]


def _readers(case: Case, sent: _Channel, ends: list[int]) -> tuple[int, float, float, float]:
    """The number of readers; their seconds of waiting for messages, reading and unpickling."""
    readers, waited, read, load = 0, 0.0, 0.0, 0.0
    for process in case.history.processes:
        if process is sent.process:
            continue
        rows = process.of(kinds.IN, kinds.OTHER)
        rows = rows[np.isin(rows["g"], ends) & (rows["c"] >= _EACH)]
        readers += bool(len(rows))
        known = rows[rows["h"] > 0]
        waited += float((known["t0"] - np.minimum(known["h"], known["t0"])).sum()) / 1e9
        read += float(rows["a"].sum()) / 1e9
        load += float(rows["b"].sum()) / 1e9
    return readers, waited, read, load


def _finding(case: Case, channel: int, sent: _Channel) -> Finding | None:
    site, kind, ends = _made(case, channel)
    readers, waited, read, load = _readers(case, sent, ends)
    # Writing while no process reads is waiting for a reader that is busy.
    cost = sent.pickling + (min(sent.writing, read) if readers else sent.writing)
    if cost < _PART * case.wall:
        return None
    what = sent.sorts.most_common(1)[0][0]
    # Readers that hardly wait are not kept up by it: theirs is what they read and unpickle.
    theirs = waited + read + load if readers else cost
    saving = 0.9 * min(cost, theirs, case.wall)
    return Finding(
        id="queue-pickled",
        level="time",
        title=f"{human_bytes(sent.bytes)} went through a {kind} in {sent.messages:,} messages, "
        "pickled and copied",
        evidence=f"{human_bytes(sent.bytes // sent.messages)} each ({what}). "
        f"{sent.process.describe()}: {seconds(sent.pickling)} pickling, {seconds(sent.writing)} "
        f"writing, or waiting for a reader; {readers} readers: {seconds(read)} reading, "
        f"{seconds(load)} unpickling.",
        where=site,
        change=(
            Line(site.line, " ", source.line(site)),
            Line(site.line, "+", "frames = oc.empty((n, ...), dtype)   # once, for all processes"),
            Line(0, " ", "# frames[i] = ...; queue.put(i): the number goes through the queue"),
        ),
        advice="Or tasks of an onecopy.Pool: shared arguments need no pipe.",
        saving=saving,
        of=case.wall,
        memory=float(sent.bytes),
        gain=f"up to {seconds(saving)}",
        figures={"messages": sent.messages, "bytes": sent.bytes, "cost": cost},
    )
