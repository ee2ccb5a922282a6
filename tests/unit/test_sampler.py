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


def test_growth_is_read_first() -> None:
    pacing = Pacing(0.01, now=0.0)
    pacing.read(0.009, GB, forced=True)
    assert not pacing.wants(0.0, GB)  # the first second's 10 ms are not twice 9 ms
    assert pacing.wants(0.0, 2 * GB)
    assert pacing.wants(1.0, GB)


def test_a_reading_has_to_be_earned_again() -> None:
    pacing = Pacing(0.01, now=100.0)
    pacing.read(0.010, 1 * GB, forced=True)
    assert pacing.wants(100.0, 2 * GB)
    pacing.read(0.010, 2 * GB)
    assert not pacing.wants(100.9, 9 * GB)
    assert pacing.wants(101.1, 9 * GB)


def test_pause_follows_the_price_of_a_look() -> None:
    pacing = Pacing(0.01, now=0.0)
    assert pacing.watched(0.0) == pytest.approx(0.005)
    assert pacing.watched(0.0001) == pytest.approx(0.04)
    assert pacing.watched(5.0) == pytest.approx(1.0)


@given(
    budget=st.floats(0.001, 0.5),
    prices=st.lists(st.floats(0.0001, 0.5), min_size=50, max_size=300),
    grows=st.booleans(),
)
def test_budget_is_kept(budget: float, prices: list[float], grows: bool) -> None:
    pacing = Pacing(budget, now=0.0)
    now, spent, resident = 0.0, 0.0, GB
    pacing.read(prices[0], resident, forced=True)
    for price in prices:
        now += pacing.watched(0.0)
        resident += GB if grows else 0
        if pacing.wants(now, resident):
            pacing.read(price, resident)
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
