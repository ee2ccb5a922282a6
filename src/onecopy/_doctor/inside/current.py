"""The task that a worker is at, in the head of its ring: written for every task, recorded or not.

A worker that is killed, or hangs, leaves behind what it was at and since when. Beside it stands when the
last task ended, and how long all before it took, so that the tasks which were passed through unrecorded are
counted and timed as well. A task that took long is recorded in any case.

The words of a task are written by one call, the count first and last: where the two differ, the task is
half-written, and not believed. Its function is written before, when it is another than the last
task's, which has ended then. The end of a task is one word. This runs for each task, so ``worker``
has the usual case written out.
"""

from __future__ import annotations

from struct import Struct

from . import bursts, kinds, ring
from .bursts import hot
from .calls import call_number, names_itself, note_error, types
from .ring import cpu_now, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONG = 20_000_000
"""Nanoseconds from which on a task is recorded in any case."""

_OFTEN = 25_000_000
"""Nanoseconds between two readings of the CPU clock. It makes the kernel account for what has run, and
think about who is to run next: read around each task of 1 ms, where the CPUs were full, it took 5 % of the
time by the clock."""

channel = results = 0
"""The pipes that this process takes tasks from, and writes results to; 0: it does not."""
_NOBODY = object()  # in the place of a function that is no task's
BEGUN, ENDED = Struct("<6Q").pack_into, Struct("<Q").pack_into
_NAME = Struct("<2Q").pack_into
_NAMED, ENDS = kinds.CURRENT + 48, kinds.CURRENT + 64


class _At:
    """The task that this process is at. The hooks change this with each.

    Attributes:
        one, two: the task's number.
        began: when it began; 0: it is at none.
        number: tasks begun; took: nanoseconds of those that have ended.
        function: names the task, whatever it is called with; title: that name and its items.
        due: when the CPU clock is to be read again.
        read, cpu: when it was read last, and what it said.
        limit: from how many nanoseconds on more is to be done at the task's end than is usual: LONG, or 0
            where the clock was read as it began.
    """

    __slots__ = (
        *("one", "two", "began", "number", "took", "function", "title"),
        *("due", "read", "cpu", "limit"),
    )

    def __init__(self) -> None:
        self.begin_again()

    def begin_again(self) -> None:
        """Forget all."""
        self.one = self.two = self.began = self.number = self.took = self.title = 0
        self.due = self.read = self.cpu = 0
        self.function: Any = _NOBODY
        self.limit = LONG


at = _At()


def take(tasks: int, to: int) -> None:
    """This process is about to take tasks from a pipe, and to write results to another."""
    global channel, results
    channel, results = tasks, to
    bursts.takes_tasks[0] = True


def is_task(obj: Any) -> bool:
    """Tell a pool's task by its form alone, where it is not known by which pipe it came."""
    if type(obj) is tuple:
        return (
            len(obj) == 5 and type(obj[0]) is int and type(obj[3]) is tuple and type(obj[4]) is dict
        )
    return types.get(type(obj)) == kinds.TASK


def title_of(obj: Any) -> int:
    """The function of a task that came, and its items."""
    # Of a process that hands out tasks besides, the calls have numbers of their own.
    if type(obj) is tuple:
        return call_number(~obj[0], True, obj[2], obj[3])
    return call_number(~obj.work_id, False, obj.fn, getattr(obj, "args", ()))


def begins(obj: Any) -> bool:
    """Begin with what has been read, if it is a task; return False if it is none."""
    if type(obj) is tuple:
        if len(obj) != 5:
            return False
        one, two, func, _, more = obj
        if type(one) is not int or type(two) is not int or type(more) is not dict:
            return False
    elif types.get(type(obj)) == kinds.TASK:
        one, two, func = obj.work_id, 0, obj.fn
    else:
        return False
    if func is not at.function:
        title = title_of(obj)
        at.function = func if names_itself(func) else _NOBODY
        if title != at.title:
            at.title = title
            _NAME(ring.buffer, _NAMED, title, channel)
    at.number = number = at.number + 1
    at.one, at.two, at.began = one, two, now()
    if at.began > at.due:
        read_cpu()
    BEGUN(ring.buffer, kinds.CURRENT, number, one, two, at.began, at.took, number)
    return True


def read_cpu() -> None:
    """Read the CPU clock, as a task begins."""
    at.read, at.cpu, at.limit = at.began, cpu_now(), 0
    at.due = at.read + _OFTEN
    at.began = now()


def is_at(one: int, two: int) -> bool:
    """Return True if it is at the task with that number."""
    return at.began > 0 and one == at.one and two == at.two


def ends(obj: Any, done: int, data: Any) -> bool:
    """End with the task if what is passed through is its result; return False if it is not.

    A long task is recorded, as far as it was seen.
    """
    if type(obj) is tuple:
        if len(obj) != 3:
            return False
        one, two, result = obj
        if not type(one) is type(two) is int or one != at.one or two != at.two:
            return False
        if type(result) is not tuple or len(result) != 2:
            return False
        error = None if result[0] is True else result
    elif types.get(type(obj)) == kinds.RESULT and obj.work_id == at.one:
        error = obj.exception
    else:
        return False
    begun = at.began
    if not begun:
        return False
    used = end(done)
    if error is not None:
        note_error(error[1] if type(error) is tuple else error, done)
    if done - begun >= LONG:
        task, result = kinds.IN | kinds.TASK << 8, kinds.OUT | kinds.RESULT << 8
        ring.note(task, begun, 0, 0, 0, at.one, at.two, 0, channel, 0, at.title)
        size, bad = len(data), int(error is not None) << 32
        ring.note(result, done, 0, 0, size, at.one, at.two, bad, results, used, begun)
    hot[0] -= 2
    if hot[0] <= 0:
        bursts.go_on(done)
    return True


def end(done: int) -> int:
    """The task has ended; return the CPU time of the process meanwhile, or 0 where it was not read.

    Of a long task it always is: by the share of the time since the last reading.
    """
    took = done - at.began
    at.took += took
    ENDED(ring.buffer, ENDS, done)
    at.began = 0
    if took < at.limit:
        return 0
    cpu = cpu_now()
    spent = max(1, (cpu - at.cpu) * took // max(1, done - at.read))
    at.cpu, at.read, at.due, at.limit = cpu, done, done + _OFTEN, LONG
    return int(spent)


def forget() -> None:
    """Begin again, in a forked child."""
    global channel, results
    channel = results = 0
    at.begin_again()


ring.on_fork.append(forget)
