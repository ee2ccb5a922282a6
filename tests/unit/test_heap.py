"""Memory that ``free`` has kept is returned to the system."""

from __future__ import annotations

import ctypes

import pytest

from onecopy._system import heap, procfs


def test_pages_in_the_middle_of_the_heap_are_given_back() -> None:
    """Blocks too small to be mappings of their own, between others that stay."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("needs glibc")
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(100_000) for _ in range(400)]
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    kept = blocks[::8]
    for block in blocks:
        if block not in kept:
            libc.free(block)
    before = procfs.rollup("self")
    heap.trim()
    after = procfs.rollup("self")
    for block in kept:
        assert ctypes.string_at(block, 100_000) == b"\1" * 100_000
        libc.free(block)
    assert before is not None
    assert after is not None
    assert before.uss - after.uss > 20_000_000
