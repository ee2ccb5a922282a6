"""The observations of one pool with one fault. Plain data: ``cell`` and ``watch`` fill it in,
``judge`` reads it, and it goes into the record as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Batch:
    """Tasks that are not at fault.

    Attributes:
        sent: how many there were.
        right: how many gave the right result.
        errors: how many ended with each class of error, refused submits among them.
        missing: how many had not ended when the time was up.
    """

    sent: int
    right: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    missing: int = 0


@dataclass
class Answer:
    """The outcome of the faulty task.

    Attributes:
        state: ``"value"``, ``"error"`` or ``"missing"``.
        seconds: from the fault to the answer.
        error: the error's class.
        text: classes, messages and attributes of the error and of its causes.
    """

    state: str
    seconds: float | None = None
    error: str = ""
    text: str = ""


@dataclass
class Facts:
    """One cell, once.

    Attributes:
        done: has the program said all that it has to say? What remains is its end.
        placed: did the fault happen? Without it there is nothing to judge.
        others: the tasks that shared the pool with the faulty one.
        answer: the faulty task; None where there is none.
        after: the tasks given to the same pool afterwards.
        replaced: was the faulty task's worker gone at the end?
        ended: seconds from the last word of the program (or the signal that should end
            it) to its end; None when it had to be killed.
        code: its exit code.
        processes: how many it left running, one second after its end.
        lasted: seconds until the last of them was gone by itself; None: not in 10 s.
        shm: names left in ``/dev/shm``, semaphores among them.
        files: names left in its temporary directory.
        noise: what was printed on standard error.
    """

    done: bool = False
    placed: bool = False
    others: Batch | None = None
    answer: Answer | None = None
    after: Batch | None = None
    replaced: bool | None = None
    ended: float | None = None
    code: int | None = None
    processes: int = 0
    lasted: float | None = 0.0
    shm: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    noise: str = ""


def rebuilt(content: dict[str, Any]) -> Facts:
    """The opposite of ``dataclasses.asdict``."""
    found = Facts(**content)
    for name in ("others", "after"):
        if content.get(name) is not None:
            setattr(found, name, Batch(**content[name]))
    if content.get("answer") is not None:
        found.answer = Answer(**content["answer"])
    return found
