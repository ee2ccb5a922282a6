"""The work of a chaos run: every way to give a pool something to do, each judged as it ends.

A client is a thread that does one after another, by lot. Nothing in here is a fault: what
ends badly does so by its own doing, in a worker that lives on (``tasks``). Faults, and the
tasks that take their worker with them, are in ``faults``.
"""

from __future__ import annotations

import asyncio
import operator
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from random import Random
from typing import Any

import numpy as np

import onecopy as oc
from onecopy.errors import NotPicklable, PoolClosed, ResultNotPicklable, WorkerDied
from tests.chaos import tasks
from tests.chaos.epoch import Epoch
from tests.chaos.model import Ledger, Outcome, Task, never, outcome_of
from tests.chaos.tasks import Array, Flaky, Odd, value_of

# So long that no task of a client comes near it, however slow the machine.
_AMPLE = 300.0
_AMPLE_MEMORY = 16 << 30
_MB = 1_000_000


class Client:
    """Give a pool work until it is told to stop.

    Args:
        ledger: judges what comes of it.
        rng: of its own, so that the choices do not depend on other threads.
    """

    def __init__(self, ledger: Ledger, rng: Random) -> None:
        self.ledger = ledger
        self.rng = rng

    def step(self, epoch: Epoch, *, batch: bool) -> None:
        """One piece of work; blocks until all of it has been judged.

        Args:
            epoch: the pool.
            batch: thousands of tiny tasks, and not something larger.
        """
        pieces = PIECES_OF_HOSTS if epoch.on_hosts else PIECES
        _Step(self.ledger, self.rng, epoch).run(BATCHES if batch else pieces)


class _Step:
    """One piece of work with one pool."""

    def __init__(self, ledger: Ledger, rng: Random, epoch: Epoch) -> None:
        self.ledger = ledger
        self.rng = rng
        self.epoch = epoch
        self.pool = epoch.pool

    def run(self, kinds: list[Callable[[_Step], None]]) -> None:
        self.rng.choice(kinds)(self)

    # Judging.

    def tick(self, number: int, more: int = 0) -> Task:
        return Task(number, partial(operator.eq, value_of(number) + more))

    def judge(self, task: Task, call: Callable[[], Any]) -> None:
        self.ledger.judge(self.epoch, task, outcome_of(call))

    def call(self, task: Task, call: Callable[[], Any]) -> None:
        """A call that blocks, or a pool that refuses it."""
        outcome = outcome_of(call)
        if isinstance(outcome.error, PoolClosed) and not self.epoch.terminated:
            self.ledger.refused(self.epoch, task.number, 1, outcome.error)
        else:
            self.ledger.judge(self.epoch, task, outcome)

    def submit_all(self, given: list[Task], submit: Callable[[Task], Future[Any]]) -> None:
        """Submits them, then judges what comes of each."""
        futures: list[Future[Any]] = []
        for task in given:
            try:
                futures.append(submit(task))
            except PoolClosed as error:
                left = len(given) - len(futures)
                self.ledger.refused(self.epoch, task.number, left, error)
                break
        for task, future in zip(given, futures, strict=False):
            self.judge(task, future.result)

    def map_all(
        self, count: int, call: Callable[[range], Any], own: Callable[[int], bool] | None = None
    ) -> None:
        """A job that has one outcome; ``own`` tells which of its items raise."""
        first = self.ledger.take(count)
        numbers = range(first, first + count)
        kills = self.ledger.gone()
        outcome = outcome_of(lambda: call(numbers))
        values = [value_of(number) for number in numbers]
        bad = [number for number in numbers if own is not None and own(number)]
        self.ledger.judge_all(self.epoch, first, values, outcome, kills, bad)

    # Batches of tiny tasks.

    def batch_of_submits(self) -> None:
        count = self.rng.randrange(500, 3000)
        first = self.ledger.take(count)
        given = [self.tick(number) for number in range(first, first + count)]
        self.submit_all(given, lambda task: self.pool.submit(tasks.tick, task.number))

    def map_of_ticks(self) -> None:
        chunk = self.rng.choice([None, None, 1, 7, 100])
        count = self.rng.randrange(1, 3000) if chunk != 1 else self.rng.randrange(1, 300)
        self.map_all(count, lambda numbers: self.pool.map(tasks.tick, numbers, chunk))

    def map_with_failures(self) -> None:
        call = partial(self.pool.map, tasks.fail_some)
        self.map_all(self.rng.randrange(7, 500), call, lambda number: number % 7 == 0)

    # Calls.

    def applies(self) -> None:
        for _ in range(self.rng.randrange(1, 30)):
            number = self.ledger.take()
            self.call(self.tick(number), partial(self.pool.apply, tasks.tick, (number,)))

    def applies_async(self) -> None:
        told: list[threading.Event] = []
        results = []
        first = self.ledger.take(20)
        for number in range(first, first + 20):
            event = threading.Event()
            tell = lambda _, event=event: event.set()  # noqa: E731 - it has to bind the event
            try:
                made = self.pool.apply_async(tasks.tick, (number,), None, tell, tell)
            except PoolClosed as error:
                self.ledger.refused(self.epoch, number, first + 20 - number, error)
                break
            told.append(event)
            results.append((number, made))
        for (number, result), event in zip(results, told, strict=True):
            self.judge(self.tick(number), result.get)
            if not event.is_set():
                self.ledger.lose(f"task {number}: no callback was called")

    def lambdas(self) -> None:
        more = self.rng.randrange(1000)
        first = self.ledger.take(20)
        given = [self.tick(number, more) for number in range(first, first + 20)]
        self.submit_all(
            given,
            lambda task: self.pool.submit(lambda number: tasks.add(number, more), task.number),
        )

    def failures(self) -> None:
        first = self.ledger.take(20)
        given = [Task(number, never, (Odd,)) for number in range(first, first + 20)]
        self.submit_all(given, lambda task: self.pool.submit(tasks.fail, task.number))

    def not_picklable(self) -> None:
        number = self.ledger.take()
        task = Task(number, never, (NotPicklable,))
        lock: Any = threading.Lock()
        self.call(task, lambda: self.pool.submit(tasks.add, number, lock).result())
        first = self.ledger.take(5)
        given = [Task(number, never, (ResultNotPicklable,)) for number in range(first, first + 5)]
        self.submit_all(given, lambda task: self.pool.submit(tasks.no_result, task.number))

    # Bytes.

    def large(self) -> None:
        """Plain arguments and results, most of some MB, some of 20."""
        count = self.rng.randrange(1, 6)
        first = self.ledger.take(count)
        data: dict[int, Array] = {}
        given = []
        for number in range(first, first + count):
            size = self.rng.choice([1, 1, 2, 2, 4, 8, 20]) * _MB
            if self.rng.random() < 0.5:
                data[number] = np.full(size, number % 200, "u1")
                given.append(Task(number, partial(all_are, size, number % 200 + 1)))
            else:
                data[number] = np.empty(0)
                given.append(Task(number, partial(all_are, size, number % 251)))
        sizes = {task.number: task.right.args[0] for task in given}  # type: ignore[attr-defined]  # a partial

        def submit(task: Task) -> Future[Any]:
            argument = data.pop(task.number)
            if argument.size:
                return self.pool.submit(tasks.grown, task.number, argument)
            return self.pool.submit(tasks.made, task.number, sizes[task.number])

        self.submit_all(given, submit)

    def shared(self) -> None:
        """Slices of a shared array; it goes when the last is done."""
        rows = self.rng.randrange(1000, 200_000)
        array = oc.share(np.arange(rows, dtype="i8"))
        first = self.ledger.take(30)
        parts: dict[int, Array] = {}
        for number in range(first, first + 30):
            start = self.rng.randrange(rows)
            parts[number] = array[start : start + self.rng.randrange(rows)]
        given = [Task(n, partial(operator.eq, int(part.sum()))) for n, part in parts.items()]
        submit = self.pool.submit
        self.submit_all(given, lambda task: submit(tasks.total, task.number, parts[task.number]))

    def blocks(self) -> None:
        """``map_blocks``: the rows are numbers, and the first of each block is its task."""
        rows, block = self.rng.randrange(1, 2000), self.rng.randrange(1, 40)
        first = self.ledger.take(rows)
        data = oc.share(np.arange(first, first + rows, dtype="i8"))
        reduce: Any = self.rng.choice([None, "sum"])
        parts = [int(data[at : at + block].sum()) for at in range(0, rows, block)]
        expected = sum(parts) if reduce else parts
        outcome = outcome_of(
            lambda: self.pool.map_blocks(tasks.total_block, data, block=block, reduce=reduce)
        )
        # The whole of it is one task, by the first block's number.
        if isinstance(outcome.error, PoolClosed) and not self.epoch.terminated:
            self.ledger.refused(self.epoch, first, rows, outcome.error)
        else:
            task = Task(first, partial(operator.eq, expected))
            self.ledger.judge(self.epoch, task, outcome)

    def open_array(self) -> None:
        """Workers write into one array; then it is frozen, and they read it."""
        room = oc.zeros((8, self.rng.randrange(1, 5000)), "u1")
        first = self.ledger.take(16)
        written: list[bool] = []
        futures: list[Future[Any]] = []
        try:
            for row in range(8):
                future = self.pool.submit(tasks.fill, first + row, room[row])
                futures.append(future)  # at once: the next may be refused
            for row, future in enumerate(futures):
                outcome = outcome_of(future.result)
                self.ledger.judge(self.epoch, self.tick(first + row), outcome)
                written.append(outcome.error is None)
        except PoolClosed as error:
            # What the pool took before is not looked at: no thread waits for it.
            left = first + len(futures)
            self.ledger.refused(self.epoch, left, 16 - len(futures), error)
            return
        for row in range(8):
            if written[row] and not (room[row] == (first + row) % 251).all():
                self.ledger.lose(f"task {first + row}: what it wrote is not there")
        if self.rng.random() < 0.5:
            self.ledger.freeze(room)
        given = [
            Task(first + 8 + row, partial(operator.eq, int(room[row].sum()))) for row in range(8)
        ]
        submit = self.pool.submit
        self.submit_all(
            given, lambda task: submit(tasks.total, task.number, room[task.number - first - 8])
        )

    # Jobs.

    def starmaps(self) -> None:
        chunk = self.rng.choice([None, 1, 5])
        self.map_all(
            self.rng.randrange(1, 200),
            lambda numbers: self.pool.starmap(tasks.add, [(n, 0) for n in numbers], chunk),
        )

    def maps_async(self) -> None:
        chunk = self.rng.choice([None, 1, 13])
        call = self.pool.map_async if self.rng.random() < 0.5 else self.star_async
        self.map_all(
            self.rng.randrange(1, 500), lambda numbers: call(tasks.tick, numbers, chunk).get()
        )

    def star_async(
        self, call: Callable[[int], int], numbers: range, chunk: int | None
    ) -> oc.AsyncResult[list[int]]:
        return self.pool.starmap_async(call, [(number,) for number in numbers], chunk)

    def imaps(self) -> None:
        """One item after another, in order or not."""
        chunk = self.rng.choice([None, None, 1, 10])
        ordered = self.rng.random() < 0.5
        count = self.rng.randrange(1, 400)
        first = self.ledger.take(count)
        call = self.pool.imap if ordered else self.pool.imap_unordered
        outcomes: list[Outcome] = []
        try:
            with self.epoch.streaming():
                results = call(tasks.fail_some, iter(range(first, first + count)), chunk)
                while True:
                    outcome = outcome_of(lambda: next(results))
                    if isinstance(outcome.error, StopIteration):
                        break
                    outcomes.append(outcome)
                    if isinstance(outcome.error, PoolClosed):
                        # No thread waits for the rest.
                        if not self.epoch.terminated:
                            self.ledger.lose(f"imap of tasks from {first}: {outcome.error!r}")
                        self.ledger.settled += count
                        return
        except PoolClosed as error:
            self.ledger.refused(self.epoch, first, count, error)
            return
        self.judge_items(first, count, outcomes, ordered)

    def judge_items(self, first: int, count: int, outcomes: list[Outcome], ordered: bool) -> None:
        """Each item's outcome, when which outcome is whose shows, and their number."""
        if len(outcomes) != count:
            self.ledger.lose(f"imap of {count} tasks from {first}: {len(outcomes)} outcomes")
        free = set(range(first, first + count))
        unknown: list[Outcome] = []
        for at, outcome in enumerate(outcomes, first):
            if ordered:
                number = at
            elif outcome.error is None:
                number = (outcome.value - 1) // 3
            elif isinstance(outcome.error, Odd):
                number = outcome.error.args[0]
            else:
                unknown.append(outcome)
                continue
            if number not in free:
                self.ledger.lose(f"imap of tasks from {first}: an outcome of {number} too many")
            free.discard(number)
            self.judge_item(first, number, outcome)
        for number, outcome in zip(sorted(free), unknown, strict=False):
            self.judge_item(first, number, outcome)

    def judge_item(self, first: int, number: int, outcome: Outcome) -> None:
        if type(outcome.error) is WorkerDied:
            # All items of the chunk that its worker had begun have this one error.
            self.ledger.judge_death(first, outcome.error)
            return
        bad = number % 7 == 0
        task = Task(number, never, (Odd,)) if bad else self.tick(number)
        self.ledger.judge(self.epoch, task, outcome)

    # Rules.

    def with_rules(self) -> None:
        """Limits that no task comes near."""
        rules: dict[str, Any] = {}
        retries = self.rng.choice([0, 2])
        if self.rng.random() < 0.5:
            rules["timeout"] = _AMPLE
        if self.rng.random() < 0.5:
            rules["memory_limit"] = _AMPLE_MEMORY
        view = self.pool.options(retries=retries, name="chaos", **rules)
        count = self.rng.randrange(1, 60)
        first = self.ledger.take(count, retries)
        given = [self.tick(number) for number in range(first, first + count)]
        if self.rng.random() < 0.5:
            self.submit_all(given, lambda task: view.submit(tasks.tick, task.number))
        else:
            for task in given[:10]:
                self.call(task, partial(view.apply, tasks.tick, (task.number,)))

    def with_retries(self) -> None:
        """Tasks that come to a good end when they are run again."""
        view = self.pool.options(retries=3, retry_on=Flaky)
        first = self.ledger.take(20, 3)
        given = [self.tick(number) for number in range(first, first + 20)]
        self.submit_all(given, lambda task: view.submit(tasks.flaky, task.number))

    # In an event loop.

    def awaited(self) -> None:
        count = self.rng.randrange(1, 50)
        first = self.ledger.take(count)
        given = [self.tick(number) for number in range(first, first + count)]

        async def all_of_them() -> list[Any]:
            calls = (self.pool.run(tasks.tick, task.number) for task in given)
            return await asyncio.gather(*calls, return_exceptions=True)

        for task, came in zip(given, asyncio.run(all_of_them()), strict=True):
            error = came if isinstance(came, BaseException) else None
            if isinstance(error, PoolClosed) and not self.epoch.terminated:
                self.ledger.refused(self.epoch, task.number, 1, error)
            else:
                self.ledger.judge(self.epoch, task, Outcome(came, error))

    def streamed(self) -> None:
        """``stream``; its iteration ends with the first error."""
        count = self.rng.randrange(1, 300)

        async def all_of_them(numbers: range) -> list[Any]:
            return [value async for value in self.pool.stream(tasks.tick, numbers)]

        first = self.ledger.take(count)
        numbers = range(first, first + count)
        kills = self.ledger.gone()
        try:
            with self.epoch.streaming():
                outcome = outcome_of(lambda: asyncio.run(all_of_them(numbers)))
        except PoolClosed as error:
            self.ledger.refused(self.epoch, first, count, error)
            return
        # An error ends it and gives up what is left, so gaps say nothing.
        values = [value_of(number) for number in numbers]
        self.ledger.judge_all(self.epoch, first, values, outcome, kills, gapless=False)


def all_are(size: int, value: int, array: Any) -> bool:
    """True for an array of ``size`` times ``value`` that is its holder's own."""
    return bool(array.size == size and (array == value).all() and array.flags.writeable)


BATCHES: list[Callable[[_Step], None]] = [
    _Step.batch_of_submits,
    _Step.batch_of_submits,
    _Step.map_of_ticks,
    _Step.map_with_failures,
]
PIECES: list[Callable[[_Step], None]] = [
    _Step.applies,
    _Step.applies_async,
    _Step.lambdas,
    _Step.failures,
    _Step.not_picklable,
    _Step.large,
    _Step.large,
    _Step.shared,
    _Step.blocks,
    _Step.open_array,
    _Step.starmaps,
    _Step.maps_async,
    _Step.imaps,
    _Step.imaps,
    _Step.with_rules,
    _Step.with_retries,
    _Step.awaited,
    _Step.streamed,
]
# Tasks on hosts cannot write to memory of the owner's.
PIECES_OF_HOSTS = [piece for piece in PIECES if piece is not _Step.open_array]
