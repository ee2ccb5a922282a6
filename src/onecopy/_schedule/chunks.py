"""How many items go to a worker at once: guided self-scheduling with a measured pace.

A chunk has to be long enough that its overhead (some 100 to 200 microseconds for the round
trip) is small, and short enough that the workers end together. So a chunk aims at a fixed
time by what the items before it took, and shrinks with what remains: at most the share
that leaves every worker two more chunks (Polychronopoulos and Kuck, "Guided
self-scheduling", 1987). What was measured says little of the items to come, which may be of
another kind: a chunk is never more than a fair share of what is not done yet, nor more than
some times what has been measured so far. Pure arithmetic; who measures is the caller.
"""

from __future__ import annotations

# A chunk aims at this: the overhead is then about one percent.
TARGET_NS = 16_000_000
# Towards the end chunks shrink, but while there is a fair share for every worker not below
# this: overhead would eat what balance gains.
LEAST_NS = 400_000
# A chunk has at most so many times the items that the pace was learnt from.
TRUST = 16
# A worker is given more while what it has is estimated to take less than this.
AHEAD_JOB_NS = 2 * TARGET_NS
AHEAD_TASK_NS = 1_000_000


# Of a pace that was learnt before, by another job, so many items count.
_KNOWN = 1000


class Pace:
    """What one function's items take, learnt from what has come back.

    Attributes:
        mean: nanoseconds per item, the recent ones weighing more; None before the first.
        peak: a maximum that fades: how long a next one may well take.
        items: how many it was learnt from.
    """

    __slots__ = ("items", "mean", "peak")

    items: int
    mean: float | None
    peak: float

    def __init__(self, last: Pace | None = None) -> None:
        """``last``: that of a job with the same function, which is taken for granted as far as
        a few measurements are: the items may be others."""
        self.mean = last.mean if last is not None else None
        self.peak = last.peak if last is not None else 0.0
        self.items = min(last.items, _KNOWN) if last is not None else 0

    def learn(self, items: int, nanoseconds: int) -> None:
        """``items`` took ``nanoseconds`` together."""
        each = nanoseconds / max(items, 1)
        self.mean = each if self.mean is None else 0.5 * (self.mean + each)
        self.peak = max(each, 0.9 * self.peak)
        self.items += items


def chunk_size(
    remaining: int,
    workers: int,
    pace: Pace,
    fixed: int | None = None,
    most: int = 1 << 62,
    out: int = 0,
    least: int = LEAST_NS,
) -> int:
    """Items for the next chunk, between 1 and ``remaining`` (which is at least 1).

    Args:
        remaining: items not handed out yet.
        workers: how many share them.
        pace: what is known of the items so far; the first chunks are of one item.
        fixed: the user's own chunk size, which is kept to.
        most: never more than this.
        out: items that are with workers now.
        least: nanoseconds that a chunk may take although fewer items remain than would leave
            every worker two more; 0 where nothing of a chunk can be taken back.
    """
    if fixed is not None:
        return min(fixed, remaining)
    if pace.mean is None:
        return 1
    each = max(pace.mean, 1.0)
    fair = -(-(remaining + out) // workers)
    share = -(-remaining // (2 * workers))
    wanted = min(int(TARGET_NS / each), max(share, min(fair, int(least / each))))
    return max(1, min(wanted, remaining, TRUST * pace.items, most))
