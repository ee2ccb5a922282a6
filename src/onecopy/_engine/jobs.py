"""Jobs: one function and many items, and the ways to wait for the results.

``MapJob`` returns all results at once, ``StreamJob`` one after another. ``Items`` and
``BlockItems`` hold items that are not a plain sequence. Single calls, and the interface that all
work has in common, are in ``work``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from time import monotonic
from typing import Any

from .._codec.codec import Payload, encode, encode_few
from .._codec.pickling import NOTHING, Namespace
from .._progress.bar import Progress
from .._protocol import wire
from .._protocol.early import ITEMS
from .._schedule.events import Assignment
from .._system.interrupts import SLICE, Condition, Event
from ..errors import TaskTimeout
from .block_items import BlockItems
from .failed import Errors, Failed
from .functions import Function
from .rules import Rules
from .work import Work

_NONE: tuple[bool, Any] = (False, None)
_CALLED = {wire.MAP: "map", wire.STARMAP: "starmap", wire.BLOCKS: "map_blocks"}


class Job(Work):
    """One function, to be called with each of many items.

    Args:
        function: called with each item.
        items: a sequence (``Items`` if they come from an iterator).
        call_kind: how a worker applies the function to a chunk; see ``wire``.
        namespace: used to pickle the items.
        chunk: items per assignment; None: chosen by measured time.
        most: the largest chunk.
        rules: see the module ``rules``.
        errors: the treatment of items that fail; see ``failed``.
    """

    refers = True

    def __init__(  # noqa: PLR0913  # each is a property of the job
        self,
        function: Function,
        items: Any,
        call_kind: int,
        namespace: Namespace | None,
        chunk: int | None = None,
        most: int = 1 << 62,
        rules: Rules | None = None,
        errors: Errors = "raise",
    ) -> None:
        self.number = 0  # until it is opened
        self.on_error: Errors = errors
        self.function: Function = function
        self.rules = rules
        self.tries: dict[int, int] | None = {} if rules is not None and rules.retries else None
        self.given_up = False
        self.items = items
        self.call_kind = call_kind
        self.called: str = _CALLED[call_kind]
        self.chunk: int | None = chunk if chunk is not None or rules is None else rules.chunk
        self.most = most
        self.bar: Progress | None = None
        self._namespace = namespace or NOTHING

    def payload(self, start: int, stop: int) -> Any:
        return self.items[start:stop]

    def late(self, timeout: float, done: int, size: int) -> TaskTimeout:
        """Return the error of a call whose time is over."""
        then = f"{done:,} of {size:,} items were done, the others were given up"
        return TaskTimeout(f"{self.called} of {self.name}", timeout, then)

    def failed(self, at: int, error: BaseException) -> Failed:
        """Return the entry in the results for a failed item."""
        return Failed(at, self.item(at), error)

    def item(self, at: int) -> Any:
        """Return one of the items, as the caller passed it."""
        if isinstance(self.items, BlockItems):
            return self.items.block(at)
        return next(iter(self.items[at : at + 1]))  # the index of a Series is a label

    def encoded(self, start: int, stop: int) -> Payload:
        items = self.items[start:stop]
        return encode_few(items) or encode(items, self._namespace, f"items {start} to {stop - 1}")

    def wanted(self) -> bool:
        return not self.given_up

    def show(self) -> None:
        """Show the job's progress, if it is wanted, from here until ``over``."""
        if self.bar is not None:
            self.bar.start()

    def advance(self, count: int, failed: int = 0) -> None:
        """Report that this many items have ended, to whatever shows progress."""
        if self.bar is not None:
            self.bar.advance(count, failed)

    def over(self) -> None:
        """End the progress display: no more outcomes will come."""
        if self.bar is not None:
            self.bar.finish()

    def describe(self, assignment: Assignment) -> str:
        name = self.function.name
        if self.rules is not None and self.rules.name is not None:
            name = repr(self.rules.name)
        if assignment.stop - assignment.start == 1:
            return f"{name} of item {assignment.start}"
        return f"{name} of items {assignment.start} to {assignment.stop - 1}"

    @property
    def name(self) -> str:
        if self.rules is not None and self.rules.name is not None:
            return self.rules.name
        return self.function.name


class MapJob(Job):
    """A job whose caller waits for the list of all results.

    Every item is run, even if others fail. The error of the first failed item is raised.
    """

    def __init__(
        self, *args: Any, done: Callable[[MapJob], None] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.size = len(self.items)
        self.values: list[Any] = [None] * self.size
        self.errors: dict[int, BaseException] = {}
        self._marked: set[int] = set()  # positions of failed items, unless they are raised
        self._left = self.size
        self._lock = threading.Lock()
        self._ended = Event()
        self._done = done
        if not self.size:
            self._end()

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self.values[assignment.start : assignment.stop] = value
        self._count(assignment.stop - assignment.start)

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        if self.on_error == "raise":
            self.errors[assignment.start] = error
        else:
            for at in range(assignment.start, assignment.stop):
                self._mark(at, error)
        size = assignment.stop - assignment.start
        self._count(size, size)

    def partly(
        self, assignment: Assignment, values: dict[int, Any], errors: dict[int, BaseException]
    ) -> None:
        for at, value in values.items():
            self.values[assignment.start + at] = value
        for at, error in errors.items():
            if self.on_error == "raise":
                self.errors[assignment.start + at] = error
            else:
                self._mark(assignment.start + at, error)
        self._count(len(values) + len(errors), len(errors))

    def _mark(self, at: int, error: BaseException) -> None:
        self._marked.add(at)
        if self.on_error == "return":
            self.values[at] = self.failed(at, error)

    def abandon(self, error: BaseException) -> None:
        if not self._ended.is_set():
            self.errors[self.size] = error
            self._end()

    def _count(self, items: int, failed: int = 0) -> None:
        if self.bar is not None:
            self.bar.advance(items, failed)
        with self._lock:
            self._left -= items
            ended = self._left == 0
        if ended:
            self._end()

    def _end(self) -> None:
        self.items = ()
        with self._lock:
            if self._ended.is_set():
                return  # abandoned while the last result was in flight
            self._ended.set()
        self.over()
        if self._done is not None:
            self._done(self)

    @property
    def left(self) -> int:
        """Return how many items have not ended."""
        return self._left

    def ready(self) -> bool:
        """True if every item has ended."""
        return self._ended.is_set()

    def wait(self, meanwhile: Callable[[], None], timeout: float | None = None) -> None:
        """Block until ``ready``; call ``meanwhile`` at intervals. Raises TaskTimeout."""
        deadline = None if timeout is None else monotonic() + timeout
        while not self._ended.wait(SLICE if deadline is None else _slice(deadline)):
            if timeout is not None and deadline is not None and monotonic() >= deadline:
                raise self.late(timeout, self.size - self._left, self.size)
            meanwhile()

    def kept(self) -> list[Any]:
        """Return the values, without those that are left out."""
        if self.on_error != "skip" or not self._marked:
            return self.values
        return [value for at, value in enumerate(self.values) if at not in self._marked]

    def error(self) -> BaseException | None:
        """Return the error of the first item that failed; after ``ready``."""
        return self.errors[min(self.errors)] if self.errors else None

    def result(self) -> list[Any]:
        """Return the values, or raise the first error; after ``ready``, once."""
        error = self.error()
        if error is None:
            return self.kept()
        self.errors.clear()  # its traceback holds this frame, and that the job: no cycle
        try:
            raise error
        finally:
            del error


def _slice(deadline: float) -> float:
    return max(0.0, min(SLICE, deadline - monotonic()))


class Items:
    """A window on an iterator: the items that have been taken and have no outcome yet. Slicing
    returns items in the window.

    The caller's thread takes items; the thread that sends slices.
    """

    def __init__(self, iterable: Any) -> None:
        self._iterator = iter(iterable)
        self._kept: deque[Any] = deque()
        self._lock = threading.Lock()
        self.first = 0
        """The index of the first item that is kept."""
        self.taken = 0

    def take(self) -> bool:
        """Take one more item; return False if there is none. Raises what the iterator raises."""
        try:
            item = next(self._iterator)
        except StopIteration:
            return False
        self.put(item)
        return True

    def put(self, item: Any) -> None:
        """Add one more item, from elsewhere."""
        with self._lock:
            self._kept.append(item)
            self.taken += 1

    def __getitem__(self, index: slice) -> list[Any]:
        with self._lock:
            first = self.first
            return list(islice(self._kept, index.start - first, index.stop - first))

    def forget(self, upto: int) -> None:
        """Drop the items before ``upto``: they are not needed again."""
        gone: list[Any] = []  # an item's own finalizer must not run under the lock
        with self._lock:
            while self.first < upto and self._kept:
                gone.append(self._kept.popleft())
                self.first += 1


class NoResult(Exception):
    """There was no result in time. Not TimeoutError: an item may have raised that."""


class StreamJob(Job):
    """A job whose results are fetched one by one.

    An error belongs to its item: fetching that item raises it, and the next may be fetched.

    Args:
        ordered: fetch results in the order of the items, or as they come.
    """

    tell: Callable[[], None] | None = None
    """Called, without the lock, when something has changed; for callers that cannot block."""

    def __init__(self, *args: Any, ordered: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.call_kind == wire.MAP:
            self.called = "imap"
        self.ordered = ordered
        self.streams: bool = self.most <= ITEMS and self.rules is None
        self.end: int | None = None  # the number of items, once known
        self.yielded: int = 0
        self.broken: BaseException | None = None
        self._arrived: dict[int, tuple[bool, Any]] = {}
        self._skipped: set[int] = set()  # failed, and not returned
        self._settled = 0
        self._ahead: set[int] = set()  # items that have an outcome while an earlier one has none
        self._lock = threading.Lock()
        self._changed = Condition(self._lock)
        self._forsaken: Callable[[], None] | None = None

    def waiting(self) -> bool:
        return True

    def cancel_waiting(self, given: list[Assignment]) -> None:
        """End the first item that was not ``given`` to a worker with CancelledError, and stop
        there: the items after it get no outcome."""
        with self._changed:
            at = self._settled
            while at in self._ahead or any(run.start <= at < run.stop for run in given):
                at += 1
            if at < (self.items.taken if self.end is None else self.end):
                self._arrive(at, False, CancelledError())
                self._changed.notify_all()

    def forsake(self, end: int, then: Callable[[], None]) -> None:
        """Stop keeping results: the iterator was dropped. The job has ``end`` items. ``then`` is
        called when all have ended, perhaps twice.

        Called by finalizers, which may run while this very thread holds the lock, so the lock is
        not taken. The thread that ends the last item reads the flags set here after that, so at
        least one of the two sees what the other has done.
        """
        self.end = end
        self._forsaken = then
        if self._settled == end:
            then()

    def deliver(self, assignment: Assignment, value: Any) -> None:
        self.advance(len(value))
        start = assignment.start
        with self._changing():
            if start == self._settled and not self._ahead and self._forsaken is None:
                # Nothing is missing before them.
                stop = self._settled = start + len(value)
                good = [(True, result) for result in value]
                self._arrived.update(zip(range(start, stop), good, strict=True))
                return
            for at, result in enumerate(value, start):
                self._arrive(at, True, result)

    def fail(self, assignment: Assignment, error: BaseException) -> None:
        size = assignment.stop - assignment.start
        self.advance(size, size)
        with self._changing():
            for at in range(assignment.start, assignment.stop):
                self._arrive_failed(at, error)

    def partly(
        self, assignment: Assignment, values: dict[int, Any], errors: dict[int, BaseException]
    ) -> None:
        self.advance(len(values) + len(errors), len(errors))
        with self._changing():
            for at, value in values.items():
                self._arrive(assignment.start + at, True, value)
            for at, error in errors.items():
                self._arrive_failed(assignment.start + at, error)

    def abandon(self, error: BaseException) -> None:
        self.over()
        with self._changing():
            self.broken = error

    def forked(self, error: BaseException) -> None:
        self._lock = threading.Lock()
        self._changed = Condition(self._lock)
        self.tell = None
        self.broken = error

    def finish_at(self, end: int) -> None:
        """Note that there are ``end`` items and no more."""
        with self._changing():
            self.end = end

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._changed:
            yield
            self._changed.notify_all()
            over = self._settled == self.end
        if over:
            self.over()
        if self.tell is not None:
            self.tell()

    def whole(self, taken: int) -> int:
        """Return how many of the items taken so far may be given out while more will come: chunks
        of a given size are given out whole."""
        return taken if self.chunk is None else taken - taken % self.chunk

    def finished(self) -> bool:
        """True if everything has been fetched."""
        return self.yielded == self.end

    @property
    def settled(self) -> int:
        """The number of leading items that all have an outcome: they are not sent again."""
        return self._settled

    def _arrive_failed(self, at: int, error: BaseException) -> None:
        """Record a failed item. Its entry in the results is created now: later the item may be
        forgotten."""
        if self.on_error == "return":
            self._arrive(at, True, self.failed(at, error))
            return
        self._arrive(at, False, error)
        if self.on_error == "skip" and self._arrived.pop(at, None) is not None:
            self._skipped.add(at)

    def _arrive(self, at: int, good: bool, value: Any) -> None:
        if self._forsaken is None:
            self._arrived[at] = (good, value)
        self._ahead.add(at)
        while self._settled in self._ahead:
            self._ahead.remove(self._settled)
            self._settled += 1
        if self._settled == self.end and self._forsaken is not None:
            self._forsaken()

    def _key(self) -> int | None:
        """Return the position of the next result; skip left-out ones as if they had been returned."""
        if not self.ordered:
            self.yielded += len(self._skipped)
            self._skipped.clear()
        while self.yielded in self._skipped:
            self._skipped.remove(self.yielded)
            self.yielded += 1
        if self.ordered:
            return self.yielded if self.yielded in self._arrived else None
        return next(iter(self._arrived), None)

    def has_next(self) -> bool:
        """Return True if ``fetch`` does not block: a result is there, or the end was reached."""
        with self._changed:
            return self._can_fetch()

    def _can_fetch(self) -> bool:
        return self._key() is not None or self.yielded == self.end or self.broken is not None

    def _dry(self) -> bool:
        """Return True if everything so far was returned or skipped, and there may be more items."""
        return self.end is None and self.yielded == self.items.taken

    def _all_arrived(self) -> bool:
        return bool(self.broken) or (
            self.end is not None
            and self.yielded + len(self._arrived) + len(self._skipped) >= self.end
        )

    def wait_all(self) -> None:
        """Block until every item has ended, fetched or not."""
        with self._changed:
            self._changed.wait_for(self._all_arrived)

    def wait_next(
        self, timeout: float | None = None, meanwhile: Callable[[], None] | None = None
    ) -> None:
        """Block until ``fetch`` does not, or nothing is left to wait for before more items come;
        call ``meanwhile`` at intervals. Raises NoResult, and otherwise only what comes from
        outside, such as KeyboardInterrupt."""
        step = SLICE if timeout is None else timeout
        while not self._wait_for_change(step):
            if timeout is not None:
                raise NoResult(f"no result within {timeout} s")
            if meanwhile is not None:
                meanwhile()

    def _wait_for_change(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._can_fetch() or self._dry(), seconds)

    def fetch_good(self) -> tuple[Any] | None:
        """Return the next result, in a tuple; None if it is not there, or is an error."""
        with self._lock:
            if self._skipped or not self._arrived:
                return None
            key = self.yielded if self.ordered else next(iter(self._arrived))
            good, value = self._arrived.get(key, _NONE)
            if not good:
                return None
            del self._arrived[key]
            self.yielded += 1
            return (value,)

    def fetch(self, timeout: float | None = None) -> Any:
        """Return the next result. Raises its error; StopIteration at the end; NoResult."""
        self.wait_next(timeout)
        with self._changed:
            key = self._key()
            if key is not None:
                good, value = self._arrived.pop(key)
                self.yielded += 1
            elif self.yielded != self.end:
                # Nothing to wait for is no end: there may be more items.
                raise NoResult("no item is open") if self.broken is None else self.broken
            else:
                good, value = False, StopIteration()
        if good:
            return value
        try:
            raise value
        finally:
            del value  # its traceback holds this frame: no cycle
