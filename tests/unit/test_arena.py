"""Arenas: no two blocks overlap, pages are used again, and free ones can be given back."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

import onecopy
from onecopy._memory.arena import Arena, Block
from onecopy._memory.segment import registry
from onecopy._system import mapping
from onecopy.errors import NotEnoughMemory

PAGE = mapping.PAGE
UNIT = 64 << 20


def standing(block: Block) -> int:
    """Bytes of the block's segment that are in memory."""
    return os.fstat(block.segment.descriptor()).st_blocks * 512


def place(block: Block) -> tuple[int, int]:
    return block.segment.id, block.offset


def free(arena: Arena, block: Block) -> None:
    arena.free(*place(block))


def test_new_arena_holds_nothing() -> None:
    arena = Arena()
    assert (len(arena), arena.used_bytes, arena.warm_bytes) == (0, 0, 0)


@pytest.mark.parametrize("fill", ["write", "copy_from", "view"])
@pytest.mark.parametrize("again", [False, True])
def test_blocks_hold_what_is_put_in(backing: str, fill: str, again: bool) -> None:
    arena = Arena()
    data = np.arange(3 * PAGE + 5, dtype="u1")
    if again:  # the second time it is warm
        block = arena.allocate(data.nbytes)
        block.write(memoryview(bytes(data.nbytes)))
        free(arena, block)
    block = arena.allocate(data.nbytes)
    assert block.fresh is not again
    if fill == "write":
        block.write(memoryview(data.tobytes())[:100], 0)
        block.write(memoryview(data.tobytes())[100:], 100)
    elif fill == "copy_from":
        block.copy_from(data.__array_interface__["data"][0], data.nbytes)
    else:
        block.view()[:] = data.tobytes()
    assert block.segment.view(block.offset, block.length) == data.tobytes()
    assert block.segment.file.backing == backing


def test_fresh_pages_are_reserved_before_they_are_touched(backing: str) -> None:
    block = Arena().allocate(10 * PAGE)
    assert standing(block) == 0
    block.view()
    assert standing(block) >= 10 * PAGE
    assert not block.fresh


def test_second_of_a_size_takes_the_place_of_the_first(backing: str) -> None:
    arena = Arena()
    first = arena.allocate(5 * PAGE)
    first.write(memoryview(bytes(5 * PAGE)))
    before = standing(first)
    free(arena, first)
    for _ in range(10):
        again = arena.allocate(5 * PAGE)
        assert place(again) == place(first)
        assert not again.fresh
        again.write(memoryview(bytes(5 * PAGE)))
        free(arena, again)
    assert standing(first) == before
    assert len(arena) == 1


def test_warm_memory_is_taken_before_fresh() -> None:
    arena = Arena()
    blocks = [arena.allocate(PAGE) for _ in range(3)]
    free(arena, blocks[1])
    assert place(arena.allocate(PAGE)) == place(blocks[1])


def test_tightest_warm_range_is_taken() -> None:
    arena = Arena()
    large, wall, small, _end = (arena.allocate(n * PAGE) for n in (4, 1, 2, 1))
    free(arena, large)
    free(arena, small)
    assert place(arena.allocate(2 * PAGE)) == place(small)
    assert place(arena.allocate(2 * PAGE)) == place(large)
    assert wall.offset == 4 * PAGE


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1)])
def test_free_neighbours_become_one(order: tuple[int, ...]) -> None:
    arena = Arena()
    blocks = [arena.allocate(2 * PAGE) for _ in range(3)]
    for at in order:
        free(arena, blocks[at])
    assert place(arena.allocate(6 * PAGE)) == place(blocks[0])
    assert arena.warm_bytes == 0


def test_many_blocks_stand_in_one_segment() -> None:
    arena = Arena()
    blocks = [arena.allocate(1000) for _ in range(1000)]
    assert len(arena) == 1
    assert len({place(block) for block in blocks}) == 1000


def test_one_that_is_larger_than_a_unit_gets_a_segment() -> None:
    arena = Arena()
    arena.allocate(PAGE)
    block = arena.allocate(UNIT + 1)
    assert block.segment.size == UNIT + PAGE
    assert len(arena) == 2


def test_trim_gives_free_pages_back(backing: str) -> None:
    arena = Arena()
    kept, block = arena.allocate(PAGE), arena.allocate(100 * PAGE)
    for each in (kept, block):
        each.write(memoryview(b"x" * each.length))
    free(arena, block)
    before = standing(block)
    if not mapping.punch(mapping.start_of(block.segment.root()) + block.offset, PAGE):
        assert arena.trim() == 0
        assert arena.warm_bytes == 100 * PAGE
        pytest.skip("this file system cannot give back a part of a file")
    assert arena.trim() == 100 * PAGE
    assert standing(block) <= before - 100 * PAGE
    assert standing(block) >= PAGE
    assert kept.segment.view(kept.offset, PAGE) == b"x" * PAGE
    assert arena.warm_bytes == 0
    again = arena.allocate(100 * PAGE)
    assert again.fresh  # its pages are gone: they have to be reserved again
    assert place(again) == place(block)


def test_neighbours_that_were_given_back_become_one() -> None:
    arena = Arena()
    halves = [arena.allocate(UNIT // 2) for _ in range(2)]
    for half in halves:
        half.view(0, 1)[:] = b"x"
        free(arena, half)
        arena.trim()
    assert place(arena.allocate(UNIT)) == place(halves[0])
    assert len(arena) == 1


def test_idle_arena_is_trimmed_and_busy_one_is_not() -> None:
    arena = Arena()
    arena.trim_if_idle(0.0)
    free(arena, arena.allocate(PAGE))
    arena.trim_if_idle(10.0)  # something was taken since
    assert arena.warm_bytes == PAGE
    arena.trim_if_idle(11.9)
    assert arena.warm_bytes == PAGE
    arena.trim_if_idle(12.0)
    assert arena.warm_bytes in (0, PAGE)  # PAGE where the backing cannot
    block = arena.allocate(PAGE)
    arena.trim_if_idle(20.0)
    free(arena, block)
    arena.trim_if_idle(21.0)
    assert arena.warm_bytes == PAGE


def test_abandoned_blocks_are_not_used_again() -> None:
    """Processes that their dead holder started may still write there."""
    arena = Arena()
    lost, other = arena.allocate(PAGE), arena.allocate(PAGE)
    arena.abandon(*place(lost))
    assert arena.allocate(PAGE).segment is not lost.segment
    free(arena, other)
    assert len(arena) == 1


def test_last_block_of_a_retired_segment_ends_it() -> None:
    arena = Arena()
    one, other = arena.allocate(PAGE), arena.allocate(PAGE)
    number = one.segment.id
    arena.abandon(*place(one))
    assert len(arena) == 1
    arena.abandon(*place(other))
    assert len(arena) == 0
    del one, other
    assert number not in registry.by_id


def test_unknown_blocks_are_ignored() -> None:
    arena = Arena()
    block = arena.allocate(PAGE)
    arena.free(block.segment.id, block.offset + PAGE)
    arena.free(1, 0)
    arena.abandon(1, 0)
    free(arena, block)
    free(arena, block)
    assert arena.warm_bytes == PAGE
    assert arena.used_bytes == 0


def test_views_outlive_their_arena() -> None:
    arena = Arena()
    block = arena.allocate(PAGE)
    view = block.view()
    view[:5] = b"still"
    number = block.segment.id
    arena.close()
    del arena, block
    assert bytes(view[:5]) == b"still"
    del view
    assert number not in registry.by_id


def test_too_large_a_wish_takes_nothing() -> None:
    arena = Arena()
    warm = arena.allocate(PAGE)
    with pytest.raises(NotEnoughMemory) as caught:
        arena.allocate(1 << 45)
    assert caught.value.wanted == 1 << 45
    assert arena.used_bytes == PAGE
    assert standing(warm) == 0
    free(arena, warm)
    assert not arena.allocate(PAGE).fresh


def test_blocks_are_not_found_by_their_address() -> None:
    """A block belongs to its holder: it is never mistaken for shared memory."""
    block = Arena().allocate(PAGE)
    array = np.frombuffer(block.view(), "u1")
    assert not onecopy.is_shared(array)


class Blocks(RuleBasedStateMachine):
    """Allocations and returns in any order: what a block holds is no other's."""

    blocks: Bundle[tuple[Block, int]] = Bundle("blocks")

    @initialize()
    def begin(self) -> None:
        self.arena = Arena()
        self.held: dict[tuple[int, int], tuple[Block, int]] = {}
        self.marks = 0

    def teardown(self) -> None:
        self.arena.close()

    @rule(target=blocks, size=st.integers(1, 6 * PAGE) | st.sampled_from([PAGE, UNIT // 2]))
    def allocate(self, size: int) -> tuple[Block, int]:
        block = self.arena.allocate(size)
        self.marks = self.marks % 255 + 1
        # The ends of it are enough to see a neighbour that reaches in.
        block.view(0, 1)[:] = block.view(size - 1, 1)[:] = bytes([self.marks])
        assert place(block) not in self.held
        self.held[place(block)] = block, self.marks
        return block, self.marks

    @rule(target=blocks, taken=consumes(blocks), abandon=st.booleans())
    def give_back(self, taken: tuple[Block, int], abandon: bool) -> Any:
        block, _ = taken
        (self.arena.abandon if abandon else self.arena.free)(*place(block))
        self.held.pop(place(block))
        return multiple()

    @rule()
    def trim(self) -> None:
        self.arena.trim()

    @invariant()
    def blocks_are_apart_and_whole(self) -> None:
        ends: dict[int, int] = {}
        for (segment, offset), (block, mark) in sorted(self.held.items(), key=lambda item: item[0]):
            assert offset % PAGE == 0
            assert offset >= ends.get(segment, 0)
            ends[segment] = offset + block.length
            assert ends[segment] <= block.segment.size
            assert (
                bytes(block.view(0, 1)) == bytes(block.view(block.length - 1, 1)) == bytes([mark])
            )

    @invariant()
    def books_balance(self) -> None:
        held = sum(-(-block.length // PAGE) * PAGE for block, _ in self.held.values())
        assert self.arena.used_bytes == held


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=40, stateful_step_count=30)
