"""The tasks of a chaos run.

Each task first writes down that it has begun, and where, into tables that the owner reads:
that is how a task that was run twice is found, and whose death a killed worker may be blamed
for. Imported in every worker, so nothing heavy is imported here.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import threading
import time
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Far beyond any run: what lingers so long is ended from outside.
FOREVER = 3600.0

_runs: Array
_pids: Array


class Odd(Exception):
    """The error of a task that raises: its number is in it."""


class Flaky(Odd):
    """The error of a task that is to be tried again."""


def set_up(runs: Array, pids: Array) -> None:
    """The initializer of every worker: where tasks note that they have begun."""
    global _runs, _pids
    _runs, _pids = runs, pids


def set_up_files(runs: str, pids: str) -> None:
    """The same for workers of hosts, which have no open memory of the owner's: files."""
    set_up(np.memmap(runs, "u1", "r+"), np.memmap(pids, "i4", "r+"))


def begin(task: int) -> None:
    """This task has begun, in this process."""
    _pids[task] = os.getpid()
    _runs[task] += 1


def value_of(task: int) -> int:
    """The value that a task of no other use returns."""
    return 3 * task + 1


# Tasks that come to a good end.


def tick(task: int) -> int:
    begin(task)
    return value_of(task)


def nap(task: int, seconds: float) -> int:
    begin(task)
    time.sleep(seconds)
    return value_of(task)


def add(task: int, more: int) -> int:
    begin(task)
    return value_of(task) + more


def grown(task: int, data: Array) -> Array:
    """The argument is sent, and as many bytes come back."""
    begin(task)
    data += 1  # what has travelled is the receiver's own
    return data


def made(task: int, size: int) -> Array:
    begin(task)
    return np.full(size, task % 251, "u1")


def total(task: int, data: Array) -> int:
    begin(task)
    return int(data.sum())


def total_block(block: Array) -> int:
    """A block's first row is its number as a task."""
    begin(int(block[0]))
    return int(block.sum())


def fill(task: int, room: Array) -> int:
    """Writes into memory that all processes share."""
    begin(task)
    room[...] = task % 251
    return value_of(task)


# Tasks that do not.


def fail(task: int) -> int:
    begin(task)
    raise Odd(task)


def fail_some(task: int) -> int:
    """Raises for one in seven."""
    begin(task)
    if task % 7 == 0:
        raise Odd(task)
    return value_of(task)


def flaky(task: int) -> int:
    """Raises when it is run for the first time."""
    begin(task)
    if _runs[task] == 1:
        raise Flaky(task)
    return value_of(task)


def no_result(task: int) -> Any:
    """A task whose result cannot be sent."""
    begin(task)
    return threading.Lock()


# Tasks that take their worker with them, or have it taken.


def leave(task: int) -> None:
    begin(task)
    os._exit(7)


def quit(task: int) -> None:
    begin(task)
    sys.exit(5)


def crash(task: int) -> None:
    begin(task)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def linger(task: int) -> None:
    """Until it is ended."""
    begin(task)
    time.sleep(FOREVER)


def hoard(task: int, size: int) -> None:
    """Takes memory, and lingers."""
    begin(task)
    held = np.ones(size, "u1")
    time.sleep(FOREVER)
    del held
