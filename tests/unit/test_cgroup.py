"""The CPUs and the memory that there are: control groups of both versions, /proc.

The trees are made under `tmp_path`, and given as the root of the file system.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from onecopy._system import cgroup, cpus, memory, procfs
from onecopy.errors import NotEnoughMemory
from tests.limited import address_space

GB = 1 << 30

Tree = Callable[[dict[str, str]], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make files, by their paths under the root."""

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


@pytest.fixture
def sixty_four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is larger than any quota here."""
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 64, raising=False)


CPUS: dict[str, tuple[dict[str, str], float | None]] = {
    "no groups": ({}, None),
    "v2": (
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "400000 100000\n"},
        4,
    ),
    "v2, no quota": (
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"},
        None,
    ),
    "v2, the tightest above counts": (
        {
            "proc/self/cgroup": "0::/a/b/c\n",
            "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/b/c/cpu.max": "800000 100000\n",
        },
        3,
    ),
    "v2, half a CPU more": (
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"},
        1.5,
    ),
    "v2 beside v1 (hybrid)": (
        {
            "proc/self/cgroup": "4:memory:/x\n0::/a\n",
            "sys/fs/cgroup/unified/a/cpu.max": "200000 100000\n",
        },
        2,
    ),
    "v2 in a container, whose path is not in the mount": (
        {
            "proc/self/cgroup": "0::/docker/0123abc\n",
            "sys/fs/cgroup/cpu.max": "50000 100000\n",
        },
        0.5,
    ),
    "v1": (
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/a\n2:memory:/m\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        },
        2.5,
    ),
    "v1 by the controller's own mount": (
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/a\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "50000\n",
        },
        2,
    ),
    "v1, no quota": (
        {
            "proc/self/cgroup": "1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "v1, nested": (
        {
            "proc/self/cgroup": "1:cpu:/a/b\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "700000\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us": "100000\n",
        },
        7,
    ),
    "another controller of a similar name": (
        {
            "proc/self/cgroup": "1:cpuset:/a\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "not as documented": (
        {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "\n"},
        None,
    ),
}


@pytest.mark.parametrize("name", CPUS)
@pytest.mark.usefixtures("sixty_four_cpus")
def test_cpu_quota(name: str, tree: Tree) -> None:
    files, quota = CPUS[name]
    root = tree(files)
    assert cpus.quota(root) == quota
    # A broken quota is rounded up: half a CPU too many is better than half too few.
    expected = 64 if quota is None else {0.5: 1, 1.5: 2, 2.5: 3}.get(quota, int(quota))
    assert cpus.cpu_count(root) == expected


@pytest.mark.usefixtures("sixty_four_cpus")
def test_quota_above_the_affinity_mask_changes_nothing(tree: Tree) -> None:
    root = tree({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"})
    assert cpus.cpu_count(root) == 64


def test_cpu_count_of_this_process_is_within_its_affinity() -> None:
    assert 1 <= cpus.cpu_count() <= (os.cpu_count() or 1)


def meminfo(available: int) -> dict[str, str]:
    text = f"MemTotal:  99999999 kB\nMemFree:  1 kB\nMemAvailable:  {available // 1024} kB\n"
    return {"proc/meminfo": text}


MEMORY: dict[str, tuple[dict[str, str], int]] = {
    "the machine's": (meminfo(8 * GB), 8 * GB),
    "no figures at all": ({}, 1 << 62),
    "v2": (
        {
            **meminfo(8 * GB),
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": f"{2 * GB}\n",
            "sys/fs/cgroup/a/memory.current": f"{GB}\n",
        },
        GB,
    ),
    "v2, clean page cache can be given up": (
        {
            **meminfo(8 * GB),
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": f"{2 * GB}\n",
            "sys/fs/cgroup/a/memory.current": f"{2 * GB}\n",
            "sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {GB // 2}\nactive_file 7\n",
        },
        GB // 2,
    ),
    "v2, no limit": (
        {
            **meminfo(8 * GB),
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.current": f"{GB}\n",
        },
        8 * GB,
    ),
    "v2, the tightest above counts": (
        {
            **meminfo(8 * GB),
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": f"{3 * GB}\n",
            "sys/fs/cgroup/a/memory.current": f"{2 * GB}\n",
            "sys/fs/cgroup/a/b/memory.max": f"{4 * GB}\n",
            "sys/fs/cgroup/a/b/memory.current": f"{GB}\n",
        },
        GB,
    ),
    "over the limit is nothing left": (
        {
            **meminfo(8 * GB),
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": f"{GB}\n",
            "sys/fs/cgroup/a/memory.current": f"{2 * GB}\n",
        },
        0,
    ),
    "a wide group on a full machine": (
        {
            **meminfo(GB // 4),
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.max": f"{4 * GB}\n",
            "sys/fs/cgroup/a/memory.current": "0\n",
        },
        GB // 4,
    ),
    "v1": (
        {
            **meminfo(8 * GB),
            "proc/self/cgroup": "4:memory:/a\n0::/\n",
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{2 * GB}\n",
            "sys/fs/cgroup/memory/a/memory.usage_in_bytes": f"{GB}\n",
            "sys/fs/cgroup/memory/a/memory.stat": f"inactive_file 1\ntotal_inactive_file {GB // 4}\n",
        },
        GB + GB // 4,
    ),
    "v1, no limit is a very large one": (
        {
            **meminfo(8 * GB),
            "proc/self/cgroup": "4:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GB}\n",
        },
        8 * GB,
    ),
}


@pytest.mark.parametrize("name", MEMORY)
def test_available_memory(name: str, tree: Tree) -> None:
    files, left = MEMORY[name]
    assert memory.available(tree(files)) == left


def test_the_rest_of_the_address_space_counts() -> None:
    left = memory.available()
    with address_space(100 << 20):
        assert 90 << 20 < memory.available() <= 100 << 20
        with pytest.raises(NotEnoughMemory):
            memory.require(110 << 20)
    assert memory.available() == pytest.approx(left, rel=0.5)


def test_require_says_what_was_wanted_and_what_is_there() -> None:
    left = memory.available()
    memory.require(1 << 20)
    with pytest.raises(NotEnoughMemory) as caught:
        memory.require(left * 2)
    assert caught.value.wanted == left * 2
    assert caught.value.available == pytest.approx(left, rel=0.5)
    assert isinstance(caught.value, MemoryError)
    assert str(left * 2) in str(caught.value)


@pytest.mark.parametrize("text", ["", "max\n", "1 2\n"])
def test_group_file_without_a_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    assert cgroup.number(tmp_path / "x") is None
    assert cgroup.field(tmp_path / "x", ("name",)) is None


needs_rollup = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc/self/smaps_rollup"
)


@needs_rollup
def test_rollup_of_this_process_adds_up() -> None:
    found = procfs.rollup()
    assert found is not None
    assert 0 < found.private_dirty <= found.uss <= found.pss <= found.rss
    assert found.uss + found.shared == found.rss


@needs_rollup
def test_rollup_sees_private_memory() -> None:
    before = procfs.rollup()
    # A mapping of its own: the heap might serve it from memory that is there already.
    ballast = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, 32 << 20, mmap.PAGESIZE):
        ballast[page] = 1
    after = procfs.rollup()
    assert before is not None
    assert after is not None
    for name in ("rss", "pss", "uss", "private_dirty"):
        grown = getattr(after, name) - getattr(before, name)
        assert 24 << 20 < grown < 48 << 20, name
    ballast.close()


@needs_rollup
def test_rollup_of_a_process_by_number_is_that_of_self() -> None:
    assert procfs.rollup(os.getpid()) is not None


def test_rollup_of_nobody() -> None:
    assert procfs.rollup(2**31 - 1) is None


def test_descendants_of_a_childless_process() -> None:
    assert procfs.descendants(2**31 - 1) == []


def test_counter_of_the_out_of_memory_killer_is_a_count() -> None:
    assert procfs.oom_kills() >= 0


def test_counter_of_the_out_of_memory_killer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(procfs, "_PROC", tmp_path)
    assert procfs.oom_kills() == 0
    (tmp_path / "vmstat").write_text("pgfault 3\noom_kill 17\nother 5\n")
    assert procfs.oom_kills() == 17
