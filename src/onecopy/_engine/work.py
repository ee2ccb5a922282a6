"""Units of work as the engine tracks them: the common interface, and single calls.

Each kind of work gives out payloads (what a worker needs for one assignment) and takes in outcomes.
Waiting for outcomes is here too; which worker runs the work, and when, is not. Jobs of many items
are in ``jobs``.

Threads: ``deliver`` and ``fail`` are called by the thread that reads the worker's socket, once per
assignment; callers wait in their own threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, PENDING, RUNNING
from contextlib import suppress
from typing import Any

from .._codec.codec import Payload, encode, encode_arguments
from .._codec.pickling import Namespace
from .._protocol import wire
from .._protocol.failures import name_of
from .._protocol.versions import NO_VERSIONS, Version
from .._schedule.events import Assignment
from .._system.interrupts import SLICE
from ..errors import PoolClosed
from .functions import Function, pace_of
from .future import TaskFuture
from .rules import Rules

# For a failure that belongs to no assignment.
NOWHERE = Assignment(0, 0, 0, 0)
# The states of a future whose task has not started.
_WAITING = (PENDING, CANCELLED)


class Work:
    """The interface of all kinds of work."""

    __slots__ = ()
    call_kind: int
    function: Function | None
    rules: Rules | None
    """None if there are no special rules, which is checked for each task."""
    number: int
    submitted: int
    """When it was submitted to the engine, which sets both; nanoseconds."""
    site: int
    """The line of the program and the method that it called; the engine sets it."""
    versions: tuple[Version, ...] = NO_VERSIONS
    """The variables that workers need for it; a class attribute if there are none."""
    refers = False
    """Items are pickled as they are sent, and may refer to the user's classes."""
    streams = False
    """Its results are returned one by one, and delivered early; see ``early``."""
    apart = False
    """Large ones of its results come one by one; see ``_worker.apart``."""
    chunk: int | None = None
    """Items that the caller wants to be together."""
    on_error: str = "raise"
    """The treatment of items that fail; a class attribute if nothing else is possible."""
    tries: dict[int, int] | None
    """How often the work from this item on was retried."""

    def payload(self, start: int, stop: int) -> Any:
        """Return what a worker thread is given."""
        raise NotImplementedError

    def encoded(self, start: int, stop: int) -> Payload:
        """Return what a worker process is sent. Raises NotPicklable."""
        raise NotImplementedError

    def begin(self) -> bool:
        """Mark the work as started, just before it is sent; return False if it was cancelled."""
        return True

    def waiting(self) -> bool:
        """Return True if some of the work can still be cancelled."""
        return False

    def cancel_waiting(self, given: list[Assignment]) -> None:
        """Cancel whatever has not been ``given`` to a worker."""
        raise NotImplementedError

    def deliver(self, assignment: Assignment, value: Any) -> None:
        """Set the outcome of an assignment: the call's value, or the values of the chunk."""
        raise NotImplementedError

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        """Fail the whole of an assignment."""
        raise NotImplementedError

    def partly(
        self, assignment: Assignment, values: dict[int, Any], errors: dict[int, BaseException]
    ) -> None:
        """Set the outcome of a chunk of which some items have failed, by index in the chunk."""
        raise NotImplementedError

    def wanted(self) -> bool:
        """Return True if a caller still waits for it."""
        return True

    def calls_back(self) -> bool:
        """Return True if functions of the program may run when an outcome is delivered."""
        return True

    def abandon(self, error: BaseException) -> None:
        """Fail all that is left: no assignment of it will end any more."""
        raise NotImplementedError

    def forked(self, error: BaseException) -> None:
        """End the work in a forked child, where no outcome will come. Threads that do not exist
        here may hold locks, so none is taken."""

    def callable(self) -> Callable[..., Any]:
        """The function that a worker thread calls."""
        assert self.function is not None
        return self.function.call

    def describe(self, assignment: Assignment) -> str:
        """Return the assignment's name in errors."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The function's name in reports."""
        raise NotImplementedError

    called: str
    """The method of the pool that created it."""


class Call(Work):
    """One call of one function.

    Args:
        function: sent to the workers before; None if it is part of the payload.
        call, args, kwargs: the call itself.
        namespace: None if nothing has to be pickled.
        rules: see the module ``rules``.

    ``message`` is sent to a worker, or given to a worker thread.
    """

    __slots__ = (
        "_call",
        "function",
        "message",
        "number",
        "rules",
        "site",
        "submitted",
        "tries",
        "versions",
    )
    call_kind: int = wire.CALL

    def __init__(
        self,
        function: Function | None,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        namespace: Namespace | None,
        rules: Rules | None = None,
    ) -> None:
        self.function: Function | None = function
        self.rules: Rules | None = rules
        self.tries: dict[int, int] | None = {} if rules is not None and rules.retries else None
        self.versions: tuple[Version, ...] = NO_VERSIONS
        # Not checked: an executor's future tells that an object cannot be called. None at the end.
        self._call: Callable[..., Any] | None = call
        self.message: Any
        if namespace is None:
            self.message = (args, kwargs)
        elif function is None:
            self.message = encode((call, args, kwargs), namespace, "call")
        else:
            self.message = encode_arguments(args, kwargs, namespace)

    @property
    def own(self) -> int:
        """Its number in the table."""
        return self.number

    @property
    def pace(self) -> int:
        """Calls with the same number are expected to take about as long."""
        if self.function is not None:
            return self.function.pace
        return pace_of(self._call)

    def payload(self, start: int, stop: int) -> Any:
        return self.message

    def encoded(self, start: int, stop: int) -> Payload:
        return self.message  # type: ignore[no-any-return]

    def callable(self) -> Callable[..., Any]:
        return self._call  # type: ignore[return-value]

    def calls_back(self) -> bool:
        return False

    def describe(self, assignment: Assignment) -> str:
        if self.rules is not None and self.rules.name is not None:
            return f"{self.rules.name!r} (task {assignment.work})"
        return f"{name_of(self._call)} (task {assignment.work})"

    @property
    def name(self) -> str:
        if self.rules is not None and self.rules.name is not None:
            return self.rules.name
        return name_of(self._call) if self.function is None else self.function.name


class FutureCall(Call, TaskFuture):
    """A call that is its own future: with a million pending calls, every object that the garbage
    collector has to traverse for each of them counts.

    Its caller keeps it as long as the result is of use, so what the call was made of is released
    when it ends. What every future gets is in slots: there may be thousands before the first of them
    has a result, and then CPython (3.11 to 3.13) has no room left in the layout that the instances
    of a class share, and makes a dictionary for each.
    """

    __slots__ = ("_exception", "_made", "_result", "_state", "pool")
    called = "submit"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._state = PENDING
        self._result = self._exception = self._made = self.pool = None

    def begin(self) -> bool:
        if self._state not in _WAITING:  # its worker has died, or it is retried
            return self._state == RUNNING
        begun = self.set_running_or_notify_cancel()
        if not begun:
            self.release()
        return begun

    def wanted(self) -> bool:
        return self._state not in (CANCELLED, CANCELLED_AND_NOTIFIED)

    def calls_back(self) -> bool:
        return self.has_callbacks()

    def waiting(self) -> bool:
        return self._state in _WAITING

    def cancel_waiting(self, given: list[Assignment]) -> None:
        self.cancel()
        self.begin()  # notifies those that wait for it

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self.release()
        try:  # noqa: SIM105 - a context manager would be created for every task
            self.set_result(value)
        except InvalidStateError:
            pass  # cancelled while it ran, with the result in flight

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        self.release()
        with suppress(InvalidStateError):  # see ``deliver``
            self.set_exception(error)

    def abandon(self, error: BaseException) -> None:
        if isinstance(error, PoolClosed) and self._state == PENDING:
            self.cancel()
        if self.begin():  # else it is cancelled, and those that wait were notified
            self.fail(NOWHERE, error)

    def forked(self, error: BaseException) -> None:
        self.release()
        TaskFuture.forked(self, error)

    def release(self) -> None:
        """Release what it was made of."""
        self.message = self._call = self.function = None
        self.versions = NO_VERSIONS


class BlockingCall(Call):
    """A call whose caller waits for it right away, without a future.

    ``done`` is a lock that is held until there is an outcome. ``given``: a worker has been given it;
    ``answered``: that has sent the outcome, which is in flight.
    """

    called = "apply"
    __slots__ = ("_error", "_forsaken", "_value", "answered", "done", "given")
    message: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._value: Any = None
        self._error: BaseException | None = None
        self.given: bool = False
        self.answered: bool = False
        self._forsaken = False
        self.done: threading.Lock = threading.Lock()
        self.done.acquire()

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self.message = None
        self._value = value
        self.done.release()

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        self.message = None
        self._error = error
        self.done.release()

    def abandon(self, error: BaseException) -> None:
        if self.done.locked():
            self.fail(NOWHERE, error)

    def forsake(self) -> None:
        """Skip the call if it has not started: its caller was interrupted."""
        self._forsaken = True

    def begin(self) -> bool:
        self.given = not self._forsaken
        return self.given

    def wanted(self) -> bool:
        return not self._forsaken

    def missing(self) -> bool:
        """Return True while its worker has not sent the outcome."""
        return self.done.locked() and not self.answered

    def wait(self, meanwhile: Callable[[], None]) -> None:
        """Wait until there is an outcome, and call ``meanwhile`` at intervals."""
        while not self.done.acquire(timeout=SLICE):
            meanwhile()

    def outcome(self) -> Any:
        """Return the value or raise the error; ``done`` was acquired by ``wait``, or without."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback holds this frame: no cycle
        return self._value


class Entry:
    """An assignment as posted to a worker.

    Attributes:
        assignment, work: the assignment and its work.
        worker: the worker's number.
        begun: when encoding it began, 0 before; nanoseconds.
        sent: when it was written to the worker's socket, 0 before; nanoseconds.
        moved, shared: bytes of its payload that were copied, and passed by reference.
        early: the number of its items that have been delivered already.
        seen: the number of results that were there at the owner's last check.
    """

    __slots__ = (
        "assignment", "begun", "early", "moved", "seen", "sent", "shared", "work", "worker",
    )  # fmt: skip

    def __init__(self, assignment: Assignment, work: Work, worker: int) -> None:
        self.assignment: Assignment = assignment
        self.work: Work = work
        self.worker: int = worker
        self.sent: int = 0
        self.begun: int = 0
        self.moved: int = 0
        self.shared: int = 0
        self.early: int = 0
        self.seen: int = 0

    def rest(self) -> Assignment:
        """The part of it whose outcome is not known yet."""
        start = self.assignment.start + self.early
        return self.assignment._replace(start=start) if self.early else self.assignment

    def can_be_cut(self) -> bool:
        """True for a chunk whose size was chosen by the scheduler."""
        size = self.assignment.stop - self.assignment.start
        return size > 1 and self.work.chunk is None
