"""Work that the driver has given to a host, as the engine there sees it: one call, already encoded.

A chunk of a job is one call here too. The driver's scheduler has chosen its size, and its items are
counted there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._codec.codec import Payload
from .._engine.functions import Function
from .._engine.work import Call
from .._protocol.versions import Version
from .._schedule.events import Assignment
from .messages import Order


class Named:
    """A placeholder on a host for a function that only workers load; it has its name."""

    def __init__(self, name: str) -> None:
        self.__qualname__ = name

    def __call__(self) -> None:
        raise AssertionError("only workers call it")


class Given(Call):
    """See the module.

    Args:
        order: as it came.
        payload: for the worker.
        function: or None.
        versions: what workers need for it.
        told: called with this when it has ended: with an error if no worker has answered.

    Attributes:
        worker: the number of the worker with which it was lost; 0 if it was not.
    """

    called = "given"
    __slots__ = ("_own", "_told", "order", "worker")

    def __init__(
        self,
        order: Order,
        payload: Payload,
        function: Function | None,
        versions: tuple[Version, ...],
        told: Callable[[Given, BaseException | None], None],
    ) -> None:
        self.order = order
        self.worker = 0
        self.function = function
        self.rules = order.rules
        self.tries = None
        self.versions = versions
        self.site = 0
        self.submitted = 0
        self.message: Any = payload
        self._told = told
        self._own = 0

    @property
    def call_kind(self) -> int:  # type: ignore[override]  # of the order, not of the class
        """The way in which the function is applied to the payload; see ``wire``."""
        return self.order.call_kind

    @property
    def apart(self) -> bool:  # type: ignore[override]  # of the order, not of the class
        """The driver may have no room for one of several values."""
        return self.order.size > 1

    @property
    def number(self) -> int:
        """The driver's number of the task, which workers put on their output."""
        return self.order.task

    @number.setter
    def number(self, value: int) -> None:
        self._own = value

    @property
    def pace(self) -> int:
        """By the driver's number of the function."""
        return self.order.function

    @property
    def own(self) -> int:
        """The number in this host's table."""
        return self._own

    def describe(self, assignment: Assignment) -> str:
        return self.order.name

    @property
    def name(self) -> str:
        return self.order.name

    def done(self) -> None:
        """Release the payload: a worker has answered."""
        self.message = None
        self._told(self, None)

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        self.message = None
        self._told(self, error)

    def abandon(self, error: BaseException) -> None:
        self.message = None  # the driver knows: it has ended the pool, or was told of the failure
