"""Chaos in short, and what it has found so far, each by itself.

The full size is `make chaos`; what is checked, and how, is in `tests/chaos`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import CancelledError, Future

import psutil
import pytest

import onecopy as oc
from onecopy.errors import PoolClosed
from tests.chaos.model import gaps
from tests.chaos.run import Plan, run
from tests.chaos.tasks import value_of
from tests.conftest import MakePool
from tests.scripts import until

FRESH = random.SystemRandom().randrange(1 << 31)


@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
def test_nothing_is_lost_hangs_or_leaks(process_method: str, seed: int) -> None:
    plan = Plan(process_method, seed, seconds=3.5, tasks=2000, faults=12, workers=3)
    print(plan)
    report = run(plan)
    assert not report.failed, str(report)
    assert report.tasks > 0
    assert report.faults.total() > 0


# What the model itself has to see.


def test_gaps_are_counted() -> None:
    runs = oc.zeros(8, "u1")
    assert gaps(runs) == 1
    runs[[0, 3, 4]] = 1
    assert gaps(runs) == 2


# What was found.


def hold(begun: oc.data.Any, go: oc.data.Any) -> int:
    begun[0] = os.getpid()
    while not go[0]:
        threading.Event().wait(0.001)  # a word in shared memory tells nobody
    return value_of(0)
