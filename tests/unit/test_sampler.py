"""The times at which a sampler reads: the arithmetic, on a clock that the test turns.

What it reads, of real processes, is in `tests/processes/test_sampler.py`.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._observe import sampler
from onecopy._observe.sampler import Pacing, Sampler
from onecopy._system.procfs import Rollup

GB = 1_000_000_000


def read(pacing: Pacing, price: float, size: int, now: float) -> None:
    pacing.read(price, size, size, now)


def test_growth_is_read_first() -> None:
    pacing = Pacing(0.01, now=0.0)
    pacing.read(0.009, GB, GB, 0.0, forced=True)
    assert not pacing.wants(0.0, GB)  # the first second's 10 ms are not twice 9 ms
    assert pacing.wants(0.1, 2 * GB)
    assert pacing.wants(1.0, GB)


def test_a_reading_has_to_be_earned_again() -> None:
    pacing = Pacing(0.01, now=100.0)
    pacing.read(0.010, GB, GB, 100.0, forced=True)
    assert pacing.wants(100.1, 2 * GB)
    read(pacing, 0.010, 2 * GB, 100.1)
    assert not pacing.wants(100.9, 9 * GB)
    assert pacing.wants(101.1, 9 * GB)


def readings(pacing: Pacing, sizes: dict[float, int], until: float) -> list[float]:
    """Return the times at which it reads, of checks each 10 ms, at 1 ms a reading: ``sizes`` by the time from which
    they hold."""
    found = []
    for step in range(1, int(until * 100)):
        now = step / 100
        size = sizes[max(time for time in sizes if time <= now)]
        if pacing.wants(now, size):
            found.append(now)
            read(pacing, 0.001, size, now)
    return found


def test_readings_are_dense_where_memory_changes() -> None:
    """A quiet minute, a second of growth, a second of shrinking, and quiet again."""
    sizes = {0.0: GB, **{30 + at / 100: GB + at * GB // 5 for at in range(100)}}
    sizes |= {31 + at / 100: 20 * GB - at * GB // 5 for at in range(100)}
    found = readings(Pacing(0.01, now=0.0), sizes, until=60)
    counts = [sum(start <= at < start + 1 for at in found) for start in range(60)]
    assert max(counts[2:30]) <= 10
    assert sum(counts[10:30]) <= 20 * 5, "half of what the budget pays for, or less"
    assert min(counts[30:32]) >= 50, "each second check or more"
    assert counts[32] <= 25
    assert len(found) * 0.001 <= 0.01 * 61


def test_readings_are_dense_where_memory_changes_hands() -> None:
    """The resident pages stay, and PSS grows: the next reading comes sooner than after one that
    found the same."""
    pacing = Pacing(0.01, now=0.0)
    for at in range(10):
        pacing.read(0.001, GB, GB, float(at))
    assert not pacing.wants(9.35, GB)
    assert pacing.wants(9.45, GB)
    pacing.read(0.001, GB, 2 * GB, 9.45)
    assert pacing.wants(9.5, GB)


def test_savings_are_limited() -> None:
    """After an hour of rest it does not read for half a minute."""
    pacing = Pacing(0.01, now=0.0)
    read(pacing, 0.001, GB, 0.0)
    now, count = 3600.0, 0
    while pacing.wants(now, GB << (count % 2)):
        read(pacing, 0.001, GB << (count % 2), now)
        count, now = count + 1, now + 0.01
    assert 150 <= count <= 250


def test_readings_leave_nine_tenths_of_the_time() -> None:
    pacing = Pacing(0.03, now=0.0)
    read(pacing, 0.020, GB, 10.0)
    assert not pacing.wants(10.17, 2 * GB)
    assert pacing.wants(10.19, 2 * GB)


def test_pause_follows_the_price_of_a_look() -> None:
    pacing = Pacing(0.01, now=0.0)
    assert pacing.watched(0.0) == pytest.approx(0.005)
    for price, pause in ((0.0001, 0.04), (5.0, 1.0)):
        pacing.watched(price)
        assert pacing.watched(price) == pytest.approx(pause)


def test_one_slow_look_makes_no_long_pause() -> None:
    pacing = Pacing(0.01, now=0.0)
    pacing.watched(0.0001)
    assert pacing.watched(0.01) == pytest.approx(0.04)
    assert pacing.watched(0.0001) == pytest.approx(0.04)


def test_a_share_of_a_reading_may_be_affordable_where_a_whole_one_is_not() -> None:
    pacing = Pacing(0.01, now=0.0)
    read(pacing, 0.006, GB, 0.0)  # of the 0.01 s that are there at the start
    assert not pacing.has(0.0, 1.0)
    assert pacing.has(0.0, 0.5)


@given(
    budget=st.floats(0.001, 0.5),
    prices=st.lists(st.floats(0.0001, 0.5), min_size=50, max_size=300),
    grows=st.booleans(),
)
def test_budget_is_kept(budget: float, prices: list[float], grows: bool) -> None:
    pacing = Pacing(budget, now=0.0)
    now, spent, resident = 0.0, 0.0, GB
    pacing.read(prices[0], resident, resident, 0.0, forced=True)
    for price in prices:
        now += pacing.watched(0.0)
        resident += GB if grows else 0
        if pacing.wants(now, resident):
            read(pacing, price, resident, now)
            spent += price
    # A reading is expected to cost as much as the one before.
    assert spent <= budget * (now + 1) + max(prices)


def test_memory_between_fork_and_exec_counts_once() -> None:
    me, parent = os.getpid(), os.getppid()
    private = Rollup(rss=100, pss=90, uss=80, private_dirty=80, shared=20, swap=0)
    shared = private._replace(uss=5)
    same = sampler.is_between_fork_and_exec
    assert same(me, private, {parent: private})
    assert not same(me, private, {parent: private._replace(rss=101)})
    assert not same(me, private, {me + 1: private, parent: shared})
    assert not same(me, shared, {parent: shared})


@pytest.mark.parametrize("budget", [0, -1, 1.1])
def test_budget_is_a_share(budget: float) -> None:
    with pytest.raises(ValueError, match="share"):
        Sampler(budget=budget)
