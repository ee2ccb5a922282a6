"""Parcels and what is shipped with them: references, extents, what is refused.

That objects arrive as they were is in `test_codec.py`, whose journeys lead to hosts too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import onecopy as oc
from onecopy._cluster.mirrors import Mirrors
from onecopy._cluster.shipping import PIECE, Extents, Shipping
from onecopy._codec.codec import CUTOFF, encode, encode_arguments
from onecopy._codec.parcel import BARE, RICH, VIEWS, pack
from onecopy._codec.pickling import PEER
from onecopy._memory.segment import registry
from onecopy._system import mapping
from onecopy.errors import FileTruncated, NotEnoughMemory, NotShared
from tests.arrays import arrays, arrived, assert_same, facts
from tests.limited import address_space
from tests.links import Far


def same(got: Any, sent: Any) -> None:
    assert_same(facts(got), facts(sent), strides=False)


ranges = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda r: (r[0], r[0] + r[1]))


@given(st.lists(ranges, max_size=20))
def test_extents_are_a_set_of_bytes(added: list[tuple[int, int]]) -> None:
    extents, there = Extents(), set[int]()
    for start, stop in added:
        new = {at for low, high in extents.add(start, stop) for at in range(low, high)}
        assert new == set(range(start, stop)) - there
        there |= new
        assert extents.nbytes == len(there)


@given(arrays())
def test_every_array_arrives(array: Any) -> None:
    far = Far()
    assert_same(facts(far.send(array)), arrived(array), strides=True)
    assert_same(facts(far.send_back(array)), arrived(array), strides=True)


@given(arrays(), st.booleans())
def test_every_shared_array_arrives(array: Any, alone: bool) -> None:
    shared = oc.share(array)
    far = Far()
    if alone:
        same(far.send(shared), shared)
    else:
        args, _ = far.carry(encode_arguments((shared, 1), {}, PEER))
        same(args[0], shared)
        assert args[1] == 1


class TestReferences:
    def test_scalars_are_bare(self) -> None:
        parcel, wanted = pack(encode_arguments((1, "a"), {}, PEER))
        assert parcel.kind == BARE
        assert not wanted

    @pytest.mark.parametrize("step", [1, 3, -1, -3])
    def test_a_view_needs_its_own_bytes_alone(self, step: int) -> None:
        whole = oc.share(np.arange(1_000_000, dtype="i8"))
        view = whole[1000:2000][::step]
        for payload, kind in (
            (encode_arguments((view,), {}, PEER), VIEWS),
            (encode({"view": view}), RICH),
        ):
            parcel, ((segment, start, stop),) = pack(payload)
            assert parcel.kind == kind
            assert parcel.copied == 0
            base = mapping.address_of(segment.view(0, segment.size))
            first = np.arange(1_000_000)[1000:2000][::step]
            low = whole.__array_interface__["data"][0] - base
            assert start == low + 8 * first.min()
            assert stop == low + 8 * (first.max() + 1)

    def test_the_next_object_in_the_same_page(self) -> None:
        far = Far()
        for i in range(40):
            shared = oc.share(np.full(20, i))
            assert (far.send([shared])[0] == i).all()

    def test_a_small_array_costs_its_bytes(self) -> None:
        shared = oc.share(np.arange(10_000, dtype="i8"))
        _, (wanted,) = pack(encode_arguments((shared,), {}, PEER))
        assert wanted[0].size > 100 * shared.nbytes  # it is in a common segment
        shipping = Shipping("auto")
        list(shipping.items(wanted))
        assert shipping.shipped == shared.nbytes
        assert not list(shipping.items(wanted))

    def test_a_large_one_comes_in_pieces(self) -> None:
        shared = oc.share(np.zeros(3 * PIECE // 8 + 1, dtype="i8"))
        _, (wanted,) = pack(encode_arguments((shared,), {}, PEER))
        assert len(list(Shipping("auto").items(wanted))) == 4

    @pytest.mark.parametrize("made", [lambda: oc.zeros(10), oc.Counter, oc.append_log])
    def test_open_memory_is_refused(self, made: Any) -> None:
        with pytest.raises(NotShared, match="is on the driver's machine"):
            pack(encode([made()]))

    def test_views_of_one_result_stay_views_of_one_array(self) -> None:
        # Of a segment that the driver does not have: its bytes are sent, once.
        whole = oc.share(np.arange(100_000, dtype="i8"))
        a, b, c = Far().send_back([whole[:60_000], whole[40_000:], whole[::-2]])
        same(a, whole[:60_000])
        same(b, whole[40_000:])
        same(c, whole[::-2])
        assert np.shares_memory(a, b)
        assert np.shares_memory(a, c)

    def test_a_result_that_the_driver_has_is_a_reference(self) -> None:
        whole = oc.share(np.arange(100_000, dtype="i8"))
        far = Far()
        far.send(whole)
        back = far.send_back(whole[10:-10])
        assert np.shares_memory(back, whole)


class TestMirrors:
    def test_more_bytes_come_into_the_same_segment(self) -> None:
        far = Far()
        whole = oc.share(np.arange(1_000_000, dtype="i8"))
        first = far.send(whole[:1000])
        rest = far.send(whole[-1000:])
        same(first, whole[:1000])
        same(rest, whole[-1000:])
        assert far.mirrors.sizes() == 1

    def test_a_forgotten_one_that_comes_again_is_the_same(self) -> None:
        mirrors = Mirrors(lambda segment: None)
        number = registry.new_id()
        mirrors.begin(number, mapping.PAGE)
        mirrors.fill(number, 0, b"x" * 10)
        held = mirrors.segment(number)
        mirrors.forget(number)
        assert not mirrors.knows(number)
        mirrors.begin(number, mapping.PAGE)
        mirrors.fill(number, 10, b"y" * 10)
        assert mirrors.segment(number) is held
        assert bytes(held.view(0, 20)) == b"x" * 10 + b"y" * 10

    @pytest.mark.parametrize("at_work", [False, True])
    def test_one_for_which_there_is_no_room_comes_again(self, at_work: bool) -> None:
        lacking: list[int] = []
        mirrors, number = Mirrors(lacking.append), registry.new_id()
        half, size = 8 << 20, 16 << 20
        mirrors.begin(number, size)
        mirrors.fill(number, 0, b"a" * half)
        held = mirrors.segment(number) if at_work else None
        rest = b"b" * half
        with address_space(4 << 20):
            mirrors.fill(number, half, rest)
            mirrors.fill(number, half, rest)  # what was on its way
            with pytest.raises(NotEnoughMemory):
                mirrors.segment(number)
        assert lacking == [number]
        assert mirrors.knows(number) == at_work  # else its pages are free again
        mirrors.begin(number, size)
        for at in range(0, size, half):
            mirrors.fill(number, at, rest)
        assert bytes(mirrors.segment(number).view(0, size)) == 2 * rest
        assert held is None or mirrors.segment(number) is held

    def test_nobody_else_can_write(self) -> None:
        mirrors = Mirrors(lambda segment: None)
        number = registry.new_id()
        mirrors.begin(number, mapping.PAGE)
        with pytest.raises(OSError, match="not permitted"):
            mapping.map_shared(mirrors.segment(number).descriptor(), mapping.PAGE, write=True)

    def test_a_file_that_is_the_same_is_mapped(self, tmp_path: Any) -> None:
        path = tmp_path / "a.npy"
        np.save(path, np.arange(CUTOFF))
        data = oc.load(path)
        segment = registry.find(data.__array_interface__["data"][0])
        assert segment is not None
        offer = Shipping("auto").offers(segment[0])
        assert offer is not None
        name, number, *how = offer
        assert name == "file"
        del registry.by_id[number]
        mirrors = Mirrors(lambda segment: None)
        assert mirrors.map_file(number, *how) == ""
        np.save(path, np.arange(CUTOFF) + 1)
        assert "another file" in mirrors.map_file(number, *how)
        path.unlink()
        assert "No such file" in mirrors.map_file(number, *how)

    def test_a_file_that_is_cut_is_noticed(self, tmp_path: Any) -> None:
        path = tmp_path / "a.npy"
        np.save(path, np.arange(CUTOFF))
        data = oc.load(path)
        _, (wanted,) = pack(encode_arguments((data,), {}, PEER))
        with open(path, "r+b") as file:
            file.truncate(1000)
        with pytest.raises(FileTruncated):
            list(Shipping("ship").items(wanted))
