"""Runs: many tiny single calls that a worker is given as one assignment.

A call of a microsecond costs the engine ten: an entry in the table, two events of the scheduler, a
frame each way. So calls of one function that wait behind each other, and are known to be tiny, are
given out together. For their callers nothing changes: each has its own claim, outcome and record.

- The worker notes each call before it starts it, as it notes items of a chunk (``strides``): what
  it has not started can be taken back, and when it dies, one call is lost, no other.
- It puts each outcome into a page that the owner maps as well, and sends the page when it is full,
  after ``LONGEST_NS``, and at the end (``_protocol.outcome_page``). When it has died, the owner
  reads the rest there; and when a call takes long after all, the outcomes before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._schedule.events import Assignment
from .work import Call, Entry, FutureCall, Work

# A call is put into a run if its arguments are not longer.
_MOST = 1024


def fits(call: Call) -> bool:
    """Return True for a call that may be part of a run."""
    message = call.message
    return (
        type(call) is FutureCall
        and call.function is not None
        and call.rules is None
        and type(message) is bytes
        and len(message) <= _MOST
    )


class Run(Work):
    """See the module. The calls have one function, and need the same variables. What is told of a
    run is told of its ``parts``.

    Attributes:
        calls: in the order in which they run; None for one that was cancelled before.
    """

    __slots__ = ("calls", "function", "versions")
    rules = None

    def __init__(self, calls: list[FutureCall | None]) -> None:
        self.calls = calls
        first = next(call for call in calls if call is not None)
        self.function = first.function
        self.versions = first.versions


def parts(entry: Entry) -> Iterator[Entry]:
    """Return an entry for each call of a run that has no outcome yet; others as they are."""
    run = entry.work
    if type(run) is not Run:
        yield entry
        return
    for call in run.calls[entry.early : entry.assignment.stop]:
        if call is not None:
            yield part(entry, call)


def part(entry: Entry, call: FutureCall) -> Entry:
    """Return an entry for one call of a run."""
    alone = Entry(Assignment(entry.assignment.id, call.number, 0, 0), call, entry.worker)
    alone.sent, alone.begun = entry.sent, entry.begun
    message: Any = call.message
    alone.moved = len(message) if message is not None else 0
    return alone
