"""The number of CPUs that this process may use, often fewer than the machine has.

The minimum of the scheduler's affinity mask, ``PYTHON_CPU_COUNT`` / ``-X cpu_count`` (from Python
3.13 on), and the CPU quota of every cgroup above the process (joblib#1846, loky#355: a pool sized
by the machine is several times slower in a container of two CPUs).
"""

from __future__ import annotations

import math
import os

from . import cgroup
from .cgroup import Root


def _v2_quota(folder: str) -> float | None:
    try:
        with open(os.path.join(folder, "cpu.max")) as file:
            quota, period = file.read().split()[:2]
        return int(quota) / int(period)
    except (OSError, ValueError):  # the file does not exist, or contains "max"
        return None


def _v1_quota(folder: str) -> float | None:
    quota = cgroup.number(os.path.join(folder, "cpu.cfs_quota_us"))
    period = cgroup.number(os.path.join(folder, "cpu.cfs_period_us"))
    return quota / period if quota and period and quota > 0 else None


def quota(root: Root = "/") -> float | None:
    """Return the tightest CPU quota in force, in CPUs (1.5 is one and a half), or None."""
    found = [_v2_quota(folder) for folder in cgroup.v2_folders(root)]
    found += [_v1_quota(folder) for folder in cgroup.v1_folders(root, "cpu")]
    return min((value for value in found if value is not None), default=None)


def cpu_count(root: Root = "/") -> int:
    """Return the CPUs that this process may use, at least 1; a fractional quota is rounded up."""
    if hasattr(os, "process_cpu_count"):
        count = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    limit = quota(root)
    return max(1, count if limit is None else min(count, math.ceil(limit)))


cpu_count.__module__ = "onecopy"
