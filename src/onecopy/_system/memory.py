"""The memory that is left for this process: the machine's, and its cgroup's.

A segment that does not fit must raise an error with sizes in it before a page is touched: the
kernel's own answer is its out-of-memory killer (cpython#114390, pytorch#26009).
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable

from ..errors import NotEnoughMemory
from . import cgroup
from .cgroup import Root

# The system's errors if there is no room: in memory, on disk, or by a limit.
_SHORT = (errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT)


def _meminfo(root: Root) -> int | None:
    try:
        with open(os.path.join(root, "proc/meminfo"), "rb") as file:
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None  # not Linux: there is only the system's own refusal
    return None


def _group_left(folder: str, limit: str, usage: str) -> int | None:
    most = cgroup.number(os.path.join(folder, limit))
    used = cgroup.number(os.path.join(folder, usage))
    if most is None or used is None:
        return None
    # Clean page cache is charged to the group but released under pressure.
    cache = cgroup.field(
        os.path.join(folder, "memory.stat"), ("total_inactive_file", "inactive_file")
    )
    return max(0, most - used + (cache or 0))


def _addresses_left() -> int | None:
    """Return what is left of this process's address space, if that is limited (ulimit -v)."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        with open("/proc/self/statm", "rb") as file:
            return max(0, limit - int(file.read().split()[0]) * resource.getpagesize())
    except OSError:
        return None  # not Linux: there is only the system's own refusal


def available(root: Root = "/") -> int:
    """Return the bytes that can be allocated without swapping or killing; a huge number if unknown.

    The minimum of MemAvailable (proc(5)), the rest of every memory cgroup, v1 or v2, above this
    process, and the rest of its address space.
    """
    figures = [_meminfo(root), _addresses_left()]
    figures += [_group_left(d, "memory.max", "memory.current") for d in cgroup.v2_folders(root)]
    figures += [
        _group_left(d, "memory.limit_in_bytes", "memory.usage_in_bytes")
        for d in cgroup.v1_folders(root, "memory")
    ]
    return min((figure for figure in figures if figure is not None), default=1 << 62)


def shortage(
    error: OSError, wanted: int, left: Callable[[], int], where: str = "memory"
) -> OSError | NotEnoughMemory:
    """Return the system's refusal of ``wanted`` bytes as NotEnoughMemory; any other error
    unchanged.

    Args:
        error: the system's error.
        wanted: the requested bytes.
        left: returns the available bytes.
        where: see ``NotEnoughMemory``.
    """
    if error.errno not in _SHORT:
        return error
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if error.errno == errno.EFBIG and limit != resource.RLIM_INFINITY:
        # Applies to a memfd as well (setrlimit(2)); Python ignores the signal.
        return NotEnoughMemory(wanted, limit, "file size (the limit is 'ulimit -f')")
    return NotEnoughMemory(wanted, left(), where)


def require(wanted: int) -> None:
    """Raise NotEnoughMemory if ``wanted`` more bytes cannot be allocated.

    Small requests are not checked: reading the figures takes about 100 microseconds.
    """
    if wanted < 1 << 20:
        return
    left = available()
    if wanted > left:
        raise NotEnoughMemory(wanted, left)
