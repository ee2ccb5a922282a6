"""The places of shared objects: alone when large, together when small, freed promptly."""

from __future__ import annotations

import gc
import itertools
import mmap
import os
import threading
from typing import Any

import numpy as np
import pytest

import onecopy
from onecopy._codec.store import ALIGN
from onecopy._memory.segment import Segment, registry
from tests.arrays import Array

MB = 1 << 20


def write_message(array: Array) -> tuple[Segment, int]:
    found = registry.find(array.__array_interface__["data"][0])
    assert found is not None
    return found


def standing(segment: Segment) -> int:
    """Bytes of it that are in memory."""
    return os.fstat(segment.descriptor()).st_blocks * 512


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def is_sealed(segment: Segment) -> bool:
    """True if the kernel refuses a writable mapping of it."""
    try:
        mmap.mmap(segment.descriptor(), mmap.PAGESIZE).close()
    except PermissionError:
        return True
    return False


def share_numbers(count: int, start: int = 0) -> list[Array]:
    return [onecopy.share(np.full(10, start + i)) for i in range(count)]


def test_large_object_stands_alone_and_is_sealed(backing: str) -> None:
    one, two = onecopy.share(np.ones(MB, "i1")), onecopy.share(np.ones(MB, "i1"))
    assert write_message(one)[0] is not write_message(two)[0]
    assert write_message(one)[0].size == MB
    assert is_sealed(write_message(one)[0])
    assert write_message(one)[0].file.backing == backing


def test_small_objects_stand_together_aligned_and_apart(backing: str) -> None:
    arrays = share_numbers(1000)
    segments = {write_message(array)[0] for array in arrays}
    assert len(segments) == 1
    offsets = [write_message(array)[1] for array in arrays]
    assert all(offset % ALIGN == 0 for offset in offsets)
    assert all(b - a >= 80 for a, b in itertools.pairwise(offsets))
    assert all((array == i).all() for i, array in enumerate(arrays))
    (info,) = onecopy.segments()
    assert info.backing == backing


def test_unused_end_of_a_common_segment_costs_nothing(backing: str) -> None:
    array = onecopy.share(np.arange(10))
    segment = write_message(array)[0]
    assert segment.size == 64 * MB
    assert standing(segment) < 64 << 10


def test_common_segment_is_read_only_for_everybody_but_the_store(backing: str) -> None:
    array = onecopy.share(np.arange(10))
    segment = write_message(array)[0]
    with pytest.raises(OSError, match=r"not permitted|Bad file descriptor"):
        os.pwrite(segment.descriptor(), b"x", write_message(array)[1])
    assert array.tolist() == list(range(10))


def test_many_small_arrays_take_few_descriptors() -> None:
    before = descriptors()
    encoded = [np.full(100, number, "i4") for number in range(1000)]
    shared = [onecopy.share(array) for _ in range(10) for array in encoded]
    assert len(shared) == 10_000
    assert descriptors() - before < 100
    assert all((shared[at] == at % 1000).all() for at in range(0, 10_000, 997))


def test_many_large_objects_take_few_descriptors() -> None:
    before = descriptors()
    shared = [onecopy.share(np.full(MB, at % 100, "i1")) for at in range(300)]
    assert descriptors() - before < 100
    assert all(array[-1] == at % 100 for at, array in enumerate(shared))


def test_full_common_segment_is_followed_by_another() -> None:
    """Those below 1 MiB stand together; 64 MiB of them fill a segment."""
    shared = [onecopy.share(np.full(MB - 64, at, "i1")) for at in range(70)]
    segments = [write_message(array)[0] for array in shared]
    assert len({segment.id for segment in segments}) == 2
    assert all(map(is_sealed, segments))
    assert all((array == at).all() for at, array in enumerate(shared))


def test_memory_goes_with_the_last_object(backing: str) -> None:
    before = descriptors()
    shared = share_numbers(100)
    large = onecopy.share(np.ones(4 * MB, "i1"))
    last = shared[50][3:4]
    del shared, large
    gc.collect()
    assert len(onecopy.segments()) == 1
    assert last.tolist() == [50]
    del last
    gc.collect()
    assert onecopy.segments() == []
    assert descriptors() == before


def test_common_segment_whose_objects_died_is_not_filled_further() -> None:
    first = onecopy.share(np.arange(10))
    number = write_message(first)[0].id
    del first
    gc.collect()
    again = onecopy.share(np.arange(10))
    assert write_message(again)[0].id != number
    assert write_message(again)[1] == 0


def test_objects_die_in_any_thread_while_others_are_made() -> None:
    """Finalizers only try the store's lock: no thread waits for another, and nothing is kept."""
    failed: list[BaseException] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        try:
            start.wait()
            kept: list[Any] = []
            for at in range(300):
                kept.append(onecopy.share(np.full(50, number * 1000 + at)))
                if at % 7 == 3:
                    assert (kept[-1] == number * 1000 + at).all()
                    assert all((a == a[0]).all() for a in kept)
                    kept.clear()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    gc.collect()
    # One that died while another thread held the lock goes with the next object.
    onecopy.share(np.arange(3))
    gc.collect()
    assert onecopy.segments() == []


def test_views_in_cycles_are_given_back_by_the_collector() -> None:
    cycle: list[Any] = [onecopy.share(np.arange(MB))]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert onecopy.segments() == []


@pytest.mark.parametrize("size", [10, 2 * MB])
def test_gathered_objects(backing: str, size: int) -> None:
    """Sparse views are copied without their gaps, through a mapping of their own."""
    array = np.arange(size * 3, dtype="i1").reshape(-1, 3)[:, 1]
    shared = onecopy.share(array)
    assert (shared == array).all()
    assert shared.strides == (1,)
    with pytest.raises(OSError, match=r"not permitted|Bad file descriptor"):
        os.pwrite(write_message(shared)[0].descriptor(), b"x", 0)
