"""The tasks of workers; importable under every start method.

Each faulty task is given a directory, in which it leaves a file named after its process
id at the moment from which its fault counts.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np

MB = 1_000_000

_kept: list[bytearray] = []


class Awkward(Exception):
    """Pickles, and cannot be rebuilt: its arguments are not those that it was made with."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")


class Special(BaseException):
    """An exception that ``except Exception`` does not catch."""


def tell(directory: str) -> None:
    """From now on the fault counts."""
    (Path(directory) / str(os.getpid())).touch()


def short(value: int, seconds: float = 0.005) -> int:
    time.sleep(seconds)
    return 2 * value


def who(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def stay(directory: str) -> None:
    tell(directory)
    time.sleep(600)


def leave(directory: str) -> None:
    tell(directory)
    os._exit(3)


def leave_politely(directory: str) -> None:
    tell(directory)
    sys.exit(3)


def crash(directory: str) -> None:
    tell(directory)
    ctypes.string_at(0)


def return_a_lock(directory: str) -> object:
    tell(directory)
    return threading.Lock()


def raise_awkward(directory: str) -> None:
    tell(directory)
    raise Awkward("this", "that")


def raise_special(directory: str) -> None:
    tell(directory)
    raise Special("not an Exception")


def eat(directory: str) -> int:
    """Takes 10 MB every 10 ms and keeps them, until it has 800 MB."""
    tell(directory)
    for _ in range(80):
        _kept.append(bytearray(b"x") * (10 * MB))
        time.sleep(0.01)
    return len(_kept)


def return_much(directory: str) -> np.ndarray:
    data = np.ones(200 * MB // 8)
    tell(directory)
    return data


def grind(directory: str) -> None:
    """Busy for ever in C code that never releases the GIL."""
    tell(directory)
    re.match(r"(a+)+$", "a" * 100 + "b")
