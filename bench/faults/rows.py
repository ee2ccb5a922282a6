"""The faults, one row of the table each.

Every fault of kind ``TASK`` is met in the same way: two workers, twenty short tasks, the
faulty one, twenty more, and ten more to the same pool when all that was answered.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from . import tasks


class Kind(Enum):
    """The action of the program."""

    TASK = "a faulty task among others"
    IDLE = "a worker is killed between tasks"
    INTERRUPT = "Ctrl-C while workers run"
    OWNER = "the owner is killed while workers run"


class Expect(Enum):
    """The right answer of the faulty task."""

    ERROR = "an error"
    VALUE = "its value"
    EITHER = "its value or an error"


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        name: as in ``--only``.
        title: in the table.
        task: the faulty task; None for one that cannot be imported (a lambda).
        says: patterns, all of which a useful error contains.
        signal: sent to the faulty task's worker while it runs.
        sending: the signal waits until the result is on its way.
        timeout: the faulty task gets a timeout of a second, where the pool offers one.
        needs: what a pool has to offer, or the row does not apply: "timeout", "memory".
        times: runs in each round; more where the outcome is a matter of luck.
        brief: is it in the short table too?
    """

    name: str
    title: str
    task: Callable[[str], Any] | None = None
    kind: Kind = Kind.TASK
    expect: Expect = Expect.ERROR
    says: tuple[str, ...] = ()
    signal: signal.Signals | None = None
    sending: bool = False
    timeout: bool = False
    needs: str = ""
    times: int = 1
    brief: bool = False


_KILLED = (r"SIGKILL|\bKilled\b|exit ?code\W*-9\b",)
_EXITED = (r"exit ?code\W*3\b|with code 3\b|EXIT\(3\)",)
_CRASHED = (r"SIGSEGV|Segmentation fault|exit ?code\W*-11\b",)
_TIME = (r"TimeoutError",)

FAULTS = (
    Fault(
        "kill_running",
        "worker killed in a task",
        tasks.stay,
        says=_KILLED,
        signal=signal.SIGKILL,
        brief=True,
    ),
    Fault("kill_idle", "worker killed while idle", kind=Kind.IDLE, times=3, brief=True),
    Fault("exit_hard", "os._exit in a task", tasks.leave, says=_EXITED),
    Fault(
        "exit_soft",
        "sys.exit in a task",
        tasks.leave_politely,
        says=("SystemExit|" + _EXITED[0],),
        brief=True,
    ),
    Fault("segfault", "segmentation fault", tasks.crash, says=_CRASHED, brief=True),
    Fault(
        "unpicklable", "result cannot be pickled", tasks.return_a_lock, says=("pickle",), brief=True
    ),
    Fault(
        "awkward",
        "error cannot be rebuilt",
        tasks.raise_awkward,
        says=("Awkward|this and that", r"tasks\.py"),
        brief=True,
    ),
    Fault(
        "base_exception",
        "BaseException in a task",
        tasks.raise_special,
        says=("Special", r"tasks\.py"),
    ),
    Fault(
        "timeout",
        "task hangs, has a timeout",
        tasks.stay,
        says=_TIME,
        timeout=True,
        needs="timeout",
        brief=True,
    ),
    Fault(
        "stopped",
        "worker stopped (SIGSTOP)",
        tasks.stay,
        says=_TIME,
        signal=signal.SIGSTOP,
        timeout=True,
    ),
    Fault(
        "memory",
        "task passes a memory limit",
        tasks.eat,
        says=(r"[Mm]emory",),
        needs="memory",
        brief=True,
    ),
    Fault("interrupt", "Ctrl-C", kind=Kind.INTERRUPT, brief=True),
    Fault("owner", "owner killed, workers in C", tasks.grind, kind=Kind.OWNER, brief=True),
    Fault(
        "sending",
        "killed sending 200 MB",
        tasks.return_much,
        expect=Expect.EITHER,
        says=_KILLED,
        signal=signal.SIGKILL,
        sending=True,
    ),
    Fault("lambda", "a lambda as function", expect=Expect.VALUE, brief=True),
)

NAMES = [fault.name for fault in FAULTS]


def fault(name: str) -> Fault:
    return FAULTS[NAMES.index(name)]
