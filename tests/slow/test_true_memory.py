"""The sum of PSS against what the kernel has charged: 1 GB that four workers share.

What is charged is read from the cgroup that this process is in, of either version (cgroups(7)):
anonymous pages and those of shared memory.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import onecopy as oc
from tests.conftest import MakePool

BYTES = 1_000_000_000


def fields(path: Path) -> dict[str, int]:
    """Of a file that has a name and a number on each line."""
    lines = (line.replace(":", " ").split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in lines}


def charged() -> int:
    """Bytes of memory in use; only differences mean something."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        version_2 = not controllers
        if not version_2 and "memory" not in controllers.split(","):
            continue
        mount = Path("/sys/fs/cgroup") / ("" if version_2 else "memory")
        stat = mount / path.lstrip("/") / "memory.stat"
        if stat.exists():
            found = fields(stat)
            if version_2:
                return found["anon"] + found["shmem"]
            return found["total_rss"] + found["total_shmem"]
    pytest.skip("needs a memory cgroup")


def settled() -> int:
    """The memory that is charged, once it has not changed for a while: the kernel counts in batches, and
    sums them up every two seconds."""
    last, since = charged(), time.monotonic()
    while time.monotonic() - since < 3:
        time.sleep(0.1)
        now = charged()
        if abs(now - last) > 2_000_000:
            last, since = now, time.monotonic()
    return last


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pss_is_what_the_kernel_has_charged(make_pool: MakePool, method: str) -> None:
    before, pss = settled(), oc.memory().pss
    data = oc.share(np.ones(BYTES // 8))
    pool = make_pool(method, 4)
    begun = oc.zeros(4, "?")

    def touch(item: int) -> float:
        begun[item] = True  # each its own: += is no atomic operation
        while not begun.all():
            time.sleep(0.001)
        return float(data.sum())

    assert pool.map(touch, range(4), chunksize=1) == [BYTES // 8] * 4
    grown, taken = oc.memory().pss - pss, settled() - before
    print(f"{method}: PSS grew by {grown:,}, {taken:,} bytes were charged")
    assert grown > BYTES
    assert abs(grown / taken - 1) <= 0.05
