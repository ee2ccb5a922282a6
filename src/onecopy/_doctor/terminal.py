"""A diagnosis on the terminal: a verdict, the lanes of the pool, the findings with their changes.

Made for 80 columns; wider terminals give longer lanes. Without colour nothing is lost.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from typing import IO

from rich.text import Text

from .._report.model import Run
from .._report.screen import Screen
from .._report.words import count, human_bytes, percent, seconds
from . import lanes, own
from .diagnosis import Diagnosis
from .finding import Finding, Line
from .pools import Pool

_NARROW, _WIDE = 60, 120
# Characters of a name that tell it from others.
_LEGIBLE = 16
_FULL = 5  # findings that are printed in full
_POOLS = 3
_LITTLE = 0.5  # of workers' time
_SPENT = {
    "startup": "were starting",
    "initializing": "were in their initializer",
    "waiting": "waited for tasks",
    "tail": "had no more tasks",
    "unpickle": "unpickled",
    "read": "read",
    "pickle": "pickled",
    "write": "wrote",
}
_COLOURS = {"wrong": "red", "crash": "red", "time": "yellow", "memory": "cyan", "note": "blue"}


def show(found: Diagnosis, file: IO[str], everything: bool = False) -> None:
    """Print a diagnosis.

    Args:
        found: what to show.
        file: where to.
        everything: all findings in full.
    """
    console = Screen(file)
    width = max(_NARROW, min(_WIDE, console.width))

    def say(text: Text | str = "") -> None:
        part = Text(text) if isinstance(text, str) else text
        console.print(part, width=width, no_wrap=True, overflow="ellipsis", crop=True)

    say()
    for line in _head(found, width):
        say(Text(line, style="bold"))
    say()
    for line in _wrapped(verdict(found), width):
        say(Text(line, style="bold"))
    for row in _pools(found, width):
        say(row)
    for number, each in enumerate(found.findings, 1):
        say()
        full = everything or number <= _FULL
        # What the verdict has said is not said again.
        said = number == 1 and each.level != "note"
        for row in _finding(number, each, width, full, said):
            say(row)
    say()
    for note in found.notes:
        for line in _wrapped(f"doctor: {note}", width):
            say(line)
    for line in _wrapped(_foot(found), width):
        say(Text(line, style="bright_black"))


def _pools(found: Diagnosis, width: int) -> Iterator[Text]:
    """Lines of the pools that are shown, each behind an empty one."""
    shown = _pools_to_show(found)
    ours = sorted(found.own, key=lambda run: -run.wanted * run.wall)[:_POOLS]
    for rows in (*(_pool(pool, width) for pool in shown), *(_own(run, width) for run in ours)):
        yield Text()
        yield from rows
    more = len(found.pools) + len(found.own) - len(shown) - len(ours)
    if more:
        yield Text(f"and {count(more, 'more pool')}")


def title(found: Diagnosis) -> str:
    """The program as it was called, without its interpreter."""
    words = found.facts.command[1:] if found.facts.python else found.facts.command
    if words and words[0] not in ("-m", "-c"):
        words = (os.path.basename(words[0]), *words[1:])
    if words and words[0] == "-c":
        words = ("-c", "...", *words[2:])
    return " ".join(shlex.quote(word) for word in words)


def _head(found: Diagnosis, width: int) -> list[str]:
    """The program and its end: on one line if the width is enough for both."""
    facts = found.facts
    status = (
        f"exit status {facts.status}" if facts.status >= 0 else f"ended by signal {-facts.status}"
    )
    processes = len(found.history.processes)
    what = f"{seconds(facts.wall)}, {status}, {processes} process{'' if processes == 1 else 'es'}"
    name = f"onecopy doctor: {title(found)}"
    if len(name) + 4 + len(what) <= width:
        return [f"{name}    {what}"]
    room = width - 4 - len(what)
    if room > len("onecopy doctor: ") + _LEGIBLE:
        return [f"{name[: room - 1]}…    {what}"]
    return [name if len(name) <= width else name[: width - 1] + "…", what]


def verdict(found: Diagnosis) -> str:
    """One sentence."""
    worst = [each for each in found.findings if each.level != "note"]
    if worst:
        return f"{worst[0].title}."
    facts = found.facts
    run = max(found.own, key=lambda each: each.wanted * each.wall, default=None)
    if run is not None and all(run.wanted * run.wall > pool.total for pool in found.pools):
        parts = run.accounting()
        said = (
            f"Nothing to change: {count(run.wanted, 'worker')} of onecopy computed "
            f"{percent(parts.compute, parts.total)} of {seconds(run.wall)}"
        )
    elif found.pools:
        pool = max(found.pools, key=lambda each: each.total)
        said = _nothing_found(pool)
    else:
        at_once = facts.program_cpu / max(1e-9, facts.wall)
        said = f"Nothing to change: {at_once:.1f} CPUs were used at a time"
    peak = peak_memory(found)
    if peak:
        said += f"; memory {human_bytes(int(peak))} at most"
    return said + "."


def _nothing_found(pool: Pool) -> str:
    """Say what the workers did, and where most of their time went, if not into computing."""
    said = (
        f"{count(pool.lanes, 'worker')} computed {percent(pool.parts.compute, pool.total)} "
        f"of {seconds(pool.wall)}, {pool.overlap:.1f} at a time"
    )
    if pool.parts.compute > _LITTLE * pool.total:
        return f"Nothing to change: {said}"
    part = max(_SPENT, key=lambda each: float(getattr(pool.parts, each)))
    spent = float(getattr(pool.parts, part))
    if spent > pool.parts.compute:
        said += f", and {_SPENT[part]} {percent(spent, pool.total)} of it"
    return f"No fault was found: {said}"


def peak_memory(found: Diagnosis) -> float:
    """Bytes: the greatest sum of PSS over all processes; 0 where it was not read."""
    latest: dict[int, tuple[int, int]] = {}
    peak = 0.0
    for roll in sorted(found.history.readings.rolls, key=lambda each: each.time):
        latest[roll.pid] = roll.time, roll.pss
        now = [pss for time, pss in latest.values() if roll.time - time < 2_500_000_000]
        peak = max(peak, float(sum(now)))
    return peak


def _pools_to_show(found: Diagnosis) -> list[Pool]:
    """Those that findings are about, then the longest."""
    named = [each.pool for each in found.findings if each.pool is not None]
    rest = sorted(found.pools, key=lambda pool: -pool.total)
    shown: list[Pool] = []
    for pool in (*named, *rest):
        again = any(pool.site == each.site for each in shown)
        if pool not in shown and not again and len(shown) < (_POOLS if named else 1):
            shown.append(pool)
    first = named[0] if named else None
    return [pool for pool in shown if pool is first or pool.total > 0.1 * shown[0].total]


def _own(run: Run, width: int) -> list[Text]:
    """A pool of onecopy's own: its report tells more."""
    size = f"{run.wanted} x {seconds(run.wall)}"
    what = own.describe(run)
    rows = [Text(what + " " * max(2, width - len(what) - len(size)) + size)]
    seen = {"compute"}
    for name, drawn in own.drawn(run, width - 12, lanes.MOST):
        rows.append(_lane(name, drawn, seen))
    if len(run.workers) > len(rows) - 1:
        rows.append(Text(f"and {count(len(run.workers) - len(rows) + 1, 'more worker')}"))
    parts = run.accounting()
    values = {
        "compute": parts.compute,
        "unpickle": parts.decode,
        "pickle": parts.encode,
        "start-up": parts.startup,
        "initializer": parts.initializing,
    }
    return rows + _entries(
        [
            (kind, f"{kind} {seconds(value)} {percent(value, parts.total)}")
            for kind, value in values.items()
            if kind in seen or value > 0.005 * parts.total
        ],
        width,
    )


def _lane(name: str, drawn: list[str], seen: set[str]) -> Text:
    row = Text(name.ljust(12))
    for kind in drawn:
        glyph, colour = lanes.KINDS.get(kind, (" ", "default"))
        row.append(glyph, style=colour)
        seen.add(kind)
    return row


def _pool(pool: Pool, width: int) -> list[Text]:
    size = f"{pool.lanes} x {seconds(pool.wall)}"
    what = f"{pool.describe()}, {count(pool.count, 'task')}"
    if len(what) + len(size) + 2 > width:
        what = f"{pool.kind}, {pool.lanes} workers by {pool.method}, {count(pool.count, 'task')}"
    rows = [Text(what + " " * max(2, width - len(what) - len(size)) + size)]
    cells = width - 12
    seen: set[str] = set()
    for name, drawn in lanes.of(pool, cells):
        rows.append(_lane(name, drawn, seen))
    if len(pool.workers) > len(rows) - 2:
        rows.append(Text(f"and {count(len(pool.workers) - len(rows) + 2, 'more worker')}"))
    return rows + _legend(pool, seen, width)


def _legend(pool: Pool, seen: set[str], width: int) -> list[Text]:
    parts = pool.parts
    values = {
        "compute": parts.compute,
        "unpickle": parts.unpickle + parts.read,
        "pickle": parts.pickle,
        "write": parts.write,
        "start-up": parts.startup,
        "initializer": parts.initializing,
        "waiting": parts.waiting,
        "tail": parts.tail,
        "lost": parts.lost,
    }
    entries = [
        (kind, f"{kind} {seconds(value)} {percent(value, pool.total)}")
        for kind, value in values.items()
        if kind in seen or value > 0.005 * pool.total
    ]
    sent = f"parent: pickling {seconds(pool.pickling)}, writing {seconds(pool.writing)}"
    entries.append(("", f"{sent}, receiving {seconds(pool.receiving)}"))
    return _entries(entries, width)


def _entries(entries: list[tuple[str, str]], width: int) -> list[Text]:
    rows = [Text()]
    for kind, said in entries:
        glyph, colour = lanes.KINDS.get(kind, ("", "default"))
        if rows[-1] and len(rows[-1]) + len(said) + 4 > width:
            rows.append(Text())
        elif rows[-1]:
            rows[-1].append("  ")
        if glyph:
            rows[-1].append(f"{glyph} ", style=colour)
        rows[-1].append(said)
    return rows


def _finding(number: int, each: Finding, width: int, full: bool, said: bool) -> list[Text]:
    gain = ""
    if each.saving is not None and each.of:
        gain = f"saves {seconds(each.saving)} of {seconds(each.of)}"
    elif each.memory and each.level == "memory":
        gain = f"saves {human_bytes(int(each.memory))}"
    head = Text(f"{number}. ")
    head.append(each.level.upper(), style=f"bold {_COLOURS[each.level]}")
    head.append(f"  {gain}" if gain else "")
    right = each.id + (f"  {each.where}" if each.where.file else "")
    head.append(" " * max(2, width - len(head) - len(right)) + right)
    rows = [head]
    if not full:
        return rows + [Text("   " + line) for line in _wrapped(each.title + ".", width - 3)]
    told = each.evidence if said else f"{each.title}. {each.evidence}"
    rows += [Text("   " + line) for line in _wrapped(told, width - 3)]
    for line in each.change:
        rows += _line(line, width)
    rest = " ".join(filter(None, [each.advice, _gain(each)]))
    rows += [Text("   " + line) for line in _wrapped(rest, width - 3)]
    return rows


def _gain(each: Finding) -> str:
    if not each.gain:
        return ""
    sure = "" if each.confidence in ("measured", "machine busy") else f" ({each.confidence})"
    return f"Gain: {each.gain}{sure}."


def _line(line: Line, width: int) -> list[Text]:
    """A line of code; one that is too long goes on below, under its own begin."""
    number = f"{line.number:>5}" if line.number else " " * 5
    style = {"+": "green", "-": "red"}.get(line.sign, "default")
    room = width - 8
    parts = [line.text] if len(line.text) <= room else _wrapped(line.text, room - 4)
    indent = line.text[: len(line.text) - len(line.text.lstrip())] if len(parts) > 1 else ""
    rows = [Text(f"{number} {line.sign} {indent}{parts[0]}", style=style)]
    return rows + [Text(" " * 12 + indent + part, style=style) for part in parts[1:]]


def _wrapped(text: str, width: int) -> list[str]:
    rows: list[str] = []
    for word in text.split():
        if rows and len(rows[-1]) + 1 + len(word) <= width:
            rows[-1] += " " + word
        else:
            # Code may have no space for long: nothing of it is cut off.
            rows += [word[at : at + width] for at in range(0, len(word), width)]
    return rows


def _foot(found: Diagnosis) -> str:
    facts = found.facts
    records = sum(len(process.rows) for process in found.history.processes)
    return f"doctor: {seconds(facts.doctor_cpu)} of CPU for looking, {count(records, 'record')}"
