"""The plan of a message: which bytes are copied, which are referred to, which stay together."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import onecopy
from onecopy._codec.arrays import buffer_view_of
from onecopy._codec.buffers import BufferView, CopyPlan, plan
from onecopy._codec.codec import layout
from onecopy._codec.store import ALIGN
from onecopy._memory.segment import registry
from tests.arrays import Array


def planned(*arrays: Array, sealed: bool = False) -> CopyPlan:
    return plan([buffer_view_of(array) for array in arrays], sealed=sealed)


def runs(made: CopyPlan) -> list[int]:
    return [entry.run for entry in made.entries]


def test_span_of_every_layout() -> None:
    whole = np.arange(24.0).reshape(4, 6)
    start = whole.__array_interface__["data"][0]
    cases: list[tuple[Array, int, int, int]] = [
        (whole, 0, 192, 0),
        (whole.T, 0, 192, 0),
        (whole[1], 48, 96, 0),
        (whole[:, 2], 16, 16 + 3 * 48 + 8, 0),
        (whole[::-1], 0, 192, 144),
        (whole[2:0:-1, ::-2], 56, 144, 144 - 56 - 8 + 0),
    ]
    for view, low, high, first in cases:
        span = buffer_view_of(view)
        assert (span.low - start, span.high - start) == (low, high)
        assert span.low + span.first == view.__array_interface__["data"][0]
        assert span.nbytes == view.nbytes
        assert span.strides == view.strides
        if view is not cases[-1][0]:
            assert span.first == first


def test_plain_arrays_each_make_a_run() -> None:
    one, two = np.zeros(5), np.zeros(7)
    made = planned(one, two)
    assert sorted(run.size for run in made.runs) == [40, 56]
    assert sorted(runs(made)) == [0, 1]
    assert made.copied == 96


def test_views_that_can_be_written_to_have_runs_of_their_own() -> None:
    whole = np.zeros((10, 10))
    made = planned(whole[2:4], whole, whole[:, 1], whole[::-1], whole[2:4])
    assert sorted(runs(made)) == [0, 1, 2, 3, 4]
    assert made.copied == 160 + 800 + 80 + 800 + 160


def test_read_only_views_have_runs_of_their_own_too() -> None:
    """Their copies can be written to, as after pickling."""
    whole = np.zeros((10, 10))
    whole.flags.writeable = False
    made = planned(whole[2:4], whole, whole[:, 1], whole[::-1])
    assert sorted(runs(made)) == [0, 1, 2, 3]
    assert all(entry.writable for entry in made.entries)


def test_sealed_views_that_overlap_make_one_run() -> None:
    whole = np.zeros((10, 10))
    made = planned(whole[2:4], whole, whole[:, 1], whole[::-1], sealed=True)
    assert runs(made) == [0, 0, 0, 0]
    assert [entry.offset for entry in made.entries] == [160, 0, 8, 720]
    assert made.copied == 800


def test_a_read_only_view_of_what_can_be_written_to_has_its_own_run() -> None:
    whole = np.zeros(100)
    part = whole[10:20]
    part.flags.writeable = False
    assert len(planned(whole, part).runs) == 2


def test_sealed_views_that_overlap_only_in_a_chain_make_one_run() -> None:
    whole = np.zeros(100)
    made = planned(whole[:40], whole[60:], whole[30:70], sealed=True)
    assert runs(made) == [0, 0, 0]
    assert made.copied == 800


def test_sealed_views_inside_another_make_one_run_with_it() -> None:
    whole = np.zeros(100)
    made = planned(whole, whole[10:12], whole[50:52], whole[90:], sealed=True)
    assert runs(made) == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(3, 5), (5,), (2, 1, 5)])
def test_a_broadcast_array_that_can_be_written_to_is_sent_whole(shape: tuple[int, ...]) -> None:
    """Its elements have memory of their own on the other side, as after pickling."""
    strides = (*(0 for _ in shape[:-1]), 8) if len(shape) > 1 else (4,)
    array = np.lib.stride_tricks.as_strided(np.arange(9.0), shape, strides)
    made = planned(array)
    assert made.copied == array.nbytes
    target = bytearray(array.nbytes)
    made.runs[0].copy_to(memoryview(target))
    (entry,) = made.entries
    got = np.ndarray(shape, array.dtype, target, entry.offset, entry.strides)
    assert (got == array).all()


def test_a_read_only_broadcast_array_is_sent_as_it_is() -> None:
    array = np.broadcast_to(np.zeros(100), (1000, 100))
    assert planned(array).copied == 800


def test_neighbours_make_two_runs() -> None:
    whole = np.zeros(100)
    assert len(planned(whole[:50], whole[50:]).runs) == 2


@pytest.mark.parametrize(("step", "size"), [(1, 800), (2, 792), (3, 272), (50, 16)])
def test_gaps_of_sealed_views_are_left_out_when_there_are_more_of_them_than_elements(
    step: int, size: int
) -> None:
    made = planned(np.zeros(100)[::step], sealed=True)
    assert made.copied == size


@pytest.mark.parametrize("step", [1, 2, 3, 50, -1])
def test_gaps_of_other_views_are_left_out(step: int) -> None:
    array = np.zeros(100)[::step]
    assert planned(array).copied == array.nbytes


def test_gathered_views_that_are_sealed_keep_the_order_of_their_axes() -> None:
    array = np.zeros((8, 9, 10)).transpose(1, 2, 0)[::3, ::3, ::3]
    made = planned(array, sealed=True)
    (run,) = made.runs
    assert run.array is not None
    assert made.entries[0].strides == run.strides == (32, 8, 96)


def test_equal_sparse_views_that_are_sealed_make_one_run() -> None:
    whole = np.zeros(1000)
    made = planned(whole[::100], whole[::100], whole[50::100], sealed=True)
    assert made.copied == 160
    assert runs(made) == [0, 0, 1]


@pytest.mark.parametrize(
    "views",
    [
        lambda x: (x[::10], x[::10][1:]),
        lambda x: (x[::10], x[::15]),
        lambda x: (x[::10], x[5::10]),
        lambda x: (x[::20], x[10::20], x[::10]),
        lambda x: tuple(x.reshape(10, 100)[:, :2].T),
    ],
)
@pytest.mark.parametrize("sealed", [False, True])
def test_sparse_views_are_copied_without_their_gaps(views: Any, sealed: bool) -> None:
    given = views(np.arange(1000.0))
    made = planned(*given, sealed=sealed)
    assert made.copied <= sum(view.nbytes for view in given)
    targets = [bytearray(run.size) for run in made.runs]
    for run, target in zip(made.runs, targets, strict=True):
        run.copy_to(memoryview(target))
    got = [
        np.ndarray(view.shape, view.dtype, targets[entry.run], entry.offset, entry.strides)
        for view, entry in zip(given, made.entries, strict=True)
    ]
    if not sealed:
        for one, other in combinations(got, 2):
            assert not np.shares_memory(one, other)
    for theirs, ours in zip(given, got, strict=True):
        assert (theirs == ours).all()


def test_shared_memory_is_referred_to() -> None:
    shared = onecopy.share(np.arange(1000.0))
    plain = np.arange(10.0)
    made = planned(shared[5:10], plain, shared[::-1])
    assert [entry.segment is not None for entry in made.entries] == [True, False, True]
    found = registry.find(shared.__array_interface__["data"][0])
    assert found is not None
    segment, offset = found
    first, _, last = made.entries
    assert first.segment is segment
    assert (first.offset, first.length, first.writable) == (offset + 40, 40, False)
    assert (last.offset, last.strides) == (offset + 7992, (-8,))
    assert made.copied == 80


def test_what_reaches_beyond_a_segment_is_copied() -> None:
    """Two mappings may be neighbours: a view over both belongs to neither."""
    shared = onecopy.share(np.arange(1 << 17))
    found = registry.find(shared.__array_interface__["data"][0])
    assert found is not None
    span = buffer_view_of(shared)
    beyond = BufferView(
        span.low, span.low + found[0].size + 1, 0, None, False, found[0].size + 1, None
    )
    assert plan([beyond]).entries[0].segment is None


def test_flat_buffer_among_sparse_views() -> None:
    memory = bytearray(8000)
    sparse = np.frombuffer(memory)[::100]
    span = buffer_view_of(sparse)
    view = memoryview(memory)[:8]
    flat = BufferView(span.low, span.low + 8, 0, None, True, 8, view)
    for sealed in (False, True):
        made = plan([span, flat], sealed=sealed)
        assert made.entries[1].strides is None
        assert made.copied == 10 * 8 + 8


def test_runs_copy_what_they_stand_for() -> None:
    array = np.arange(60.0).reshape(6, 10)
    for view in (array, array[1:3], array.T, array[::5, ::5], array[:, 3]):
        (run,) = planned(view).runs
        target = bytearray(run.size)
        run.copy_to(memoryview(target))
        assert bytes(target) == run.to_bytes()
        made = planned(view).entries[0]
        got: Any = np.ndarray(view.shape, view.dtype, target, made.offset, made.strides)
        assert (got == view).all()


def test_runs_are_laid_out_aligned_and_apart() -> None:
    made = planned(np.zeros(3, "i1"), np.zeros(100, "i1"), np.zeros(1, "i1"))
    size, offsets = layout(made)
    ends = [offset + run.size for offset, run in zip(offsets, made.runs, strict=True)]
    assert all(offset % ALIGN == 0 for offset in offsets)
    assert all(end <= start for end, start in zip(ends, offsets[1:], strict=False))
    assert size == ends[-1]
