"""Calls for futures on their way into the pool's table.

A call is put here without the table's lock, in one step. The thread that takes the lock next takes
it in, with all others that have come: so a loop that submits pays for the lock, the scheduler and
the section without interrupts (``Uninterrupted``) once in many calls.

No call stays here while a worker is idle. The thread that puts a call, and then sees an idle worker,
takes it in itself; the thread that makes a worker idle looks in here after that. So one of the two
sees the other. Ctrl-C may interrupt the first one: then the call is here or it is not, and waits for
the next that takes the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .._schedule.events import PLAIN, Instruction
from .._schedule.scheduler import Scheduler
from .runs import fits
from .work import BlockingCall, Call, Work

# Tiny calls that may wait here while a worker is idle; see ``Scheduler.held``.
_FEW = 32


class Inbox:
    """See the module.

    Args:
        scheduler: gets the calls.
        runs: workers can be given runs of calls; see ``runs``.

    Attributes:
        calls: in the order in which they came.
        begins_to_hold: since it was last cleared, the scheduler has begun to let tasks wait although
            a worker is idle.
    """

    def __init__(self, scheduler: Scheduler, *, runs: bool) -> None:
        self.calls: deque[Call] = deque()
        self.begins_to_hold = False
        self._scheduler = scheduler
        self._runs = runs
        # What the calls of a run have in common: of the last call.
        self._common: tuple[object, object] = (None, None)

    def __bool__(self) -> bool:
        return bool(self.calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(self.calls.copy())

    def put(self, call: Call) -> bool:
        """Put a call behind the others; return True if it must be taken in. Any thread."""
        calls, scheduler = self.calls, self._scheduler
        calls.append(call)
        if not scheduler.idle:
            return False
        # A tiny call may wait for a quick worker; the engine asks ``held_back`` every now and then.
        tiny = call.function is self._common[0] is not None and call.rules is None
        return not (tiny and len(calls) < _FEW and scheduler.held and scheduler.quick)

    def take_in(self, work: dict[int, Work]) -> list[Instruction]:
        """Move all to the table's ``work``, and return what follows. With the table's lock held."""
        calls, scheduler = self.calls, self._scheduler
        found: list[Instruction] = []
        held = scheduler.held
        while calls:
            call = calls.popleft()
            task = call.own
            work[task] = call
            constraints = PLAIN if call.rules is None else call.rules.constraints
            waits = type(call) is not BlockingCall
            if not (self._runs and fits(call)):
                found += scheduler.submitted(task, call.pace, constraints, waits=waits)
                continue
            function, versions = call.function, call.versions
            before = self._common
            first = function is not before[0] or versions is not before[1]
            self._common = function, versions
            # Those that came after it, and may be in one run with it.
            stop = task + 1
            while (
                calls
                and (later := calls[0]).function is function
                and later.versions is versions
                and later.own == stop
                and fits(later)
            ):
                work[stop] = calls.popleft()
                stop += 1
            found += scheduler.submitted(
                task, call.pace, constraints, waits=waits, run=stop - task, first=first
            )
        if scheduler.held and not held:
            self.begins_to_hold = True
        return found

    def forget(self) -> None:
        """Forget the last call's function, and the values that it reads: the pool has ended."""
        self._common = (None, None)

    def withdraw(self, call: Call) -> bool:
        """Take a call out again; return False if it was taken in. With the table's lock held."""
        try:
            self.calls.remove(call)
        except ValueError:
            return False
        return True
