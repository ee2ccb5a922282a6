"""The segments of the two ends of a channel: announce, forget, lend, free."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest

import onecopy
from onecopy._codec.link import Link
from onecopy._memory.arena import Arena
from onecopy._memory.segment import Kind, Segment, registry
from onecopy._system import mapping
from tests.arrays import Array
from tests.links import Ends, announce

LARGE = 1 << 20


def segment_of(array: Array) -> Segment:
    found = registry.find(array.__array_interface__["data"][0])
    assert found is not None
    return found[0]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_segment_is_announced_once() -> None:
    ends = Ends()
    shared = onecopy.share(np.arange(LARGE))
    ends.send(shared)
    assert ends.owner.new == []
    ends.send([shared, shared[5:]])
    ends.send_back(shared)
    assert ends.owner.new == ends.worker.new == []
    assert ends.owner.knows(segment_of(shared).id)


def test_announcement_says_all_of_it() -> None:
    shared = onecopy.share(np.arange(LARGE))
    segment = segment_of(shared)
    link = Link(Arena(), keep=False)
    link.reference(segment, 10)
    assert link.bytes_shared == 10
    said, fds = link.take_new()
    assert said == [(segment.id, Kind.SHARED, segment.size, "", segment.file.backing)]
    assert os.path.sameopenfile(fds[0], segment.descriptor())
    assert link.take_new() == ([], [])


def test_worker_keeps_a_segment_mapped_until_it_is_told_to_forget() -> None:
    """Its pages are faulted in once per worker and not once per task."""
    ends = Ends()
    shared = onecopy.share(np.arange(LARGE))
    number = segment_of(shared).id
    ends.send(shared)
    theirs = registry.by_id[number]
    assert theirs is not segment_of(shared)
    assert theirs.has_views()
    ends.worker.forget(number)
    assert not theirs.has_views()
    assert not ends.worker.knows(number)


def test_owner_keeps_no_result_mapped_by_itself() -> None:
    ends = Ends()
    result = ends.send_back(onecopy.share(np.arange(LARGE)))
    number = next(iter(ends.owner._known))
    assert registry.by_id[number].has_views()
    del result
    gc.collect()
    assert not ends.owner._known[number].has_views()


def test_segment_without_views_fades_and_is_forgotten() -> None:
    ends = Ends()
    shared = onecopy.share(np.arange(LARGE))
    number = segment_of(shared).id
    ends.send(shared)
    assert not ends.owner.retire(number)  # it has views
    before = descriptors()
    del shared
    gc.collect()
    assert ends.owner.retire(number)
    assert not ends.owner.retire(number)  # told already
    ends.worker.forget(number)
    ends.owner.forgotten(number)
    assert descriptors() == before - 2
    assert number not in registry.by_id


def test_reference_that_is_on_its_way_while_the_segment_fades() -> None:
    """The worker may have returned it before it was told to forget it."""
    ends = Ends()
    shared = onecopy.share(np.arange(LARGE))
    number = segment_of(shared).id
    there = ends.send(shared)
    del shared
    gc.collect()
    assert ends.owner.retire(number)
    here = ends.send_back(there)
    assert here[5] == 5
    del there
    ends.worker.forget(number)
    ends.owner.forgotten(number)
    # It lives here again; the worker has to be told of it again.
    again = ends.send(here)
    assert ends.owner.knows(number)
    assert again[7] == 7


def test_frozen_segment_is_mapped_read_only_in_place() -> None:
    ends = Ends()
    array = onecopy.zeros(10)
    there = ends.send(array)
    there[3] = 3
    assert array[3] == 3
    registry.freeze(segment_of(array).id)
    assert there[3] == 3
    assert not ends.send(array).flags.writeable
    registry.freeze(1)  # not known: nothing to do


def test_block_is_lent_until_it_comes_back() -> None:
    ends = Ends()
    there = ends.send(np.zeros(LARGE))
    assert ends.owner.bytes_copied == 8 * LARGE
    assert ends.worker.borrowed == 1
    assert ends.owner.arena.warm_bytes == 0
    assert not ends.worker.frees
    del there
    gc.collect()
    assert len(ends.worker.frees) == 1
    assert ends.worker.borrowed == 0
    ends.give_back()
    assert ends.owner.arena.warm_bytes == 8 * LARGE


def test_blocks_that_were_not_lent_are_not_taken_back() -> None:
    """A worker that gives back what it does not hold changes nothing."""
    ends = Ends()
    block = ends.owner.arena.allocate(LARGE)
    ends.owner.came_back([(block.segment.id, block.offset), (1, 2)])
    assert ends.owner.arena.used_bytes == LARGE


def test_block_beyond_its_arena_is_refused() -> None:
    ends = Ends()
    there = ends.send(np.zeros(LARGE))
    (number,) = ends.worker._held
    with pytest.raises(ValueError, match="beyond its arena"):
        ends.worker.block_view(number, (64 << 20) - 5, 6)
    assert there[0] == 0


def test_abandoned_peer_gives_nothing_back_and_holds_nothing() -> None:
    ends = Ends()
    shared = onecopy.share(np.arange(LARGE))
    there = ends.send([np.zeros(LARGE), shared])
    (lent,) = ends.owner._lent
    ends.owner.abandon()
    assert ends.owner.arena.used_bytes == 0
    assert ends.owner.arena.warm_bytes == 0
    assert lent[0] not in {block.segment.id for block in [ends.owner.arena.allocate(LARGE)]}
    assert not ends.owner.knows(segment_of(shared).id)
    assert there[0][0] == 0


def test_retired_segment_of_an_arena_is_forgotten_by_the_others() -> None:
    """A worker that dies with a block in its hands takes the block's segment out of use.
    Its pages must not stand until the pool ends, in the hands of those who live."""
    arena = Arena()
    owner, worker = Link(arena, keep=False), Link(Arena(), keep=True)
    lost, lent = arena.allocate(LARGE), arena.allocate(LARGE)
    number = lost.segment.id
    assert lent.segment is lost.segment
    owner.lend(lent)
    announce(owner, worker)
    view = worker.block_view(number, lent.offset, LARGE)
    arena.abandon(number, lost.offset)
    assert not owner.retire(number)  # it is used still
    del view
    gc.collect()
    owner.came_back([worker.frees.popleft()])
    assert len(arena) == 0
    del lost, lent
    gc.collect()
    assert owner.retire(number)
    worker.forget(number)
    owner.forgotten(number)
    assert number not in registry.by_id
    assert not any(segment.id == number for segment in onecopy.segments())


def test_private_view_is_the_receivers_own() -> None:
    shared = onecopy.share(np.arange(LARGE))
    owner, worker = Link(Arena(), keep=False), Link(Arena(), keep=True)
    owner.reference(segment_of(shared), shared.nbytes)
    announce(owner, worker)
    view = worker.private_view(segment_of(shared).id)
    assert not view.readonly
    view[:8] = b"\xff" * 8
    assert shared[0] == 0
    assert mapping.address_of(view) != shared.__array_interface__["data"][0]


def test_hundreds_of_segments_are_announced_with_one_message() -> None:
    ends = Ends()
    many = [onecopy.full(1, number) for number in range(300)]
    there = ends.send(many)
    assert [int(array[0]) for array in there] == list(range(300))
    there[299][0] = -1
    assert many[299][0] == -1
