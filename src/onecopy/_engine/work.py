"""What is to be done, as the engine holds it: the common face, and single calls.

Each kind of work gives out payloads (what a worker needs for one assignment) and takes in
outcomes. How callers wait for them is here too; who runs them, and when, is not. Jobs of
many items are in ``jobs``.

Threads: ``deliver`` and ``fail`` are called by whichever thread reads the worker's socket,
one assignment once; callers wait in their own threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .._codec.codec import Encoded, encode, encode_arguments
from .._codec.pickling import Namespace
from .._protocol import wire
from .._protocol.failures import name_of
from .._protocol.versions import NO_VERSIONS, Version
from .._schedule.events import Assignment
from ..errors import PoolClosed
from .functions import Function
from .future import TaskFuture
from .rules import Rules

# Callers wait in slices of so many seconds. A signal that arrives in the instant before a
# thread blocks is noted by the interpreter and looked at when the thread next runs: without
# slices, a first Ctrl-C could be noticed only with the second.
SLICE = 1.0


# What has no assignment that its failure could be blamed on.
NOWHERE = Assignment(0, 0, 0, 0)


class Work:
    """The face of all kinds of work."""

    __slots__ = ()
    runner: int
    function: Function | None
    rules: Rules | None
    """None when there is nothing particular about it: that is looked at for each task."""
    number: int
    submitted: int
    """When it was handed to the engine, which sets both; nanoseconds."""
    site: int
    """Which line of the program called which method; the engine sets it."""
    versions: tuple[Version, ...] = NO_VERSIONS
    """The variables that workers need for it; a class attribute where there are none."""
    refers = False
    """Items are pickled as they are sent, and may refer to the user's classes."""
    streams = False
    """Its results are handed out one by one, and are told early; see ``early``."""
    chunk: int | None = None
    """Items that go together by the caller's wish."""
    tries: dict[int, int] | None
    """How often what begins at this item was run again."""

    def payload(self, start: int, stop: int) -> Any:
        """What a worker thread is given."""
        raise NotImplementedError

    def draft(self, start: int, stop: int) -> Encoded:
        """What a worker process is sent. Raises NotPicklable."""
        raise NotImplementedError

    def begin(self) -> bool:
        """It is about to be sent; False when nobody wants it any more."""
        return True

    def waiting(self) -> bool:
        """May some of it still be cancelled?"""
        return False

    def cancel(self, given: list[Assignment]) -> None:
        """Only what was ``given`` to workers will come to an end, since it was ``waiting``."""
        raise NotImplementedError

    def deliver(self, assignment: Assignment, value: Any) -> None:
        """An assignment has ended well: the call's value, or the values of the chunk."""
        raise NotImplementedError

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        """The whole of an assignment has failed."""
        raise NotImplementedError

    def partly(
        self, assignment: Assignment, values: dict[int, Any], errors: dict[int, BaseException]
    ) -> None:
        """Items of a chunk have failed, the others have values; by index in the chunk."""
        raise NotImplementedError

    def wanted(self) -> bool:
        """Does anybody still wait for it?"""
        return True

    def abandon(self, error: BaseException) -> None:
        """No assignment of it will come to an end any more."""
        raise NotImplementedError

    def forked(self, error: BaseException) -> None:
        """In a forked child, where it will never come to an end. Locks may be held by threads
        that are not here: none is taken."""

    def callable(self) -> Callable[..., Any]:
        """What a worker thread calls."""
        assert self.function is not None
        return self.function.call

    def describe(self, assignment: Assignment) -> str:
        """The assignment as errors call it."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What is called, as reports name it."""
        raise NotImplementedError

    called: str
    """The method of the pool that made it."""


class Call(Work):
    """One call of one function.

    Args:
        function: known to the workers by its id; None when it is part of the payload.
        call, args, kwargs: what to call.
        namespace: None when nothing has to be pickled.
        rules: see there.
    """

    __slots__ = (
        "_call",
        "_payload",
        "function",
        "number",
        "rules",
        "site",
        "submitted",
        "tries",
        "versions",
    )
    runner = wire.CALL

    def __init__(
        self,
        function: Function | None,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        namespace: Namespace | None,
        rules: Rules | None = None,
    ) -> None:
        self.function = function
        self.rules = rules
        self.tries = {} if rules is not None and rules.retries else None
        self.versions = NO_VERSIONS
        self._call = call
        self._payload: Any
        if namespace is None:
            self._payload = (args, kwargs)
        elif function is None:
            self._payload = encode((call, args, kwargs), namespace, "call")
        else:
            self._payload = encode_arguments(args, kwargs, namespace)

    def payload(self, start: int, stop: int) -> Any:
        return self._payload

    def draft(self, start: int, stop: int) -> Encoded:
        return self._payload  # type: ignore[no-any-return]

    def callable(self) -> Callable[..., Any]:
        return self._call

    def describe(self, assignment: Assignment) -> str:
        if self.rules is not None and self.rules.name is not None:
            return f"{self.rules.name!r} (task {assignment.work})"
        return f"{name_of(self._call)} (task {assignment.work})"

    @property
    def name(self) -> str:
        if self.rules is not None and self.rules.name is not None:
            return self.rules.name
        return name_of(self._call) if self.function is None else self.function.name


class Submitted(Call):
    """A call whose outcome goes into a ``Future``."""

    __slots__ = ("_begun", "future")
    called = "submit"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.future = TaskFuture()
        self._begun = False

    def begin(self) -> bool:
        if self._begun:
            # It was with a worker that has gone, or is run again.
            return not self.future.cancelled()
        self._begun = True
        return self.future.set_running_or_notify_cancel()

    def wanted(self) -> bool:
        return not self.future.cancelled()

    def waiting(self) -> bool:
        return not self._begun

    def cancel(self, given: list[Assignment]) -> None:
        self.future.cancel()
        self.future.set_running_or_notify_cancel()  # tells those that wait for it

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self._payload = None  # the future may live long; what the call was given need not
        with suppress(InvalidStateError):  # cancelled while it ran, with the result on its way
            self.future.set_result(value)

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        self._payload = None
        with suppress(InvalidStateError):  # likewise
            self.future.set_exception(error)

    def abandon(self, error: BaseException) -> None:
        if isinstance(error, PoolClosed) and not self._begun:
            self.future.cancel()
        if self.begin():  # else it is cancelled, and those that wait for it have been told
            self.fail(NOWHERE, error)

    def forked(self, error: BaseException) -> None:
        self.future.forked(error)


class Direct(Call):
    """A call whose caller waits for it right away, without a future's machinery.

    ``done`` is a lock that is held until there is an outcome. ``answered``: the worker has
    sent it, and it is on its way to here.
    """

    called = "apply"
    __slots__ = ("_error", "_forsaken", "_value", "answered", "done")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._value: Any = None
        self._error: BaseException | None = None
        self.answered = False
        self._forsaken = False
        self.done = threading.Lock()
        self.done.acquire()

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self._payload = None
        self._value = value
        self.done.release()

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        self._payload = None
        self._error = error
        self.done.release()

    def abandon(self, error: BaseException) -> None:
        if self.done.locked():
            self.fail(NOWHERE, error)

    def forsake(self) -> None:
        """Its caller was interrupted: it need not begin."""
        self._forsaken = True

    def begin(self) -> bool:
        return not self._forsaken

    def wanted(self) -> bool:
        return not self._forsaken

    def outcome(self, meanwhile: Callable[[], None]) -> Any:
        """Waits, and calls ``meanwhile`` now and then; then the value, or raises the error."""
        while not self.done.acquire(timeout=SLICE):
            meanwhile()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback holds this frame: no cycle
        return self._value


@dataclass(slots=True, eq=False)
class Entry:
    """What is posted to a worker.

    Attributes:
        assignment, work: what it is.
        worker: the worker's number.
        begun, sent: when it was packed, and then written towards the worker, 0 before;
            nanoseconds.
        moved, shared: bytes of its payload that were copied, and referred to.
        early: so many of its items have been delivered already.
        seen: so many were there when the owner last looked.
    """

    assignment: Assignment
    work: Work
    worker: int
    sent: int = 0
    moved: int = 0
    shared: int = 0
    early: int = 0
    seen: int = 0
    begun: int = 0

    def rest(self) -> Assignment:
        """What of it is not known yet."""
        start = self.assignment.start + self.early
        return self.assignment._replace(start=start) if self.early else self.assignment

    def can_be_cut(self) -> bool:
        """Is it a chunk whose size was chosen here?"""
        size = self.assignment.stop - self.assignment.start
        return size > 1 and self.work.chunk is None
