"""The task that a worker is at, in the head of its ring: written for every task, recorded or not.

A worker that is killed, or hangs, leaves behind what it was at and since when. Beside it stands when the
last task ended and how long all of them took together, so that the tasks which were passed through
unrecorded are counted and timed as well. A task that took long is recorded in any case.

The words of a task are written by one call, the count first and last: where the two differ, the task is
half-written, and not believed. Its function is written before, when it is another than the last
task's, which has ended then. The words of the end are true each by itself.
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
began = 0
"""When the task that it is at began; 0: it is at none."""
_one = _two = _title = 0  # its number, its function and items, as in its record
_number = _took = 0  # tasks begun; nanoseconds of those that have ended
_function: Any = None  # which _title names, whatever it is called with
_read = _cpu = 0  # when the CPU clock was last read, and what it said
_is_read = False  # at the beginning of this task
_BEGUN, _ENDED = Struct("<5Q").pack_into, Struct("<2Q").pack_into
_NAMED, _ENDS = kinds.CURRENT + 40, kinds.CURRENT + 56


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
    global _one, _two, _title, _function, _number, began, _read, _cpu, _is_read
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
    if func is not _function:
        _title = title_of(obj)
        _function = func if names_itself(func) else None
        _ENDED(ring.buffer, _NAMED, _title, channel)
    _one, _two, _number = one, two, _number + 1
    began = now()
    if began - _read > _OFTEN:
        _cpu, _read, _is_read = cpu_now(), began, True
        began = now()
    _BEGUN(ring.buffer, kinds.CURRENT, _number, _one, _two, began, _number)
    return True


def is_at(one: int, two: int) -> bool:
    """Return True if it is at the task with that number."""
    return began > 0 and one == _one and two == _two


def ends(obj: Any, done: int, data: Any) -> bool:
    """End with the task if what is passed through is its result; return False if it is not.

    A long task is recorded, as far as it was seen.
    """
    global began, _took
    if type(obj) is tuple:
        if len(obj) != 3 or type(obj[0]) is not int or obj[0] != _one or obj[1] != _two:
            return False
        error = None if obj[2][0] is True else obj[2]
    elif types.get(type(obj)) == kinds.RESULT and obj.work_id == _one:
        error = obj.exception
    else:
        return False
    begun = began
    if not begun:
        return False
    if _is_read or error is not None or done - begun >= LONG:
        _end_of_note(done, data, error)
    else:  # as ``end`` does; written out for speed
        _took += done - begun
        _ENDED(ring.buffer, _ENDS, done, _took)
        began = 0
    hot[0] -= 2
    hot[1] += 1
    if hot[0] <= 0:
        bursts.go_on(done)
    return True


def _end_of_note(done: int, data: Any, error: Any) -> None:
    begun = began
    used = end(done)
    if error is not None:
        note_error(error[1] if type(error) is tuple else error, done)
    if done - begun >= LONG:
        task, result = kinds.IN | kinds.TASK << 8, kinds.OUT | kinds.RESULT << 8
        ring.note(task, begun, 0, 0, 0, _one, _two, 0, channel, 0, _title)
        size, bad = len(data), int(error is not None) << 32
        ring.note(result, done, 0, 0, size, _one, _two, bad, results, used, begun)


def end(done: int) -> int:
    """The task has ended; return the CPU time of the process meanwhile, or 0 where it was not read.

    Of a long task it always is: by the share of the time since the last reading.
    """
    global began, _took, _read, _cpu, _is_read
    took = done - began
    _took += took
    _ENDED(ring.buffer, _ENDS, done, _took)
    began = 0
    if not _is_read and took < LONG:
        return 0
    cpu = cpu_now()
    spent = max(1, (cpu - _cpu) * took // max(1, done - _read))
    _cpu, _read, _is_read = cpu, done, False
    return int(spent)


def forget() -> None:
    """Begin again, in a forked child."""
    global channel, results, began, _number, _took, _read, _cpu, _function, _is_read
    channel = results = began = _number = _took = _read = _cpu = 0
    _function, _is_read = None, False


ring.on_fork.append(forget)
