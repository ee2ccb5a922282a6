"""A memory barrier on every CPU, requested by one side only: ``membarrier(2)``.

Two processes that each write a word and then read the other's may both read the old value: a CPU
may delay its own store past a later load. The side that does this rarely can pay for both: after
``everywhere`` returns, everything that another process stored before a load that missed our store
is visible here.
"""

from __future__ import annotations

import ctypes
import os
import sys

# Not in the C library. The numbers are those of the kernel's tables (unistd.h).
_NUMBERS = {"x86_64": 324, "aarch64": 283, "arm64": 283, "riscv64": 283}
_GLOBAL, _GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 1, 2, 4


def register() -> None:
    """Allow ``everywhere`` in other processes to reach this one quickly."""
    _membarrier(_REGISTER_GLOBAL_EXPEDITED)


def everywhere() -> None:
    """Make every CPU that runs a registered process pass a full barrier, in some microseconds; on
    kernels before 4.16 every CPU at all, which takes up to 10 ms.

    If there is no such call, only this process passes a barrier. What remains to chance is a store
    that stays in another CPU's buffer for longer than a system call takes.
    """
    if not _membarrier(_GLOBAL_EXPEDITED):
        _membarrier(_GLOBAL)
    os.getppid()  # a system call: the store has left this CPU's own buffer


def _membarrier(command: int) -> bool:
    # Not the ``platform`` module: importing it would cost every worker's start 3 ms.
    number = _NUMBERS.get(os.uname().machine) if sys.platform == "linux" else None
    if number is None:
        return False
    return bool(ctypes.CDLL(None).syscall(number, command, 0, 0) == 0)
