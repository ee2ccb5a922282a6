"""Addresses to segments, ids to segments, and word of the dead, from any thread."""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from onecopy._memory.registry import Registry
from onecopy._memory.segment import Kind, Segment, new_segment, registry
from onecopy._system import mapping

PAGE = mapping.PAGE


class Noting:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.gone: list[int] = []

    def segment_gone(self, segment_id: int) -> None:
        self.gone.append(segment_id)

    def segment_frozen(self, segment_id: int) -> None:
        raise AssertionError("nothing was frozen")


class Still:
    """Stands for a segment, without memory."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.ended: list[int] = []

    def unmapped(self, start: int) -> None:
        self.ended.append(start)


def as_segment(still: Still) -> Any:
    return still


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4)), max_size=12),
    st.data(),
)
def test_finds_what_a_search_through_all_would(
    wishes: list[tuple[int, int]], data: st.DataObject
) -> None:
    table: Registry[Any] = Registry()
    standing: dict[int, tuple[int, Still]] = {}
    for start, size in wishes:
        if any(s < start + size and start < e for s, (e, _) in standing.items()):
            continue
        still = Still(start + 1)
        table.add(start, start + size, as_segment(still))
        standing[start] = (start + size, still)
        dies = data.draw(st.booleans())
        if dies:
            gone = data.draw(st.sampled_from(sorted(standing)))
            _, dead = standing.pop(gone)
            table.died(gone, as_segment(dead))
            assert dead.ended == [gone]
    for address in range(50):
        expected = [
            (still, address - start)
            for start, (end, still) in standing.items()
            if start <= address < end
        ]
        found: Any = table.find(address)
        assert ([found] if found else []) == expected
    assert [segment.id for segment in table.mapped()] == sorted(
        still.id for _, still in standing.values()
    )


def test_ids_are_never_given_twice() -> None:
    one: Registry[Any] = Registry()
    other: Registry[Any] = Registry()
    ids = [registry_.new_id() for registry_ in (one, other) for _ in range(1000)]
    assert len(set(ids)) == 2000
    assert all(0 < number < 1 << 64 for number in ids)


def test_segment_is_found_while_a_view_stands(backing: str) -> None:
    noting = Noting()
    registry.listeners.add(noting)
    segment = new_segment(2 * PAGE, Kind.OPEN)
    number = segment.id
    array = np.frombuffer(segment.view(100, 80))
    address = array.__array_interface__["data"][0]
    assert registry.find(address) == (segment, 100)
    assert registry.find(address + 2 * PAGE) != (segment, 100 + 2 * PAGE)
    assert segment in registry.mapped()
    del segment
    assert registry.by_id[number].has_views()
    assert noting.gone == []
    del array
    gc.collect()
    assert registry.find(address) is None
    assert number not in registry.by_id
    assert noting.gone == [number]


def test_segment_is_mapped_again_after_its_views_have_died() -> None:
    segment = new_segment(PAGE, Kind.OPEN)
    segment.view(0, 1)[:] = b"x"
    assert not segment.has_views()
    assert bytes(segment.view(0, 1)) == b"x"


def test_views_die_in_any_thread(backing: str) -> None:
    noting = Noting()
    registry.listeners.add(noting)
    boxes = []
    for _ in range(40):
        segment = new_segment(PAGE, Kind.OPEN)
        boxes.append(([segment.view(0, 10)], segment.id))
    start = threading.Barrier(4)

    def drop(mine: list[Any]) -> None:
        start.wait()
        for box, _ in mine:
            box.clear()

    del segment
    threads = [threading.Thread(target=drop, args=(boxes[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(noting.gone) == sorted(number for _, number in boxes)
    assert not any(number in registry.by_id for _, number in boxes)


def test_view_that_dies_inside_the_locked_section_waits_for_nobody() -> None:
    """The collector may run a finalizer in the very thread that holds the lock."""
    segment = new_segment(PAGE, Kind.OPEN)
    view = segment.view(0, 10)
    number = segment.id
    address = mapping.address_of(view)
    with registry._lock:
        del view, segment
        gc.collect()
        # Left for the thread that holds the lock: it is in the table until then.
        assert registry.find(address) is not None
    new_segment(PAGE, Kind.OPEN).view(0, 1)
    assert number not in registry.by_id


def test_descriptor_lives_as_long_as_the_segment() -> None:
    segment = new_segment(PAGE, Kind.OPEN)
    fd = segment.descriptor()
    view = segment.view(0, 1)
    del segment
    os.fstat(fd)
    del view
    gc.collect()
    try:
        name = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        name = ""
    assert "onecopy" not in name


def test_second_segment_of_an_id_takes_its_name() -> None:
    """The segment that a receiver in the same process makes of an announcement, as in `tests/links.py`."""
    segment = new_segment(PAGE, Kind.OPEN)
    assert registry.by_id[segment.id] is segment
    other = Segment(segment.file, Kind.OPEN, PAGE, id=segment.id)
    assert registry.by_id[segment.id] is other
    assert repr(other) == f"<Segment {segment.id:x} open {PAGE} bytes>"
