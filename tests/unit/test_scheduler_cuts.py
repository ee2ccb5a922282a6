"""Chunks that are cut: what has not been begun of a long one goes to idle workers; and the size of
chunks whatever was measured."""

from __future__ import annotations

import random
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from onecopy._schedule import events as ev
from onecopy._schedule.scheduler import Scheduler


def given_to(out: list[ev.Instruction]) -> dict[int, list[tuple[int, int]]]:
    """Runs of items by the worker that they were assigned to."""
    runs: dict[int, list[tuple[int, int]]] = {}
    for instruction in out:
        assert isinstance(instruction, ev.Assign)
        chunk = instruction.assignment
        runs.setdefault(instruction.worker, []).append((chunk.start, chunk.stop))
    return runs


class TestCuts:
    """A chunk that takes long gives what has not been begun of it to idle workers."""

    @staticmethod
    def quick(workers: int) -> Scheduler:
        """Its workers are idle, and job 1 is known to have quick items."""
        scheduler = Scheduler(workers)
        for worker in range(1, workers + 1):
            scheduler.handle(ev.WorkerReady(worker))
        waiting = scheduler.handle(ev.JobOpened(1, 7, 200, None, 1 << 62))
        while waiting:
            done = waiting.pop(0)
            assert isinstance(done, ev.Assign)
            chunk = done.assignment
            took = (chunk.stop - chunk.start) * 1000
            waiting += scheduler.handle(ev.Finished(done.worker, chunk.id, took))
        return scheduler

    def test_the_pace_of_the_last_job_is_known(self) -> None:
        scheduler = self.quick(4)
        out = scheduler.handle(ev.JobOpened(2, 7, 40, None, 1 << 62))
        runs = [run for held in given_to(out).values() for run in held]
        assert runs == [(0, 10), (10, 20), (20, 30), (30, 40)]
        out = scheduler.handle(ev.JobOpened(3, 8, 40, None, 1 << 62))
        assert out == [], "all are busy"

    def test_the_rest_goes_out_one_by_one(self) -> None:
        scheduler = self.quick(3)
        (first, *others) = scheduler.handle(ev.JobOpened(2, 7, 30, None, 1 << 62))
        assert isinstance(first, ev.Assign)
        assert scheduler.blocked_workers() == [], "no worker is idle"
        for other in others:
            assert isinstance(other, ev.Assign)
            assert not scheduler.handle(ev.Finished(other.worker, other.assignment.id, 1000))
        ((worker, head, estimate),) = scheduler.blocked_workers()
        assert (worker, head) == (first.worker, first.assignment.id)
        assert 5_000 < estimate < 1_000_000
        out = scheduler.handle(ev.Cut(worker, head, 2, 10_000_000))
        assert sorted(run for runs in given_to(out).values() for run in runs) == [(2, 3), (3, 4)]
        assert scheduler.blocked_workers() == []
        out = scheduler.handle(ev.Finished(worker, head, 500_000_000))
        assert given_to(out) == {worker: [(4, 5)]}

    def test_one_that_was_begun_to_its_end_is_left_alone(self) -> None:
        scheduler = self.quick(2)
        first, second = scheduler.handle(ev.JobOpened(2, 7, 20, None, 1 << 62))
        assert isinstance(first, ev.Assign)
        assert isinstance(second, ev.Assign)
        scheduler.handle(ev.Finished(second.worker, second.assignment.id, 1000))
        assert len(scheduler.blocked_workers()) == 1
        assert not scheduler.handle(ev.Cut(first.worker, first.assignment.id, 10, 10_000_000))
        assert scheduler.blocked_workers() == []

    def test_a_chunk_of_a_given_size_is_left_alone(self) -> None:
        scheduler = self.quick(2)
        (first,) = scheduler.handle(ev.JobOpened(2, 7, 20, 20, 1 << 62))
        assert isinstance(first, ev.Assign)
        assert first.assignment.stop == 20
        assert scheduler.blocked_workers() == []

    def test_large_results_make_a_job_go_singly(self) -> None:
        scheduler = self.quick(1)
        (first,) = scheduler.handle(ev.JobOpened(2, 7, 64, None, 16))
        assert isinstance(first, ev.Assign)
        assert first.assignment.stop == 16
        worker, chunk = first.worker, first.assignment
        assert not scheduler.handle(ev.Cut(worker, chunk.id, 1, None, singly=True))
        out = scheduler.handle(ev.Finished(worker, chunk.id, 1000))
        runs = given_to(out)[worker]
        assert runs[0] == (1, 2)
        assert {stop - start for start, stop in runs} == {1}

    def test_what_was_begun_of_a_cut_chunk_is_lost_with_its_worker(self) -> None:
        scheduler = self.quick(2)
        first, second = scheduler.handle(ev.JobOpened(2, 7, 20, None, 1 << 62))
        assert isinstance(first, ev.Assign)
        assert isinstance(second, ev.Assign)
        scheduler.handle(ev.Finished(second.worker, second.assignment.id, 1000))
        scheduler.handle(ev.Cut(first.worker, first.assignment.id, 3, 10_000_000))
        out = scheduler.handle(ev.WorkerGone(first.worker, first.assignment.id))
        lost = [it.assignment for it in out if isinstance(it, ev.Lost)]
        assert [(it.start, it.stop) for it in lost] == [(0, 3)]


@given(
    seed=st.integers(0, 1000),
    workers=st.integers(2, 8),
    slow=st.sets(st.integers(0, 299), max_size=20),
)
def test_no_chunk_is_more_than_a_fair_share(seed: int, workers: int, slow: set[int]) -> None:
    """Of the items that are not done, whatever was measured; and all are run once."""
    rand = random.Random(seed)
    scheduler = Scheduler(workers)
    held: dict[int, deque[ev.Assignment]] = {}
    done: set[int] = set()
    out: list[ev.Instruction] = []
    for worker in range(workers):
        held[worker] = deque()
        out += scheduler.handle(ev.WorkerReady(worker))
    out += scheduler.handle(ev.JobOpened(1, 0, 300, None, 1 << 62))
    while out or any(held.values()):
        for instruction in out:
            assert isinstance(instruction, ev.Assign)
            chunk = instruction.assignment
            assert chunk.stop - chunk.start <= -(-(300 - len(done)) // workers)
            held[instruction.worker].append(chunk)
        worker = rand.choice([worker for worker, queue in held.items() if queue])
        chunk = held[worker].popleft()
        items = set(range(chunk.start, chunk.stop))
        assert not items & done
        took = sum(250_000_000 if at in slow else 500 for at in items)
        done |= items
        out = scheduler.handle(ev.Finished(worker, chunk.id, took))
    assert done == set(range(300))
