"""Limits and retries of a call: the record behind ``pool.options``.

The scheduler gets what affects the order of work (``constraints``), the driver keeps the time and
memory limits (``limits``), and the engine asks it whether to retry.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from .. import errors
from .._schedule.events import Constraints


class _Kept:
    """A rule that is not given: it stays unchanged."""

    def __repr__(self) -> str:
        return "as it was"


KEPT: Any = _Kept()

_FIELDS = ("timeout", "retries", "retry_on", "memory_limit", "name")

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def _check_classes(retry_on: Any) -> None:
    if isinstance(retry_on, str) or not isinstance(retry_on, Iterable):
        raise TypeError(f"retry_on is a tuple of exception classes, not {retry_on!r}")
    for kind in retry_on:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"retry_on takes exception classes, not {kind!r}")


def byte_count(size: Any) -> int:
    """Return a size as a number of bytes, from ``"2GB"``, ``"1.5 GiB"``, ``"500 M"``, or the number
    itself.

    Raises:
        TypeError, ValueError: it is not a size.
    """
    if isinstance(size, Integral) and not isinstance(size, bool):
        return int(size)
    if not isinstance(size, str):
        raise TypeError(f"memory_limit is a size, such as '2GB' or a number of bytes, not {size!r}")
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?i?)b?\s*", size.lower())
    unit = {**_UNITS, **_BINARY_UNITS}.get(found[2]) if found else None
    if found is None or unit is None:
        raise ValueError(
            f"memory_limit is a size, such as '2GB' or a number of bytes, not {size!r}"
        )
    return round(float(found[1]) * unit) if "." in found[1] else int(found[1]) * unit


class Rules:
    """See the module.

    Attributes:
        timeout: seconds from when the task is sent to a worker until the worker is killed.
        retries: how many times a task is run again, at most.
        retry_on: the exceptions after which it is, in addition to a worker's death.
        memory_limit: bytes of private memory at which the worker is killed.
        name: the task's name in errors.

    Raises:
        TypeError, ValueError: an attribute is invalid.
    """

    __slots__ = _FIELDS

    def __init__(
        self,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: tuple[type[BaseException], ...] = (),
        memory_limit: int | None = None,
        name: str | None = None,
    ) -> None:
        self.timeout = timeout
        self.retries = retries
        self.retry_on = retry_on
        self.memory_limit = memory_limit
        self.name = name
        self._check()

    def __repr__(self) -> str:
        said = (f"{name}={getattr(self, name)!r}" for name in _FIELDS)
        return f"Rules({', '.join(said)})"

    def said(self) -> str:
        """Return the rules that a program has given, as it writes them."""
        usual = Rules()
        given = [name for name in _FIELDS if getattr(self, name) != getattr(usual, name)]
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in given) or "no rules"

    def _check(self) -> None:
        if self.timeout is not None:
            if not isinstance(self.timeout, Real):
                raise TypeError(f"timeout is a number of seconds, not {self.timeout!r}")
            if not self.timeout > 0:
                raise ValueError(f"timeout is a number of seconds above 0, not {self.timeout!r}")
        if not isinstance(self.retries, Integral):
            raise TypeError(f"retries is a whole number, not {self.retries!r}")
        if self.retries < 0:
            raise ValueError(f"retries is at least 0, not {self.retries}")
        _check_classes(self.retry_on)
        if self.retry_on and not self.retries:
            raise ValueError("retry_on needs retries: how often to try again")
        if self.memory_limit is not None:
            if not isinstance(self.memory_limit, Integral):
                raise TypeError(f"memory_limit is a number of bytes, not {self.memory_limit!r}")
            if self.memory_limit <= 0:
                raise ValueError(f"memory_limit is above 0 bytes, not {self.memory_limit}")

    def check(self, method: str) -> None:
        """Raise an error if a start method cannot keep these rules."""
        if method == "thread" and self.limited:
            raise ValueError(
                "a thread cannot be ended: timeout and memory_limit need a start method "
                "whose workers are processes"
            )
        if self.memory_limit is not None and sys.platform != "linux":
            raise errors.UnsupportedPlatform("memory_limit reads /proc, which only Linux has")

    @property
    def limited(self) -> bool:
        """True if the worker may be killed because of the task."""
        return self.timeout is not None or self.memory_limit is not None

    @property
    def constraints(self) -> Constraints:
        """The constraints that the scheduler must keep."""
        return Constraints(exclusive=self.limited, retryable=self.retries > 0)

    @property
    def chunk(self) -> int | None:
        """Return the items of a map per task if the caller gave no size: 1, since rules hold for
        each item by itself; None if no rule depends on that."""
        return 1 if self.limited or self.retries else None

    def worth_another(self, error: BaseException) -> bool:
        """Return True for a failure after which the task may be run again. A task that broke a
        limit would do so again, so it is not retried unless the caller asks for it."""
        if isinstance(error, self.retry_on):
            return True
        return isinstance(error, errors.WorkerDied) and not isinstance(
            error, errors.WorkerOutOfMemory
        )


def added(before: Rules | None, **said: Any) -> Rules:
    """Return the rules of a view of a view: the earlier ones, changed by the given ones."""
    changes = {name: value for name, value in said.items() if value is not KEPT}
    if before is None:
        return Rules(**changes)
    if changes.get("retries") == 0:
        changes.setdefault("retry_on", ())  # without retries it has no meaning
    return Rules(**{**{name: getattr(before, name) for name in _FIELDS}, **changes})
