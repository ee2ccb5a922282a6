"""Large objects through a queue or pipe of the program's own."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import source
from ..cures import kind_of
from ..finding import Case, Finding, Line, count, human_bytes, seconds
from ..history import NOWHERE, Process, Site
from ..inside import kinds

_EACH, _ALL, _PART = 200_000, 8e6, 0.2


@dataclass
class _Sent:
    """The large messages that one process has sent through the queues, or pipes, of one place."""

    process: Process
    site: Site
    kind: str
    ends: set[int] = field(default_factory=set)
    messages: int = 0
    bytes: int = 0
    pickling: float = 0.0
    writing: float = 0.0
    sorts: Counter[str] = field(default_factory=Counter)


def look(case: Case) -> Iterator[Finding]:
    places = _places(case)
    found: dict[Any, _Sent] = {}
    for process in case.history.processes:
        sorts = {int(row["t0"]): kind_of(process, row) for row in process.of(kinds.BIG)}
        for row in process.of(kinds.OUT, kinds.OTHER):
            if int(row["c"]) >= _EACH:
                channel = int(row["g"])
                site, kind, ends = places.get(channel, (NOWHERE, "pipe", {channel}))
                key = process, site if site.file else channel
                each = found.setdefault(key, _Sent(process, site, kind))
                each.ends |= ends
                each.messages += 1
                each.bytes += int(row["c"])
                each.pickling += int(row["a"]) / 1e9
                each.writing += int(row["b"]) / 1e9
                each.sorts[sorts.get(int(row["t0"]), "object")] += 1
    told = {id(each): _finding(case, each) for each in found.values() if each.messages >= 2}
    best: dict[Any, Finding] = {}
    for key, each in found.items():
        # Of what went there and back, the direction that costs more.
        finding = told.get(id(each))
        if finding is not None:
            before = best.get(key[1])
            if before is None or (finding.saving or 0.0) > (before.saving or 0.0):
                best[key[1]] = finding
    yield from best.values()


def _places(case: Case) -> dict[int, tuple[Site, str, set[int]]]:
    """For the inode of each end of a queue, or pipe: where it was made, its class, and all its ends."""
    found = {}
    for process in case.history.processes:
        for row in process.of(kinds.QUEUE):
            ends = {int(row["a"]), int(row["f"])} - {0}
            for end in ends:
                found[end] = process.site(row["d"]), process.text(row["e"]), ends
    return found


def _readers(case: Case, sent: _Sent) -> tuple[int, float, float, float]:
    """The number of readers; their seconds of waiting for messages, reading and unpickling."""
    readers, waited, read, load = 0, 0.0, 0.0, 0.0
    for process in case.history.processes:
        if process is sent.process:
            continue
        rows = process.of(kinds.IN, kinds.OTHER)
        rows = rows[np.isin(rows["g"], list(sent.ends)) & (rows["c"] >= _EACH)]
        readers += bool(len(rows))
        known = rows[rows["h"] > 0]
        waited += float((known["t0"] - np.minimum(known["h"], known["t0"])).sum()) / 1e9
        read += float(rows["a"].sum()) / 1e9
        load += float(rows["b"].sum()) / 1e9
    return readers, waited, read, load


def _answers(case: Case, sent: _Sent, load: float) -> tuple[float, float]:
    """Of what came back to the sender: seconds in which it read and unpickled that, and seconds in which
    it waited while readers unpickled what they got, and pickled their answers."""
    rows = sent.process.of(kinds.IN, kinds.OTHER)
    rows = rows[np.isin(rows["g"], list(sent.ends)) & (rows["c"] >= _EACH)]
    known = rows[rows["h"] > 0]
    waited = float((known["t0"] - np.minimum(known["h"], known["t0"])).sum()) / 1e9
    pickled = 0.0
    for process in case.history.processes if len(rows) else ():
        if process is not sent.process:
            theirs = process.of(kinds.OUT, kinds.OTHER)
            theirs = theirs[np.isin(theirs["g"], list(sent.ends)) & (theirs["c"] >= _EACH)]
            pickled += float(theirs["a"].sum()) / 1e9
    return float((rows["a"] + rows["b"]).sum()) / 1e9, min(waited, load + pickled)


def _finding(case: Case, sent: _Sent) -> Finding | None:
    site, kind = sent.site, sent.kind
    readers, waited, read, load = _readers(case, sent)
    # Writing while no process reads is waiting for a reader that is busy.
    cost = sent.pickling + (min(sent.writing, read) if readers else sent.writing)
    back, waiting = _answers(case, sent, load)
    if sent.bytes < _ALL or cost + back < _PART * case.wall:
        return None
    what = sent.sorts.most_common(1)[0][0]
    # Readers that hardly wait are not kept up by it: theirs is what they read and unpickle.
    theirs = waited + read + load if readers else cost
    saving = 0.9 * min(min(cost, theirs) + back + waiting, case.wall)
    return Finding(
        id="queue-pickled",
        level="time",
        title=f"{human_bytes(sent.bytes)} went through a {kind} in {sent.messages:,} messages, "
        "pickled and copied",
        evidence=f"{human_bytes(sent.bytes // sent.messages)} each ({what}). In "
        f"{sent.process.describe()}: {seconds(sent.pickling)} pickling, {seconds(sent.writing)} "
        f"writing, or waiting for a reader. In {count(readers, 'reader')}: {seconds(read)} reading, "
        f"{seconds(load)} unpickling."
        + (
            f" The sender read and unpickled answers for {seconds(back)}."
            if back >= 0.1 * cost
            else ""
        ),
        where=site,
        change=tuple(_change(site)),
        advice="Or tasks of an onecopy.Pool: shared arguments need no pipe.",
        saving=saving,
        of=case.wall,
        memory=float(sent.bytes),
        gain=f"up to {seconds(saving)}",
        figures={"messages": sent.messages, "bytes": sent.bytes, "cost": cost, "back": back},
    )


def _change(site: Site) -> Iterator[Line]:
    """One array for all processes, and numbers through the queue."""
    put = next((each for name in ("put", "send") for each in _sent(site, name)), None)
    yield Line(0, "+", "import onecopy as oc")
    yield Line(site.line, " ", source.line(site))
    yield Line(site.line, "+", "rooms = oc.empty((n, *shape), dtype)   # once, for all processes")
    if put is None:
        yield Line(0, " ", "# rooms[i] = ...; queue.put(i): the number goes through the queue")
        return
    value = put.args[0]
    if isinstance(value, ast.Tuple) and value.elts:
        value = value.elts[-1]
    before, after = source.replaced(site, value, "i")
    yield Line(put.lineno, "-", before)
    yield Line(
        put.lineno, "+", f"rooms[i] = {source.text_of(site, value)}   # where a room is free"
    )
    yield Line(put.lineno, "+", f"{after}   # its number alone is sent")


def _sent(site: Site, name: str) -> list[ast.Call]:
    """Calls that send a value, and not just the word for the end."""
    calls = source.calls(site.file, name)
    return [each for each in calls if each.args and not isinstance(each.args[0], ast.Constant)]
