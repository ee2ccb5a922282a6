"""The scheduler: what it promises under any order of events, and its rules one by one.

No clock, no child: a model plays the workers, with made-up durations.
"""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onecopy._schedule import events as ev
from onecopy._schedule.chunks import LEAST_NS, LONGEST_NS, TARGET_NS, Pace, chunk_size, target
from onecopy._schedule.scheduler import Scheduler


class Model:
    """Workers that do what the scheduler says, in a random order, and sometimes die."""

    def __init__(
        self, workers: int, seed: int, max_tasks: int | None = None, trips: tuple[int, ...] = ()
    ) -> None:
        self.trips = trips
        self.scheduler = Scheduler(workers, max_tasks)
        self.random = random.Random(seed)
        self.starting = 0
        self.next_worker = 0
        self.queues: dict[int, deque[ev.Assignment]] = {}
        self.retired: set[int] = set()
        self.done: dict[tuple[int, int], int] = {}
        self.lost: set[tuple[int, int]] = set()
        self.most_held = 0
        self.given: dict[int, ev.Assignment] = {}
        self.starting = workers
        self.constraints: dict[int, ev.Constraints] = {}
        self.reruns: dict[tuple[int, int], int] = {}
        self.ending: set[int] = set()
        self.fixed: dict[int, int | None] = {}

    def tell(self, event: ev.Event) -> None:
        if isinstance(event, ev.TaskSubmitted | ev.JobOpened):
            self.constraints[event[0]] = event.constraints
        if isinstance(event, ev.JobOpened):
            self.fixed[event.job] = event.chunk
        ended = [event.assignment] if isinstance(event, ev.Finished) else []
        for instruction in self.scheduler.handle(event):
            if isinstance(instruction, ev.Assign):
                assert instruction.worker in self.queues, "only to workers that are ready"
                assert instruction.worker not in self.ending, "nothing for one that is to go"
                queue = self.queues[instruction.worker]
                queue.append(instruction.assignment)
                if any(self.constraints[held.work].exclusive for held in queue):
                    assert len(queue) == 1, "alone"
                self.most_held = max(self.most_held, len(self.queues[instruction.worker]))
            elif isinstance(instruction, ev.Lost):
                self.lost |= self.items(instruction.assignment)
                ended.append(instruction.assignment.id)
                self.given[instruction.assignment.id] = instruction.assignment
            elif isinstance(instruction, ev.Retire):
                assert not self.queues[instruction.worker], "retired with work in hand"
                self.retired.add(instruction.worker)
            else:
                self.starting += 1
        for number in ended:
            if number in self.given:
                self.settle(self.given[number])
        if isinstance(event, ev.JobOpened) and self.random.random() < 0.5:
            self.tell(ev.Ahead())

    def settle(self, assignment: ev.Assignment) -> None:
        """Half of what may be run again is, or a part of it."""
        if not self.constraints[assignment.work].retryable:
            return
        assert self.scheduler.busy, "it is open"
        if self.random.random() < 0.5:
            self.tell(ev.Done(assignment.id))
            return
        items = self.items(assignment)
        runs: tuple[tuple[int, int], ...] = ()
        if assignment.stop - assignment.start > 1:
            at = self.random.randrange(assignment.start, assignment.stop)
            items, runs = {(assignment.work, at)}, ((at, at + 1),)
        self.lost -= items
        for item in items:
            self.reruns[item] = self.reruns.get(item, 0) + 1
        self.tell(ev.Retry(assignment.id, runs))

    @staticmethod
    def items(assignment: ev.Assignment) -> set[tuple[int, int]]:
        stop = max(assignment.stop, assignment.start + 1)
        return {(assignment.work, at) for at in range(assignment.start, stop)}

    def step(self, cost: int, deaths: float) -> bool:
        """One thing happens somewhere; False when nothing can."""
        choices = ["start"] * (self.starting > 0)
        choices += [f"run {w}" for w, queue in self.queues.items() if queue]
        choices += [f"leave {w}" for w in self.retired | self.ending]
        if not choices:
            return False
        what, _, number = self.random.choice(choices).partition(" ")
        if what == "start":
            self.starting -= 1
            self.next_worker += 1
            self.queues[self.next_worker] = deque()
            self.tell(ev.WorkerReady(self.next_worker))
            if trip := dict(enumerate(self.trips, 1)).get(self.next_worker):
                self.tell(ev.Distant(self.next_worker, trip))
        elif what == "leave":
            queue = self.queues[int(number)]
            self.gone(int(number), queue[0].id if queue else 0)
        elif self.random.random() < deaths / 2 and int(number) not in self.ending:
            self.ending.add(int(number))
            self.tell(ev.WorkerEnding(int(number)))
        elif int(number) in self.ending:
            self.gone(int(number), self.queues[int(number)][0].id)
        elif self.random.random() < deaths:
            claimed = self.random.choice([0, self.queues[int(number)][0].id])
            self.gone(int(number), claimed)
        elif (self.random.random() < deaths and self.halve(int(number))) or (
            self.random.random() < 0.2 and self.take_back(int(number))
        ):
            pass
        else:
            assignment = self.queues[int(number)].popleft()
            for item in self.items(assignment):
                self.done[item] = self.done.get(item, 0) + 1
            size = max(1, assignment.stop - assignment.start)
            self.given[assignment.id] = assignment
            self.tell(ev.Finished(int(number), assignment.id, size * cost))
        return True

    def halve(self, worker: int) -> bool:
        """The next piece of work turns out to have to be done in two halves."""
        assignment = self.queues[worker][0]
        if assignment.stop - assignment.start < 2:
            return False
        del self.queues[worker][0]
        self.tell(ev.JobHalved(assignment.work, assignment.start, assignment.stop))
        self.tell(ev.Finished(worker, assignment.id, None))
        self.tell(ev.Done(assignment.id))
        return True

    def take_back(self, worker: int) -> bool:
        """It is at its first one, or has not started that either; the others go elsewhere, if there
        is an elsewhere."""
        head = {number: head for number, head, _ in self.scheduler.blocked_workers()}.get(worker)
        if head is None:
            return False
        queue = self.queues[worker]
        assert queue[0].id == head
        if len(queue) == 1:
            return self.cut(worker)
        started = self.random.randrange(2)
        back = [queue.pop() for _ in range(len(queue) - started)]
        idle = sum(not held for held in self.queues.values())
        self.tell(ev.Requeued(worker, tuple(one.id for one in reversed(back))))
        assert sum(not held for held in self.queues.values()) < idle, "an idle one got some"
        return True

    def cut(self, worker: int) -> bool:
        """It is in the middle of its chunk, or at the end of it; the rest goes elsewhere."""
        queue = self.queues[worker]
        chunk = queue[0]
        assert chunk.stop - chunk.start > 1
        assert not self.fixed.get(chunk.work), "the user's own stay whole"
        stop = self.random.randint(chunk.start + 1, chunk.stop)
        queue[0] = chunk._replace(stop=stop)
        idle = sum(not held for held in self.queues.values())
        self.tell(ev.Cut(worker, chunk.id, stop, 10_000_000))
        if stop < chunk.stop:
            assert sum(not held for held in self.queues.values()) < idle, "an idle one got some"
        assert worker not in {
            number for number, *_ in self.scheduler.blocked_workers() if stop == chunk.stop
        }
        return True

    def gone(self, worker: int, claimed: int) -> None:
        del self.queues[worker]
        self.retired.discard(worker)
        self.ending.discard(worker)
        self.tell(ev.WorkerGone(worker, claimed))

    def run(self, cost: int = 1000, deaths: float = 0.0) -> None:
        while self.step(cost, deaths):
            pass


work = st.lists(
    st.one_of(
        st.just("task"), st.integers(0, 300), st.tuples(st.integers(1, 200), st.integers(1, 9))
    ),
    max_size=12,
)


@settings(max_examples=150)
@given(
    work=work,
    workers=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    cost=st.sampled_from([10, 1000, 100_000, 5_000_000, 10**9]),
    deaths=st.sampled_from([0.0, 0.0, 0.1, 0.3]),
    max_tasks=st.sampled_from([None, None, 1, 3]),
    trips=st.sampled_from([(), (), (10_000_000,), (0, 10**9, 1000)]),
)
def test_everything_is_run_once_or_lost_with_its_worker(
    work: list[object],
    workers: int,
    seed: int,
    cost: int,
    deaths: float,
    max_tasks: int | None,
    trips: tuple[int, ...],
) -> None:
    model = Model(workers, seed, max_tasks, trips)
    expected: set[tuple[int, int]] = set()
    for number, what in enumerate(work):
        for _ in range(model.random.randrange(4)):
            model.step(cost, deaths)
        alone, again = model.random.random() < 0.2, model.random.random() < 0.2
        constraints = ev.Constraints(alone, again)
        if what == "task":
            model.tell(ev.TaskSubmitted(number, number % 3, constraints))
            expected.add((number, 0))
        else:
            size, chunk = what if isinstance(what, tuple) else (what, None)
            assert isinstance(size, int)
            first = model.random.randint(0, size)
            grows = model.random.random() < 0.5
            model.tell(ev.JobOpened(number, 0, first, chunk, 1 << 62, constraints, grows))
            model.step(cost, deaths)
            model.tell(ev.JobGrew(number, size, last=grows))
            expected |= {(number, at) for at in range(size)}
    model.run(cost, deaths)
    assert set(model.done) | model.lost == expected
    for item in expected:
        times = model.done.get(item, 0) + (item in model.lost)
        reruns = model.reruns.get(item, 0)
        # A rerun may be of what was lost: that counts for nothing by itself.
        assert 1 <= times <= 1 + reruns
    assert not model.scheduler.busy
    # No worker was forgotten: each takes one of as many tasks.
    for number in range(len(work), len(work) + len(model.queues)):
        model.tell(ev.TaskSubmitted(number, 99))
    assert all(model.queues.values()), model.queues
    model.run(cost)
    model.tell(ev.Closed())
    model.run(cost)
    assert not model.queues, "closed: every worker has gone"


def ready(workers: int, *trips: int) -> Model:
    model = Model(workers, 0, trips=trips)
    while model.starting:
        model.step(0, 0)
    return model


def test_work_of_unknown_length_is_handed_out_singly() -> None:
    model = ready(2)
    for task in range(10):
        model.tell(ev.TaskSubmitted(task, 7))
    assert model.most_held == 1


def test_tiny_tasks_are_sent_in_batches() -> None:
    model = ready(2)
    for task in range(500):
        model.tell(ev.TaskSubmitted(task, 7))
    model.run(cost=3000)
    assert model.most_held > 50


@pytest.mark.parametrize("cost", [1_000_000, 50_000_000])
def test_long_tasks_never_wait_behind_each_other(cost: int) -> None:
    model = ready(2)
    for task in range(50):
        model.tell(ev.TaskSubmitted(task, 7))
    model.run(cost=cost)
    assert model.most_held == 1


def test_a_worker_far_away_has_work_for_as_long_as_messages_take() -> None:
    near, far = 1, 2
    model = ready(2, 0, 10_000_000)
    for task in range(500):
        model.tell(ev.TaskSubmitted(task, 7))
    for worker in (near, far):  # the time that a task takes is known then
        ended = model.queues[worker].popleft()
        model.tell(ev.Finished(worker, ended.id, 1_000_000))
    assert len(model.queues[near]) == 1
    assert 9 <= len(model.queues[far]) <= 11
    # No message per task once it has enough.
    ended = model.queues[far].popleft()
    model.tell(ev.Finished(far, ended.id, 1_000_000))
    assert 9 <= len(model.queues[far]) <= 11
    unknown = ready(1, 10_000_000)
    for task in range(10):
        unknown.tell(ev.TaskSubmitted(task, 7))
    assert unknown.most_held == 1


def test_another_function_begins_as_unknown() -> None:
    model = ready(1)
    for task in range(200):
        model.tell(ev.TaskSubmitted(task, 1))
    model.run(cost=1000)
    model.most_held = 0
    for task in range(200, 205):
        model.tell(ev.TaskSubmitted(task, 2))
    assert model.most_held == 1


@pytest.mark.parametrize(("cost", "held"), [(100_000, 2), (TARGET_NS, 2), (2 * TARGET_NS, 1)])
def test_a_known_job_is_sent_ahead_from_its_beginning(cost: int, held: int) -> None:
    """A chunk of it and another, as far as there is a fair share; of an unknown one a single item."""
    scheduler = Scheduler(2)
    scheduler.handle(ev.WorkerReady(1))
    scheduler.handle(ev.WorkerReady(2))

    def given(job: int) -> list[int]:
        found = [
            each.worker
            for event in (ev.JobOpened(job, 7, 16, None, 1 << 62), ev.Ahead())
            for each in scheduler.handle(event)
            if isinstance(each, ev.Assign)
        ]
        scheduler.handle(ev.JobDropped(job))
        return found

    assert given(1) == [2, 1], "one item each"
    scheduler.handle(ev.Finished(2, 1, cost))
    scheduler.handle(ev.Finished(1, 2, cost))
    assert given(2) == [1, 2] + [1, 2] * (held - 1)


def test_a_worker_that_has_started_nothing_stays_in_use() -> None:
    """It waits for a CPU; its queue is taken back."""
    model = ready(2)
    for task in range(10):
        model.tell(ev.TaskSubmitted(task, 1))
    while not model.scheduler.blocked_workers():
        model.step(1000, 0)
    ((worker, _, _),) = model.scheduler.blocked_workers()
    queue = model.queues[worker]
    back = tuple(one.id for one in queue)
    queue.clear()
    model.tell(ev.Requeued(worker, back))
    assert all(model.queues.values()), "each has one"


def test_only_the_begun_assignment_is_lost() -> None:
    model = ready(1)
    for task in range(100):
        model.tell(ev.TaskSubmitted(task, 1))
    while len(model.queues[1]) < 3:
        model.step(1000, 0)
    begun, *others = [assignment.work for assignment in model.queues[1]]
    model.gone(1, model.queues[1][0].id)
    model.run(1000)
    assert model.lost == {(begun, 0)}
    assert all(model.done[work, 0] == 1 for work in others)


def test_a_dropped_job_is_not_handed_out_further() -> None:
    model = ready(1)
    model.tell(ev.JobOpened(5, 1, 1000, 1, 1 << 62))
    model.step(TARGET_NS, 0)
    model.tell(ev.JobDropped(5))
    model.run(TARGET_NS)
    assert len(model.done) < 5
    assert not model.scheduler.busy


@pytest.mark.parametrize("end", [ev.JobGrew(1, 3, last=True), ev.JobDropped(1)])
def test_a_closed_pool_works_for_a_job_that_grows(end: ev.Event) -> None:
    model = ready(2)
    model.tell(ev.JobOpened(1, 1, 0, 1, 1 << 62, grows=True))
    model.tell(ev.Closed())
    model.tell(ev.JobGrew(1, 3))
    model.run()
    assert set(model.done) == {(1, 0), (1, 1), (1, 2)}
    assert len(model.queues) == 2, "there may be more to come"
    model.tell(end)
    model.run()
    assert not model.queues


def test_a_job_that_grows_is_over_with_the_pool() -> None:
    model = ready(1)
    model.tell(ev.JobOpened(1, 1, 0, 1, 1 << 62, grows=True))
    model.tell(ev.Abandoned())
    assert not model.scheduler.busy


def test_a_worker_is_replaced_after_its_share_of_tasks() -> None:
    model = Model(1, 0, max_tasks=2)
    for task in range(7):
        model.tell(ev.TaskSubmitted(task, 1))
    model.run(1000)
    assert len(model.done) == 7
    assert model.next_worker == 4


def test_first_come_first_served() -> None:
    model = ready(1)
    model.tell(ev.TaskSubmitted(0, 1))
    order = []
    for task in range(1, 20):
        model.tell(ev.TaskSubmitted(task, 1))
    while model.queues[1]:
        order.append(model.queues[1][0].work)
        model.step(100, 0)
    assert order == list(range(20))


def learnt(mean: float | None, items: int = 10**10) -> Pace:
    pace = Pace()
    pace.mean, pace.items = mean, items
    return pace


class TestChunks:
    """``chunk_size``, the arithmetic alone."""

    @given(
        remaining=st.integers(1, 10**9),
        workers=st.integers(1, 256),
        mean=st.one_of(st.none(), st.floats(0, 1e12)),
        most=st.integers(1, 10**9),
        trip=st.integers(0, 10**9),
    )
    def test_always_within_bounds(
        self, remaining: int, workers: int, mean: float | None, most: int, trip: int
    ) -> None:
        size = chunk_size(remaining, workers, learnt(mean), most, aim=target(trip))
        assert 1 <= size <= min(remaining, most)

    @given(trip=st.integers(1, 10**9))
    def test_chunks_for_another_machine_are_longer(self, trip: int) -> None:
        assert TARGET_NS == target(0) <= target(trip) <= LONGEST_NS
        assert target(trip) >= min(40 * trip, LONGEST_NS)

    @given(mean=st.floats(1, 1e6), remaining=st.integers(10**8, 10**9))
    def test_a_chunk_of_many_aims_at_the_target(self, mean: float, remaining: int) -> None:
        pace = learnt(mean)
        took = chunk_size(remaining, 2, pace) * mean
        assert TARGET_NS / 2 <= took <= TARGET_NS or mean > TARGET_NS / 2

    @given(mean=st.floats(1, LEAST_NS / 20), workers=st.integers(1, 16))
    def test_chunks_shrink_towards_the_end(self, mean: float, workers: int) -> None:
        pace = learnt(mean)
        remaining, sizes = 10**7, []
        while remaining:
            sizes.append(chunk_size(remaining, workers, pace))
            remaining -= sizes[-1]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] * mean <= TARGET_NS / 2 or len(sizes) <= 2 * workers

    def test_slow_items_go_one_by_one(self) -> None:
        pace = Pace()
        pace.learn(1, 10 * TARGET_NS)
        assert chunk_size(8, 2, pace) == 1

    def test_the_pace_follows_what_comes_back(self) -> None:
        pace = Pace()
        pace.learn(10, 1000)
        assert pace.mean == 100
        for _ in range(20):
            pace.learn(10, 10_000)
        assert 990 < (pace.mean or 0) <= 1000


def test_what_a_mistrusted_worker_had_begun_is_lost() -> None:
    """It is unknown which part of it has ended; what it had not begun goes to another."""
    scheduler = Scheduler(1)
    scheduler.handle(ev.WorkerReady(1))
    # A first one, from which it is known that they are short: the others go together.
    (assign,) = scheduler.handle(ev.TaskSubmitted(1, 0))
    assert isinstance(assign, ev.Assign)
    for task in range(2, 6):
        assert not scheduler.handle(ev.TaskSubmitted(task, 0))
    together = scheduler.handle(ev.Finished(1, assign.assignment.id, 1000))
    given = [it.assignment for it in together if isinstance(it, ev.Assign)]
    assert [assignment.work for assignment in given] == [2, 3, 4, 5]
    out = scheduler.handle(ev.WorkerGone(1, given[1].id, all=True))
    assert {it.assignment.work for it in out if isinstance(it, ev.Lost)} == {2, 3}
    again = scheduler.handle(ev.WorkerReady(2))
    assert [it.assignment.work for it in again if isinstance(it, ev.Assign)] == [4]


def test_nothing_is_bet_on_threads() -> None:
    """Items that a thread was given cannot be taken back: the last items go one by one."""
    pace = learnt(10)
    assert chunk_size(8, 2, pace) == 4
    assert chunk_size(8, 2, pace, least=0) == 2
    assert chunk_size(3, 2, pace, least=0) == 1


def test_each_worker_s_ended_assignments_are_counted() -> None:
    model = ready(2)
    for task in range(10):
        model.tell(ev.TaskSubmitted(task, 7))
    assert list(model.scheduler.ended_by_worker().values()) == [0, 0], "given out is not ended"
    model.run(cost=1000)
    assert sum(model.scheduler.ended_by_worker().values()) == 10
    model.tell(ev.WorkerGone(1, 0, False))
    assert set(model.scheduler.ended_by_worker()) == {2}
