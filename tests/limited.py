"""Real limits of memory for tests: a control group, and this process's own address space."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from onecopy._system import cgroup


def _own_group() -> Path | None:
    """This process's own memory group, where others can be made below it."""
    for folder in map(Path, (*cgroup.v2_folders(), *cgroup.v1_folders("/", "memory"))):
        limit = "memory.max" if (folder / "memory.current").exists() else "memory.limit_in_bytes"
        if (folder / limit).exists() or (folder / "memory.usage_in_bytes").exists():
            return folder
    return None


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Make a memory group of `limit` bytes, which must be empty at the end; skip the test where none
    can be made."""
    above = _own_group()
    if above is None:
        pytest.skip("needs a memory control group")
    folder = above / f"onecopy-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"needs to make control groups: {error}")
    try:
        names = (folder / "memory.max", folder / "memory.limit_in_bytes")
        there = next((name for name in names if name.exists()), None)
        if there is None:
            pytest.skip("needs the memory controller in control groups")
        there.write_text(str(limit))
        yield folder
    finally:
        folder.rmdir()


@contextmanager
def address_space(left: int) -> Iterator[None]:
    """Let this process map `left` bytes more, and no others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
