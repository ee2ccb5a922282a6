"""A sampler reads what real processes hold, and keeps the peak."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from onecopy._observe.sampler import Sampler, read_tree

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs smaps_rollup"
)

MB = 1_000_000

# Takes 64 MB, has a child that maps the same, and releases it after a line of input.
HOLDS_MEMORY = """
import mmap, os, sys
data = mmap.mmap(-1, 64_000_000)
for at in range(0, len(data), 4096): data[at] = 1
ours, theirs = os.pipe(), os.pipe()
if os.fork() == 0:
    os.close(ours[1])
    sum(data[at] for at in range(0, len(data), 4096))
    os.write(theirs[1], b"x")
    os.read(ours[0], 1)
    os._exit(0)
os.read(theirs[0], 1)
print("ready", flush=True)
sys.stdin.readline()
os.write(ours[1], b"x")
os.wait()
data.close()
print("gone", flush=True)
sys.stdin.readline()
"""


def test_peak_of_a_tree_counts_shared_pages_once() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with Sampler(child.pid) as sampler:
            full = sampler.sample()
            child.stdin.write(b"\n")
            child.stdin.flush()
            assert child.stdout.readline() == b"gone\n"
            empty = sampler.sample()
            child.stdin.close()
    assert full is not None
    assert empty is not None
    assert full.processes == 2
    assert 64 * MB < full.pss < 128 * MB < full.rss
    # Neither of the two would give the pages back by ending alone.
    assert full.uss < 64 * MB
    assert (empty.processes, empty.pss < 64 * MB) == (1, True)
    assert sampler.peak is not None
    assert sampler.peak.pss >= full.pss
    assert sampler.readings >= 3


def test_reads_by_itself() -> None:
    with Sampler(budget=1.0) as sampler:
        while sampler.readings < 5:
            select.select([], [], [], 0.001)
    after = sampler.readings
    assert sampler.sample() is not None
    assert sampler.readings == after + 1


def test_process_that_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert read_tree(child.pid) is None
    with Sampler(child.pid) as sampler:
        assert sampler.sample() is None
    assert (sampler.peak, sampler.readings) == (None, 0)


def test_thread_ends_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), Sampler(os.getpid()):
        _ = 1 / 0
