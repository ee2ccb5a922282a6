"""From what was seen to a mark. Pure: no clock, no process, no file.

A cell has defects, of which the gravest is shown. Over several rounds the gravest of all
is shown, with the number of rounds in which it was there when that is not every one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from .facts import Batch, Facts
from .rows import Expect, Fault, Kind

# Ctrl-C should end a program in this time, in seconds.
PROMPT = 2.0


class Grade(IntEnum):
    """The gravity of a defect: the greater, the graver."""

    OK = 0
    MUTE = 1
    NOISY = 2
    REFUSED = 3
    LATE = 4
    REMAINS = 5
    SLOW = 6
    LOST = 7
    POOL_LOST = 8
    HANGS = 9
    NO_END = 10
    ALL_HANG = 11


LEGEND = {
    "ok": "nothing else was lost, the error says why, the pool went on, nothing stayed behind",
    "mute": "ok, but the error does not name the signal, exit code or class of error",
    "noisy": "ok, but workers print on the terminal",
    "refused": "an error instead of a result; nothing else was lost",
    "late": "the task went on beyond its limit; no error",
    "n procs, files, shm": "left behind a second after the program's end",
    "slow": "the program goes on for so long",
    "n lost": "other tasks that gave an error instead of their result",
    "pool lost": "the same pool takes no more work, and what it had is lost",
    "hangs": "the faulty task's result never comes",
    "no end": "the program has to be killed",
    "all hang": "other tasks' results never come",
    "k/n": "so in k of n runs, better in the others",
    "n/a": "the pool does not offer it",
}


@dataclass(frozen=True)
class Defect:
    """One thing that went wrong; ``mark`` is short enough for a table."""

    grade: Grade
    mark: str


OK = Defect(Grade.OK, "ok")


def defects(fault: Fault, facts: Facts) -> list[Defect]:
    """All that was wrong, the gravest first; empty when nothing was."""
    if not facts.placed and facts.ended is not None and not fault.sending:
        # The program ended before its fault could be met.
        return [Defect(Grade.POOL_LOST, "no start")]
    if fault.kind in (Kind.INTERRUPT, Kind.OWNER):
        found = [*_ending(fault, facts), *_remains(facts)]
    else:
        found = [*_others(facts), *_answer(fault, facts), *_after(facts), *_remains(facts)]
        if facts.ended is None:
            found.append(Defect(Grade.NO_END, "no end"))
    return sorted(found, key=lambda defect: -defect.grade)


def _others(facts: Facts) -> Iterable[Defect]:
    if facts.others is None or facts.others.missing:
        yield Defect(Grade.ALL_HANG, "all hang")
    elif lost := _failed(facts.others):
        yield Defect(Grade.LOST, f"{lost} lost")


def _answer(fault: Fault, facts: Facts) -> Iterable[Defect]:
    answer = facts.answer
    if answer is None:
        return
    if answer.state == "missing":
        yield Defect(Grade.HANGS, "hangs")
    elif answer.state == "value":
        if fault.expect is Expect.ERROR:
            yield Defect(Grade.LATE, "late")
    elif fault.expect is Expect.VALUE:
        yield Defect(Grade.REFUSED, "refused")
    elif not all(re.search(pattern, answer.text) for pattern in fault.says):
        yield Defect(Grade.MUTE, "mute")


def _after(facts: Facts) -> Iterable[Defect]:
    if facts.after is None:
        if facts.others is not None:
            yield Defect(Grade.ALL_HANG, "all hang")
    elif facts.after.missing:
        yield Defect(Grade.ALL_HANG, "all hang")
    elif _failed(facts.after):
        yield Defect(Grade.POOL_LOST, "pool lost")


def _ending(fault: Fault, facts: Facts) -> Iterable[Defect]:
    if facts.ended is None:
        yield Defect(Grade.NO_END, "no end")
    elif fault.kind is Kind.INTERRUPT:
        if facts.ended > PROMPT:
            yield Defect(Grade.SLOW, f"slow {facts.ended:.0f} s")
        if facts.noise:
            yield Defect(Grade.NOISY, "noisy")


def _remains(facts: Facts) -> Iterable[Defect]:
    for count, name in (
        (facts.processes, "proc"),
        (len(facts.shm), "shm"),
        (len(facts.files), "file"),
    ):
        if count:
            ending = "s" if count > 1 and name != "shm" else ""
            yield Defect(Grade.REMAINS, f"{count} {name}{ending}")


def _failed(batch: Batch) -> int:
    return sum(batch.errors.values())


def usable(fault: Fault, facts: Facts) -> bool:
    """False when the fault came too late to be one: the result had been sent already."""
    return facts.placed or not fault.sending or facts.answer is None


def verdict(fault: Fault, rounds: list[Facts]) -> Defect | None:
    """The gravest of all rounds; None when the fault could be placed in none of them."""
    judged = [facts for facts in rounds if usable(fault, facts)]
    if not judged:
        return None
    worst = [(defects(fault, facts) or [OK])[0] for facts in judged]
    grade = max(defect.grade for defect in worst)
    same = [defect for defect in worst if defect.grade is grade]
    mark = max((defect.mark for defect in same), key=_size)
    if len(same) < len(judged):
        mark += f" {len(same)}/{len(judged)}"
    return Defect(grade, mark)


def _size(mark: str) -> tuple[int, str]:
    """Orders marks of one grade by the number in them."""
    number = re.search(r"\d+", mark)
    return int(number[0]) if number else 0, mark
