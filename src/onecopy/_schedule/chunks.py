"""The size of chunks: guided self-scheduling with a measured pace.

A chunk must be long enough that its overhead (100 to 200 microseconds for the round trip) is small,
and short enough that the workers end together. So a chunk aims at a fixed time, judged by the items
before it, and shrinks with what remains: at most the share that leaves every worker two more chunks
(Polychronopoulos and Kuck, "Guided self-scheduling", 1987). The items to come may be unlike those
measured: a chunk is never more than a fair share of what is not done yet, nor more than a multiple
of what has been measured so far. Pure arithmetic; the caller measures.
"""

from __future__ import annotations

from collections.abc import Sequence

# Nanoseconds that a chunk aims at: the overhead is then about one percent.
TARGET_NS = 16_000_000
# On another machine a chunk aims at this many times the time that messages are under way, within a limit:
# each costs several processes there and here some time, and the network some.
TRIPS = 40
LONGEST_NS = 100_000_000
# Towards the end chunks shrink. While there is a fair share for every worker they do not shrink
# below this: overhead would cost more than balance gains.
LEAST_NS = 400_000
# A chunk has at most this many times the items that the pace was learnt from.
TRUST = 16
# A worker is given more of a job while its work is estimated to take less than this many chunks aim
# at, and more tasks while it takes less than this time.
AHEAD_CHUNKS = 2
AHEAD_TASK_NS = 1_000_000
# Even a task that takes no time costs about two microseconds.
LEAST_TASK_NS = 2_000.0
# Waking an idle worker costs some 50 microseconds on two CPUs, and what it does first is slow. Single
# tasks that take less than ``TINY_NS`` wait for a busy worker while there is less than ``BEHIND_NS`` of
# them: with half of that, 256 workers cost the owner 1.6 times as much for each task as 2 do.
TINY_NS = 50_000
BEHIND_NS = 400_000

# A pace learnt by an earlier job counts as at most this many items.
_KNOWN = 1000
# Paces are remembered for this many functions.
_KEYS = 1000


class Pace:
    """The pace of one function: the time that its items take, learnt from results.

    Attributes:
        mean: nanoseconds per item, with more weight on recent ones; None before the first.
        peak: a decaying maximum: how long the next one may well take.
        items: the number of items that it was learnt from.
    """

    __slots__ = ("items", "mean", "peak")

    items: int
    mean: float | None
    peak: float

    def __init__(self, last: Pace | None = None) -> None:
        """Start from ``last``, the pace of a job with the same function. It counts like a few
        measurements: the items may be different."""
        self.mean = last.mean if last is not None else None
        self.peak = last.peak if last is not None else 0.0
        self.items = min(last.items, _KNOWN) if last is not None else 0

    def learn(self, items: int, nanoseconds: int) -> None:
        """Learn that ``items``, at least one, took ``nanoseconds`` together. One of them counts as
        much as all before: a worker's first item, alone and in a cold cache, may have taken ten
        times as long as the sixteen after it do."""
        each = nanoseconds / items
        self.mean = each if self.mean is None else each + 0.5**items * (self.mean - each)
        peak = 0.9 * self.peak
        self.peak = each if each > peak else peak
        self.items += items

    def learn_tasks(self, took: Sequence[int]) -> None:
        """Learn how many nanoseconds each of some tasks took, at least one."""
        tasks = len(took)
        each = sum(took) / tasks
        self.mean = each if self.mean is None else each + 0.5**tasks * (self.mean - each)
        self.peak = max(0.9**tasks * self.peak, *took)
        self.items += tasks


class Paces:
    """The paces of functions, of single tasks and of jobs apart."""

    def __init__(self) -> None:
        self._tasks: dict[int, Pace] = {}
        self._jobs: dict[int, Pace] = {}

    def of_tasks(self, key: int) -> Pace:
        """Return the pace that all tasks with this key share."""
        pace = self._tasks.get(key)
        return _kept(self._tasks, key, Pace()) if pace is None else pace

    def of_job(self, key: int) -> Pace:
        """Return a pace for a job. Each learns its own, since the same function may be given other
        items; it starts with the last job's."""
        return _kept(self._jobs, key, Pace(self._jobs.get(key)))


def _kept(paces: dict[int, Pace], key: int, pace: Pace) -> Pace:
    if len(paces) >= _KEYS and key not in paces:
        paces.pop(next(iter(paces)))
    paces[key] = pace
    return pace


def target(trip: int) -> int:
    """Return the nanoseconds that a chunk aims at; ``trip``: those that messages to its worker and back
    are under way."""
    return max(TARGET_NS, min(TRIPS * trip, LONGEST_NS))


def chunk_size(
    remaining: int,
    workers: int,
    pace: Pace,
    most: int = 1 << 62,
    out: int = 0,
    least: int = LEAST_NS,
    aim: int = TARGET_NS,
) -> int:
    """Return the items for the next chunk, between 1 and ``remaining`` (which is at least 1).

    Args:
        remaining: items not given out yet.
        workers: the number of workers that share them.
        pace: measured so far; the first chunks have one item.
        most: the largest chunk.
        out: items that workers have now.
        least: nanoseconds that a chunk may take even if the rest does not leave two more for every
            worker; 0 if nothing of a chunk can be taken back.
        aim: nanoseconds that it should take.
    """
    if pace.mean is None:
        return 1
    each = max(pace.mean, 1.0)
    fair = -(-(remaining + out) // workers)
    share = -(-remaining // (2 * workers))
    wanted = min(int(aim / each), max(share, min(fair, int(least / each))))
    return max(1, min(wanted, remaining, TRUST * pace.items, most))
