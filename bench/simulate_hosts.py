"""More hosts than a machine can hold: the real scheduler and the real relays, driven by measured prices.

``python -m bench.simulate --measure`` measures what messages and assignments cost a driver on a Dask cluster
(``cluster_prices``); from these, and a model of the network, this computes how busy hosts would be kept by one
driver, and how long a large array takes to all of them. Given the same prices it always computes the same.

Every decision about work is that of ``onecopy._schedule.Scheduler``, and every choice of a piece and its
sender that of ``onecopy._cluster.relays.Relays``. The model around them:

- The driver is one thread at a time. A message from or to a host costs it ``message``, an assignment
  ``assignment``, each item of a chunk ``item``. What a host has to say while the driver is busy comes in one
  message, and so does what it is given.
- A message arrives ``latency`` after it was sent. A worker has a core to itself, and each assignment costs it
  ``worker`` besides its items.
- Each host, and the driver, has a link with a rate each way, which all transfers at that end share equally. The
  switch between them carries everything. A host gets one piece after another, two of them asked for; each costs
  the driver a ``message``.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any
from unittest import mock

import distributed

import onecopy as oc
from onecopy._cluster import relays as relaying
from onecopy._cluster.host import Host
from onecopy._cluster.interface import HostInfo
from onecopy._cluster.relays import Lot, Piece, Relays
from onecopy._cluster.senders import Senders
from onecopy._schedule.events import Assign, Assignment, Distant, Finished, JobOpened, WorkerReady
from onecopy._schedule.scheduler import Scheduler

from .cluster_job import nothing

EACH = 16  # workers of a host
HOSTS = (10, 100, 1000)
DURATIONS = (0.001, 0.01, 0.1, 1.0)
LATENCY = 250e-6  # of a message between hosts, one way, kernels on both sides included
_ITEMS = 30  # for a worker, at least
_MANY = 200  # hosts
_UNLIMITED = 1 << 62
_DRIVER = 0
_SEGMENT = 1
_FETCHES = 2

Act = Callable[[], object]


@dataclass(frozen=True)
class ClusterPrices:
    """Seconds.

    Attributes:
        message: of the driver for a message to a host and one back.
        assignment: of the driver for an assignment and its outcome, besides their messages.
        item: of the driver for each item of a chunk.
        worker: of a worker for an assignment, besides its items.
    """

    message: float
    assignment: float
    item: float
    worker: float


def measured() -> ClusterPrices:
    """Measure the driver's part on a Dask cluster of one host with one worker on this machine, and the host's."""
    made: Any = distributed  # much of it has no types
    with (
        made.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        made.Client(cluster) as client,
        oc.Pool(cluster=client) as pool,
    ):
        pool.map(nothing, range(1000), chunksize=1)

        def driver(calls: int, call: Act) -> float:
            began = time.process_time()
            call()
            return (time.process_time() - began) / calls

        alone = driver(300, lambda: [pool.apply(nothing, (1,)) for _ in range(300)])
        many = driver(5000, lambda: pool.map(nothing, range(5000), chunksize=1))
        large = driver(500_000, lambda: pool.map(nothing, range(500_000), chunksize=50_000))
        began = time.perf_counter()
        pool.map(nothing, range(5000), chunksize=1)
        each = (time.perf_counter() - began) / 5000
    return ClusterPrices(max(0.0, alone - many), many, large, max(0.0, each - many))


class Clock:
    """Events in the order of their times, and a driver that does one thing at a time.

    Attributes:
        free: when the driver has done all that it was given.
        worked: seconds for which it has worked.
    """

    def __init__(self) -> None:
        self.now = self.free = self.worked = 0.0
        self._heap: list[tuple[float, int, Act]] = []
        self._order = count()

    def time(self) -> float:
        return self.now

    def at(self, when: float, act: Act) -> None:
        heapq.heappush(self._heap, (when, next(self._order), act))

    def work(self, seconds: float) -> float:
        """Let the driver work for so long when it is free; return when it has done so."""
        self.free = max(self.now, self.free) + seconds
        self.worked += seconds
        return self.free

    def run(self) -> None:
        while self._heap:
            self.now, _, act = heapq.heappop(self._heap)
            act()


@dataclass(frozen=True)
class Kept:
    """The outcome of a ``map``.

    Attributes:
        busy: the part of the workers' time in which they ran items.
        driver: the part of the time in which the driver was busy.
        chunk: the mean number of items of an assignment.
    """

    busy: float
    driver: float
    chunk: float


class OneMap:
    """One ``map``, without a chunk size, over all hosts.

    Args:
        hosts: their number.
        each: workers of each, as the driver sees them. 1: a host is given an item for each of its workers,
            or several, and cuts that itself.
        prices: see there.
        duration: seconds of an item.
    """

    def __init__(self, hosts: int, each: int, prices: ClusterPrices, duration: float) -> None:
        self._each, self._prices = each, prices
        self._duration = duration
        self._block = EACH // each  # items that the scheduler sees as one
        self._clock = Clock()
        self._last = 0.0
        self._said: defaultdict[int, list[tuple[int, Assignment, float]]] = defaultdict(list)
        self._queues: dict[int, deque[Assignment]] = {}
        self._running: set[int] = set()
        self._chunks = 0
        self._scheduler = Scheduler(hosts * each, holds=True)
        trip = round(2e9 * LATENCY + 1e9 * prices.message)
        for worker in range(hosts * each):
            self._queues[worker] = deque()
            self._scheduler.handle(WorkerReady(worker))
            self._scheduler.handle(Distant(worker, trip))
        workers = hosts * EACH
        # Thousands of workers come to the same in less time.
        items = workers * max(_ITEMS, int(1 / duration)) // max(1, hosts // _MANY)
        self._blocks = items // self._block
        self._ideal = items * duration / workers

    def run(self) -> Kept:
        opened = JobOpened(0, 0, self._blocks, None, _UNLIMITED)
        self._give(self._scheduler.handle(opened))
        self._clock.run()
        if self._scheduler.busy:
            raise RuntimeError("the simulation ended while the scheduler had work")
        chunk = self._block * self._blocks / self._chunks
        return Kept(self._ideal / self._last, self._clock.worked / self._last, chunk)

    def _give(self, instructions: Iterable[Any]) -> None:
        by_host: defaultdict[int, list[Assign]] = defaultdict(list)
        for each in instructions:
            if isinstance(each, Assign):
                by_host[each.worker // self._each].append(each)
        for given in by_host.values():
            end = self._clock.work(self._prices.message / 2)
            self._clock.at(end + LATENCY, partial(self._arrive, given))

    def _arrive(self, given: list[Assign]) -> None:
        for each in given:
            self._queues[each.worker].append(each.assignment)
            if each.worker not in self._running:
                self._running.add(each.worker)
                self._next(each.worker)

    def _next(self, worker: int) -> None:
        if not (queue := self._queues[worker]):
            self._running.discard(worker)
            return
        chunk = queue.popleft()
        took = self._duration * (chunk.stop - chunk.start)
        end = self._clock.now + self._prices.worker + took
        self._clock.at(end, partial(self._next, worker))
        self._clock.at(end + LATENCY, partial(self._say, worker, chunk, took))

    def _say(self, worker: int, chunk: Assignment, took: float) -> None:
        """A result has come to the driver; it is handled with others of its host when that is free."""
        host = worker // self._each
        self._said[host].append((worker, chunk, took))
        if len(self._said[host]) == 1:
            self._clock.at(max(self._clock.now, self._clock.free), partial(self._handle, host))

    def _handle(self, host: int) -> None:
        if self._clock.free > self._clock.now:
            self._clock.at(self._clock.free, partial(self._handle, host))
            return
        prices, instructions = self._prices, []
        cost = prices.message / 2
        for worker, chunk, took in self._said.pop(host):
            self._chunks += 1
            cost += prices.assignment + prices.item * self._block * (chunk.stop - chunk.start)
            instructions += self._scheduler.handle(Finished(worker, chunk.id, int(1e9 * took)))
        self._last = self._clock.work(cost)
        self._give(instructions)


class Links:
    """Transfers between the driver (0) and hosts; see the module.

    Args:
        clock: its time.
        rate: bytes a second of each link, each way.
    """

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._numbers = count()
        self._going: dict[int, list[Any]] = {}  # ends, bytes left, rate, since when, what is next
        self._ends: defaultdict[tuple[str, int], set[int]] = defaultdict(set)

    def send(self, source: int, target: int, size: int, done: Act) -> None:
        """Begin a transfer; ``done`` is called at its end."""
        number = next(self._numbers)
        ends = ("up", source), ("down", target)
        self._going[number] = [ends, float(size), 0.0, self._clock.now, done]
        for end in ends:
            self._ends[end].add(number)
        self._share(ends)

    def _share(self, ends: tuple[tuple[str, int], ...]) -> None:
        """Share the links at these ends among what goes there now."""
        for number in set().union(*(self._ends[end] for end in ends)):
            going = self._going[number]
            its_ends, left, rate, since, _ = going
            going[1], going[3] = left - rate * (self._clock.now - since), self._clock.now
            going[2] = self._rate / max(len(self._ends[end]) for end in its_ends)
            self._clock.at(
                self._clock.now + going[1] / going[2], partial(self._look, number, going[2])
            )

    def _look(self, number: int, rate: float) -> None:
        """End a transfer if it is done: its share may have changed."""
        going = self._going.get(number)
        if going is None or going[2] != rate:
            return
        if going[1] - rate * (self._clock.now - going[3]) > 1:
            return
        ends, done = going[0], going[4]
        del self._going[number]
        for end in ends:
            self._ends[end].discard(number)
        self._share(ends)
        done()


class Broadcast:
    """An array on its way from the driver to all hosts.

    Args:
        hosts: their number.
        size: bytes.
        rate: bytes a second of each link, each way.
        message: see ``ClusterPrices``.
    """

    def __init__(self, hosts: int, size: int, rate: float, message: float) -> None:
        self._clock, self._size, self._message = Clock(), size, message
        self._links = Links(self._clock, rate)
        nothing_: Any = None
        senders, numbers = Senders(), count(1)
        self._hosts = [
            Host(HostInfo(key, f"host-{key}", 1), [key], nothing_, "auto", numbers, senders)
            for key in range(1, hosts + 1)
        ]
        self._relays = Relays(lambda: self._hosts, lambda reader, source: True)
        self._asked: dict[int, deque[tuple[Piece, Host | None]]] = {}
        self._waiting: dict[int, Lot] = {}
        self.out = 0  # bytes that have left the driver

    def run(self) -> float:
        """Return the seconds until all have it."""
        with mock.patch.object(relaying, "monotonic", self._clock.time):
            for host in self._hosts:
                lot = self._relays.lot(host, _SEGMENT, [(0, self._size)])
                self._asked[host.info.key] = deque()
                self._clock.at(0.0, partial(self._ask, lot))
            self._clock.run()
        return self._clock.now

    def _ask(self, lot: Lot) -> None:
        key = lot.host.info.key
        asked = self._asked[key]
        while len(asked) < _FETCHES:
            turn = lot.next(wait=False)
            if turn is None:
                break
            asked.append(turn)
            if len(asked) == 1:
                self._begin(lot)
        if not asked and lot.pieces:
            self._waiting[key] = lot
        else:
            self._waiting.pop(key, None)

    def _begin(self, lot: Lot) -> None:
        (low, high), source = self._asked[lot.host.info.key][0]
        number = _DRIVER if source is None else source.info.key
        self.out += (high - low) * (number == _DRIVER)
        send = partial(
            self._links.send, number, lot.host.info.key, high - low, partial(self._arrived, lot)
        )
        self._clock.at(self._clock.work(self._message / 2) + LATENCY, send)

    def _arrived(self, lot: Lot) -> None:
        end = self._clock.work(self._message / 2)
        self._clock.at(end + LATENCY, partial(self._heard, lot))

    def _heard(self, lot: Lot) -> None:
        piece, source = self._asked[lot.host.info.key].popleft()
        if source is None:
            lot.sent()
            self._relays.has(lot.host, _SEGMENT, piece)
        else:
            lot.fetched(piece, source)
        if self._asked[lot.host.info.key]:
            self._begin(lot)
        self._ask(lot)
        for waiting in list(self._waiting.values()):
            self._ask(waiting)


def percent(part: float) -> str:
    """Return a part of a whole as text."""
    if 0.01 <= part < 0.995:
        return f"{100 * part:.0f} %"
    return "> 99 %" if part > 0.5 else "< 1 %"


def maps(prices: ClusterPrices, hosts: Iterable[int] = HOSTS) -> str:
    """Return how busy hosts are kept, for each duration of an item; in brackets the driver, and a chunk."""
    titles = [f"{1000 * each:g} ms" for each in DURATIONS]
    lines = ["| workers busy (driver; items of a chunk) | " + " | ".join(titles) + " |"]
    lines.append("|---" * 5 + "|")
    for number in hosts:
        for each, title in ((EACH, f"{number:,} hosts"), (1, f"{number:,} hosts, second cut")):
            cells = []
            for duration in DURATIONS:
                found = OneMap(number, each, prices, duration).run()
                told = f"{percent(found.driver)}; {found.chunk:,.3g}"
                cells.append(f"{percent(found.busy)} ({told})")
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def broadcasts(
    prices: ClusterPrices, hosts: Iterable[int] = (4, *HOSTS), gigabits: Iterable[int] = (1, 10)
) -> str:
    """Return the seconds that 1 GB takes to all hosts."""
    lines = [
        "| 1 GB to all, links of | hosts | seconds | from the driver alone | out of the driver |"
    ]
    lines.append("|---|---|---|---|---|")
    for each in gigabits:
        rate = each * 1e9 / 8
        for number in hosts:
            made = Broadcast(number, 10**9, rate, prices.message)
            seconds = made.run()
            alone, out = number * 1e9 / rate, made.out / 1e9
            shown = f"{seconds:.3g} | {alone:,.3g} | {out:.3g} GB"
            lines.append(f"| {each} Gbit/s | {number:,} | {shown} |")
    return "\n".join(lines)
