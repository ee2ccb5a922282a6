"""Functions that tests of the executor have run by workers, and how the two tell each other
how far they are: by signs, an open array that every worker writes in place."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Signs = np.ndarray[Any, Any]

STATE: list[Any] = []


def meet(signs: Signs, mine: int, awaited: int, value: Any = None) -> Any:
    """Gives the sign `mine`, waits for the sign `awaited`, returns `value`."""
    signs[mine] = 1
    while not signs[awaited]:
        time.sleep(0.001)
    return value


def take_long(signs: Signs, mine: int) -> None:
    """Longer than what the scheduler sends to a worker ahead."""
    signs[mine] = 1
    time.sleep(0.05)


def give(signs: Signs, mine: int) -> int:
    """Gives the sign `mine` once more."""
    signs[mine] += 1
    return mine


def count_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda *_: STATE.append("SIGTERM"))


def meet_sigterm(signs: Signs, mine: int, then: int) -> None:
    """Gives the sign `mine`, and once the handler was called the sign `then`."""
    signs[mine] = 1
    while "SIGTERM" not in STATE:
        time.sleep(0.001)
    signs[then] = 1


def same(value: Any) -> Any:
    return value


def mul(x: int, y: int = 1) -> int:
    return x * y


class Scaled:
    """Multiplies with what it holds."""

    def __init__(self, by: list[int]) -> None:
        self.by = by

    def __call__(self, x: int) -> int:
        return self.by[0] * x

    def scale(self, x: int) -> int:
        return self.by[0] * x


def capture(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return args, kwargs


def fail(error: type[BaseException], *args: Any) -> None:
    raise error(*args)


def fail_with_note() -> None:
    error = ValueError(123)
    error.add_note("the note")
    raise error  # some comment


def fail_on(bad: Any, error: type[BaseException], value: Any) -> Any:
    if value == bad:
        raise error(value)
    return value


def remember(value: Any) -> None:
    STATE.append(value)


def remembered() -> list[Any]:
    return list(STATE)


def die(code: int = 7) -> None:
    os._exit(code)


def die_of_a_fault(_: Any = None) -> None:
    faulthandler.disable()  # of pytest: a forked worker has it too
    os.kill(os.getpid(), signal.SIGSEGV)


def die_on(bad: Any, value: Any) -> Any:
    if value == bad:
        os._exit(7)
    return value


def leave() -> None:
    sys.exit(3)


def fail_to_unpickle() -> None:
    raise pickle.UnpicklingError("at unpickling")


def made(kind: type[Any], *args: Any) -> Any:
    return kind(*args)


class Plain:
    def method(self) -> int:
        return 5


class AtPickle:
    """Calls a function when it is pickled."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def __reduce__(self) -> Any:
        self.act()
        return Plain, ()


class AtUnpickle:
    """Calls a function when it is unpickled."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def __reduce__(self) -> Any:
        return self.act, ()


class BadFunction(AtUnpickle):
    """A function that no worker can load."""

    def __init__(self) -> None:
        super().__init__(fail_to_unpickle)

    def __call__(self, _: Any) -> None: ...


def fail_to_pickle() -> None:
    raise pickle.PicklingError("at pickling")


def lock_when(bad: Any, value: Any) -> Any:
    """A result that cannot be pickled for one value."""
    return threading.Lock() if value == bad else value


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


class Empty(Exception):
    def __len__(self) -> int:
        return 0


class Unrebuildable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
