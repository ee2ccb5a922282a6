"""What is to be done, as the engine holds it: functions, single calls, jobs of many items.

Each kind of work gives out payloads (what a worker needs for one assignment) and takes in
outcomes. How callers wait for them is here too; who runs them, and when, is not.

Threads: ``deliver`` and ``fail`` are called by whichever thread reads the worker's socket,
one assignment once; callers wait in their own threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any

from .._memory.codec import Draft, encode, encode_arguments
from .._memory.pickling import NOTHING, Namespace
from .._schedule.events import Assignment
from . import runners, wire
from .functions import Function
from .outcome import name_of


class Work:
    """The face of all kinds of work."""

    runner = wire.CALL
    function: Function | None

    def payload(self, start: int, stop: int) -> Any:
        """What a worker thread is given."""
        raise NotImplementedError

    def draft(self, start: int, stop: int) -> Draft | bytes:
        """What a worker process is sent. Raises NotPicklable."""
        raise NotImplementedError

    def begin(self) -> bool:
        """It is about to be sent; False when nobody wants it any more."""
        return True

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
        self.fail(assignment, errors[min(errors)])

    def abandon(self, error: BaseException) -> None:
        """No assignment of it will come to an end any more."""
        raise NotImplementedError

    def callable(self) -> Callable[..., Any]:
        """What a worker thread calls."""
        assert self.function is not None
        return self.function.call

    def describe(self, assignment: Assignment) -> str:
        """The assignment as errors call it."""
        raise NotImplementedError


class Call(Work):
    """One call of one function.

    Args:
        function: known to the workers by its id; None when it is part of the payload.
        call, args, kwargs: what to call.
        namespace: None when nothing has to be pickled.
    """

    def __init__(
        self,
        function: Function | None,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        namespace: Namespace | None,
    ) -> None:
        self.function = function
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

    def draft(self, start: int, stop: int) -> Draft | bytes:
        return self._payload  # type: ignore[no-any-return]

    def callable(self) -> Callable[..., Any]:
        return self._call

    def describe(self, assignment: Assignment) -> str:
        return f"{name_of(self._call)} (task {assignment.work})"


class Submitted(Call):
    """A call whose outcome goes into a ``Future``."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.future: Future[Any] = Future()

    def begin(self) -> bool:
        return self.future.set_running_or_notify_cancel()

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self._payload = None  # the future may live long; what the call was given need not
        self.future.set_result(value)

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        self._payload = None
        self.future.set_exception(error)

    def abandon(self, error: BaseException) -> None:
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()
        elif not self.future.done():
            self.future.set_exception(error)


class Direct(Call):
    """A call whose caller waits for it right away, without a future's machinery.

    ``done`` is a lock that is held until there is an outcome.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._value: Any = None
        self._error: BaseException | None = None
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
            self.fail(Assignment(0, 0, 0, 0), error)

    def outcome(self) -> Any:
        """Waits; then the value, or raises the error."""
        self.done.acquire()
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback holds this frame: no cycle
        return self._value


class Job(Work):
    """Many items of one function.

    Args:
        function: what each item is given to.
        items: a sequence of them (``Items`` for the lazy kind).
        runner: how a worker applies the function to a chunk; see ``wire``.
        namespace: for pickling the items.
    """

    def __init__(
        self,
        function: Function,
        items: Any,
        runner: int,
        namespace: Namespace | None,
        chunk: int | None = None,
        most: int = 1 << 62,
    ) -> None:
        self.function: Function = function
        self.items = items
        self.runner = runner
        self.chunk = chunk
        self.most = most
        self._namespace = namespace or NOTHING

    def payload(self, start: int, stop: int) -> Any:
        return self.items[start:stop]

    def draft(self, start: int, stop: int) -> Draft | bytes:
        return encode(self.payload(start, stop), self._namespace, f"items {start} to {stop - 1}")

    def describe(self, assignment: Assignment) -> str:
        if assignment.stop - assignment.start == 1:
            return f"{self.function.name} of item {assignment.start}"
        return f"{self.function.name} of items {assignment.start} to {assignment.stop - 1}"


class MapJob(Job):
    """All items at once; the caller wants the list of all results.

    Every item is run, whatever happens to others; the error of the first that failed is
    the one that is raised.
    """

    def __init__(
        self, *args: Any, done: Callable[[MapJob], None] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.size = len(self.items)
        self.values: list[Any] = [None] * self.size
        self.errors: dict[int, BaseException] = {}
        self._left = self.size
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._done = done
        if not self.size:
            self._end()

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self.values[assignment.start : assignment.stop] = value
        self._count(assignment)

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        self.errors[assignment.start] = error
        self._count(assignment)

    def partly(
        self, assignment: Assignment, values: dict[int, Any], errors: dict[int, BaseException]
    ) -> None:
        for at, value in values.items():
            self.values[assignment.start + at] = value
        for at, error in errors.items():
            self.errors[assignment.start + at] = error
        self._count(assignment)

    def abandon(self, error: BaseException) -> None:
        if not self._ended.is_set():
            self.errors[self.size] = error
            self._end()

    def _count(self, assignment: Assignment) -> None:
        with self._lock:
            self._left -= assignment.stop - assignment.start
            ended = self._left == 0
        if ended:
            self._end()

    def _end(self) -> None:
        self.items = ()
        self._ended.set()
        if self._done is not None:
            self._done(self)

    def ready(self) -> bool:
        """Has every item come to an end?"""
        return self._ended.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until ``ready``; False when the time ran out first."""
        return self._ended.wait(timeout)

    def result(self) -> list[Any]:
        """The values, or raises the first error; after ``ready``."""
        if self.errors:
            raise self.errors[min(self.errors)]
        return self.values


class Items:
    """A window on an iterator: items that have been taken from it and whose outcome is not
    known yet. Slicing gives those that are in the window.

    Items are taken by the caller's thread and sliced by the one that sends.
    """

    def __init__(self, iterable: Any) -> None:
        self._iterator = iter(iterable)
        self._kept: deque[Any] = deque()
        self._first = 0
        self._lock = threading.Lock()
        self.taken = 0

    def take(self) -> bool:
        """Takes one more item; False when there is none. Raises what the iterator raises."""
        try:
            item = next(self._iterator)
        except StopIteration:
            return False
        with self._lock:
            self._kept.append(item)
            self.taken += 1
        return True

    def __getitem__(self, index: slice) -> list[Any]:
        with self._lock:
            first = self._first
            return list(islice(self._kept, index.start - first, index.stop - first))

    def forget(self, upto: int) -> None:
        """Items before ``upto`` are not asked for again."""
        gone: list[Any] = []  # an item's own finalizer must not run under the lock
        with self._lock:
            while self._first < upto and self._kept:
                gone.append(self._kept.popleft())
                self._first += 1


class StreamJob(Job):
    """Items one after another; results are fetched one by one.

    An error belongs to its item: fetching that item raises it, and the next may be fetched.

    Args:
        ordered: results in the order of the items, or as they come.
    """

    def __init__(self, *args: Any, ordered: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ordered = ordered
        self.end: int | None = None  # how many items there are, once known
        self.yielded = 0
        self.broken: BaseException | None = None
        self._arrived: dict[int, tuple[bool, Any]] = {}
        self._settled = 0
        self._ahead: set[int] = set()  # have their outcome, but an earlier one has not
        self._changed = threading.Condition(threading.Lock())

    def deliver(self, assignment: Assignment, value: Any) -> None:
        with self._changed:
            for at, result in enumerate(value, assignment.start):
                self._arrive(at, True, result)
            self._changed.notify_all()

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        with self._changed:
            for at in range(assignment.start, assignment.stop):
                self._arrive(at, False, error)
            self._changed.notify_all()

    def partly(
        self, assignment: Assignment, values: dict[int, Any], errors: dict[int, BaseException]
    ) -> None:
        with self._changed:
            for at, value in values.items():
                self._arrive(assignment.start + at, True, value)
            for at, error in errors.items():
                self._arrive(assignment.start + at, False, error)
            self._changed.notify_all()

    def abandon(self, error: BaseException) -> None:
        with self._changed:
            self.broken = error
            self._changed.notify_all()

    def finish_at(self, end: int) -> None:
        """There are ``end`` items and no more."""
        with self._changed:
            self.end = end
            self._changed.notify_all()

    def finished(self) -> bool:
        """Has everything been fetched?"""
        return self.yielded == self.end

    @property
    def settled(self) -> int:
        """All items before this one have their outcome: they are not sent again."""
        return self._settled

    def _arrive(self, at: int, good: bool, value: Any) -> None:
        self._arrived[at] = (good, value)
        self._ahead.add(at)
        while self._settled in self._ahead:
            self._ahead.remove(self._settled)
            self._settled += 1

    def _key(self) -> int | None:
        if self.ordered:
            return self.yielded if self.yielded in self._arrived else None
        return next(iter(self._arrived), None)

    def has_next(self) -> bool:
        """Is a result there, or the end reached, so that ``fetch`` does not block?"""
        with self._changed:
            return self._key() is not None or self.yielded == self.end or bool(self.broken)

    def all_arrived(self) -> bool:
        """Has every item come to an end, fetched or not?"""
        with self._changed:
            return self._all_arrived()

    def _all_arrived(self) -> bool:
        return bool(self.broken) or (
            self.end is not None and self.yielded + len(self._arrived) >= self.end
        )

    def wait_all(self) -> None:
        """Blocks until ``all_arrived``."""
        with self._changed:
            self._changed.wait_for(self._all_arrived)

    def fetch(self, timeout: float | None = None) -> Any:
        """The next result. Raises its error, StopIteration at the end, TimeoutError."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: self._key() is not None or self.yielded == self.end or self.broken,
                timeout,
            )
            if not there:
                raise TimeoutError(f"no result within {timeout} s")
            key = self._key()
            if key is None:
                if self.yielded != self.end and self.broken is not None:
                    raise self.broken
                raise StopIteration
            good, value = self._arrived.pop(key)
            self.yielded += 1
        if good:
            return value
        raise value


class BlockItems:
    """The blocks of some arrays, as items that are never made one by one.

    A slice of them is the payload of a chunk: the rows of all its blocks in one piece.
    """

    def __init__(self, arrays: Sequence[Any], rows: int, axis: int) -> None:
        self._arrays = arrays
        self._rows = rows
        self._axis = axis
        self.length = runners.length_of(arrays[0], axis)

    def __len__(self) -> int:
        return -(-self.length // self._rows)

    def __getitem__(self, index: slice) -> tuple[Any, ...]:
        start = index.start * self._rows
        stop = min(index.stop * self._rows, self.length)
        cuts = [runners.cut(array, start, stop, self._axis) for array in self._arrays]
        return (self._rows, self._axis, *cuts)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("blocks are cut by the workers")
