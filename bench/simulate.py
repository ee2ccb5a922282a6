"""More workers than a machine has: the real scheduler, driven by measured prices.

``python -m bench.simulate --measure`` measures on this machine what a task costs the owner and a
worker, and keeps these prices in ``results/prices.json``. ``python -m bench.simulate`` computes from
them, event by event, how busy pools of up to thousands of workers would be kept; ``--write`` puts the
tables into ``docs/scale.md``. Given the same prices it always computes the same. Hosts of a cluster are in
``simulate_hosts``.

Every decision is that of ``onecopy._schedule.Scheduler``, as in a pool. The model around it:

- The owner is one thread at a time. A submission costs it ``submit``, a result ``result``, a chunk
  ``chunk`` besides, and each of its items ``item``; what comes meanwhile waits.
- A message arrives ``latency`` after it was sent. A worker runs what it has been sent in order, and
  each assignment costs it ``worker`` besides its own time.
- Every worker has a core to itself, and memory, disks and the network carry whatever is asked of
  them. Nothing is killed, and nothing is taken back from a worker.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from onecopy._schedule.events import (
    Assign,
    Assignment,
    Distant,
    Event,
    Finished,
    JobOpened,
    TaskSubmitted,
    WorkerReady,
)
from onecopy._schedule.scheduler import Scheduler

from . import parts, record, simulate_hosts
from .process import ROOT
from .simulate_hosts import LATENCY, percent

PRICES = ROOT / "bench" / "results" / "prices.json"
PAGE = ROOT / "docs" / "scale.md"
BEGIN = "<!-- computed: written by python -m bench.simulate -->"
END = "<!-- computed: end -->"
BEGIN_HOSTS = "<!-- hosts: written by python -m bench.simulate -->"
END_HOSTS = "<!-- hosts: end -->"
_UNLIMITED = 1 << 62
# Seconds that a task takes.
DURATIONS = (0.001, 0.01, 0.1, 1.0)
EACH = 30  # tasks for a worker


@dataclass(frozen=True)
class Prices:
    """Seconds.

    Attributes:
        submit: of the owner for the submission of a task.
        result: of the owner for sending an assignment and delivering its result.
        chunk: of the owner for a chunk, beyond ``result``: its size has to be chosen.
        item: of the owner for each item of a chunk, sent and delivered.
        worker: of a worker for an assignment, besides its function.
        latency: from the sending of a message to its arrival.
    """

    submit: float
    result: float
    chunk: float
    item: float
    worker: float
    latency: float


@dataclass(frozen=True)
class Place:
    """The place of the workers: their number, and what a message takes beyond ``latency``."""

    title: str
    workers: int
    network: float = 0.0


PLACES = (
    Place("2 workers", 2),
    Place("64 workers", 64),
    Place("256 workers", 256),
    Place("1,000 workers on one host", 1000),
    Place("100 hosts of 16 workers", 1600, LATENCY),
)


@dataclass(frozen=True)
class Found:
    """The outcome of a simulation.

    Attributes:
        seconds: from the first submission to the last result.
        busy: the part of the workers' time in which they ran functions.
        owner: the part of the time in which the owner was busy.
    """

    seconds: float
    busy: float
    owner: float


class Simulation:
    """One run, of tasks or of a job.

    Args:
        workers: all ready at the start.
        prices: see there.
        duration: seconds of each task or item.
        trip: seconds to a worker of another host and back, as measured at its start; 0 for one host.

    Attributes:
        deciding: processor seconds that the scheduler itself has taken, and for how many events.
    """

    def __init__(self, workers: int, prices: Prices, duration: float, trip: float = 0.0) -> None:
        self._scheduler = Scheduler(workers)
        self._workers, self._prices, self._duration = workers, prices, duration
        self._heap: list[tuple[float, int, Callable[[float], object]]] = []
        self._order = 0
        self._queues: dict[int, deque[Assignment]] = {}
        self._running: set[int] = set()
        self._owner_free = self._owner_busy = self._last = 0.0
        self.deciding = (0.0, 0)
        for worker in range(workers):
            self._queues[worker] = deque()
            self._scheduler.handle(WorkerReady(worker))
            if trip:
                self._scheduler.handle(Distant(worker, round(trip * 1e9)))

    def tasks(self, count: int) -> Found:
        """``count`` tasks, submitted one by one as fast as the owner can."""
        todo = iter(range(count))
        self._at(0.0, partial(self._submit, todo=todo))
        return self._run(count)

    def job(self, items: int) -> Found:
        """One ``map`` of ``items`` items, no chunk size given."""
        opened = JobOpened(0, 0, items, None, _UNLIMITED)
        self._at(0.0, partial(self._owner, cost=self._prices.submit, event=opened))
        return self._run(items)

    def _run(self, count: int) -> Found:
        while self._heap:
            now, _, action = heapq.heappop(self._heap)
            action(now)
        if self._scheduler.busy:
            raise RuntimeError("the simulation ended while the scheduler had work")
        work = count * self._duration
        return Found(self._last, work / self._workers / self._last, self._owner_busy / self._last)

    def _at(self, when: float, action: Callable[[float], object]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, action))

    def _submit(self, now: float, todo: Iterator[int]) -> None:
        task = next(todo, None)
        if task is not None:
            end = self._owner(now, self._prices.submit, TaskSubmitted(task, 0))
            self._at(end, partial(self._submit, todo=todo))

    def _owner(self, now: float, cost: float, event: Event) -> float:
        """The owner handles an event when it is free; returns when it has done so."""
        end = max(now, self._owner_free) + cost
        self._owner_free, self._last = end, end
        self._owner_busy += cost
        start = time.thread_time()
        instructions = self._scheduler.handle(event)
        seconds, events = self.deciding
        self.deciding = seconds + time.thread_time() - start, events + 1
        for instruction in instructions:
            if isinstance(instruction, Assign):
                self._at(end + self._prices.latency, partial(self._arrive, sent=instruction))
        return end

    def _arrive(self, now: float, sent: Assign) -> None:
        self._queues[sent.worker].append(sent.assignment)
        if sent.worker not in self._running:
            self._running.add(sent.worker)
            self._next(now, sent.worker)

    def _next(self, now: float, worker: int) -> None:
        queue = self._queues[worker]
        if not queue:
            self._running.discard(worker)
            return
        assignment = queue.popleft()
        took = self._duration * max(1, assignment.stop - assignment.start)
        end = now + self._prices.worker + took
        self._at(end, partial(self._next, worker=worker))
        done = Finished(worker, assignment.id, int(took * 1e9))
        cost = self._prices.result
        if items := assignment.stop - assignment.start:
            cost += self._prices.chunk + self._prices.item * items
        self._at(end + self._prices.latency, partial(self._owner, cost=cost, event=done))


def simulated(place: Place, prices: Prices, duration: float, *, job: bool) -> Found:
    """``EACH`` tasks (items, of a job: as many as take a second, at least) for each worker."""
    there = Prices(**{**asdict(prices), "latency": prices.latency + place.network})
    trip = 2 * there.latency if place.network else 0.0
    simulation = Simulation(place.workers, there, duration, trip)
    if job:
        return simulation.job(place.workers * max(EACH, int(1 / duration)))
    return simulation.tasks(place.workers * EACH)


def _measured_once() -> Prices:
    call = parts.of_job("tasks", "submit_result", "onecopy", 1, 5000)
    many = parts.of_job("tasks", "map_chunked", "onecopy", 1, 500_000)
    # The tasks that are simulated are not tiny, and are given out one by one.
    plain = parts.of_job("tasks", "submits_singly", "onecopy", 1, 20_000)
    pending = parts.of_job("pending", "onecopy", 20_000)
    owner = plain.take("owner")
    worker = plain.take("cpu") - owner
    submit = min(owner, pending.take("submit") / 1e6)
    # What is left of a single call's time when both sides' is taken off it, by two messages.
    left = call.take("wall") - call.take("cpu")
    result = owner - submit
    return Prices(submit, result, _choosing(), many.take("owner"), worker, max(0.0, left / 2))


def _choosing() -> float:
    """The scheduler's processor time for an event of a job, beyond that for one of a task."""
    free = Prices(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    job, tasks = Simulation(64, free, 0.001), Simulation(64, free, 0.001)
    job.job(64 * 3000)
    tasks.tasks(64 * 100)
    each = [seconds / events for seconds, events in (job.deciding, tasks.deciding)]
    return max(0.0, each[0] - each[1])


def measured(rounds: int = 5) -> dict[str, Any]:
    """The prices on this machine, and the machine. The least of some rounds: what disturbs a
    measurement adds to it."""
    facts = record.machine()
    each = [asdict(_measured_once()) for _ in range(rounds)]
    least = {key: float(f"{min(one[key] for one in each):.3g}") for key in each[0]}
    clusters = [asdict(simulate_hosts.measured()) for _ in range(rounds)]
    cluster = {key: float(f"{min(one[key] for one in clusters):.3g}") for key in clusters[0]}
    return {"machine": facts, "prices": least, "cluster": cluster}


def table(prices: Prices, places: Sequence[Place] = PLACES, *, job: bool) -> str:
    """Return how busy each place is kept, for each duration; in brackets the owner."""
    titles = [f"{1000 * each:g} ms" for each in DURATIONS]
    lines = ["| workers busy (owner busy) | " + " | ".join(titles) + " |", "|---" * 5 + "|"]
    for place in places:
        cells = []
        for duration in DURATIONS:
            found = simulated(place, prices, duration, job=job)
            cells.append(f"{percent(found.busy)} ({percent(found.owner)})")
        lines.append(f"| {place.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def bends(prices: Prices) -> str:
    """Return where the owner is the limit, in numbers."""
    each = prices.submit + prices.result
    rows = [
        f"| {place.title} | {1000 * each * place.workers:.3g} ms |"
        for place in PLACES
        if place.workers > PLACES[0].workers
    ]
    head = f"One owner gives out at most {1 / each:,.0f} single tasks a second.\n\n"
    titles = "| workers | shortest task that keeps all busy |\n|---|---|\n"
    return head + titles + "\n".join(rows)


def text(known: dict[str, Any], places: Sequence[Place] = PLACES) -> str:
    """All that is written into the page."""
    prices, machine = Prices(**known["prices"]), known["machine"]
    return "\n\n".join(
        [
            f"Prices: {_shown(known['prices'])} ({machine['cpu']}, Python {machine['python']}, "
            f"{machine['date'][:10]}; CPU time, except for the latency; the least of some rounds).",
            f"Tasks of one length, submitted one by one, {EACH} for each worker:",
            table(prices, places, job=False),
            "One `map`, without a chunk size, of items of one length, for a second at least:",
            table(prices, places, job=True),
            bends(prices),
        ]
    )


def of_hosts(known: dict[str, Any], hosts: Sequence[int] = simulate_hosts.HOSTS) -> str:
    """All that is written into the page about hosts."""
    prices = simulate_hosts.ClusterPrices(**known["cluster"])
    return "\n\n".join(
        [
            f"Prices: {_shown(known['cluster'])}.",
            simulate_hosts.maps(prices, hosts),
            simulate_hosts.broadcasts(prices, (4, *hosts)),
        ]
    )


def _shown(prices: dict[str, float]) -> str:
    return ", ".join(f"{key} {1e6 * value:.3g} µs" for key, value in prices.items())


def _put(begin: str, found: str, end: str) -> None:
    """Write a part of the page."""
    head, _, rest = PAGE.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    PAGE.write_text(f"{head}{begin}\n{found}\n{end}{tail}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m bench.simulate", description="larger pools")
    parser.add_argument("--measure", action="store_true", help="measure the prices and keep them")
    parser.add_argument("--write", action="store_true", help="write the tables into the page")
    parser.add_argument("--prices", type=Path, default=PRICES, help="the file of the prices")
    options = parser.parse_args(arguments)
    if options.measure:
        record.write(options.prices, measured())
    if not options.prices.exists():
        parser.error("there are no prices: run it with --measure first")
    known = json.loads(options.prices.read_text())
    found, hosts = text(known), of_hosts(known)
    print(f"{found}\n\n{hosts}")
    if options.write:
        _put(BEGIN, found, END)
        _put(BEGIN_HOSTS, hosts, END_HOSTS)
        print(f"written: {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
