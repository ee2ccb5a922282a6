"""The things that one message keeps together: views, identity, buffers of every kind, large streams.

Arrays one by one are in `test_arrays.py`; the decisions behind them in
`test_buffers.py`.
"""

from __future__ import annotations

import array as std_array
import ctypes
import gc
import pickle
import sys
import tracemalloc
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy
from onecopy._codec.codec import (
    CUTOFF,
    Encoded,
    encode,
    encode_arguments,
    encode_few,
    encode_result,
)
from onecopy._codec.pickling import NOTHING
from onecopy._launch import resolve
from onecopy.errors import NotPicklable
from tests.arrays import Array, arrays, assert_same, facts
from tests.links import Ends, Far

SMALL, LARGE = 40, 5 * CUTOFF


@pytest.fixture(
    params=["argument", "result", "share", "shared argument", "to host", "from host", "shared far"]
)
def journey(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Each way an object can come to stand elsewhere."""
    ends, far = Ends(), Far()
    ways: dict[str, Callable[[Any], Any]] = {
        "argument": ends.send,
        "result": ends.send_back,
        "share": onecopy.share,
        "shared argument": lambda obj: ends.send(onecopy.share(obj)),
        "to host": far.send,
        "from host": far.send_back,
        "shared far": lambda obj: far.send(onecopy.share(obj)),
    }
    return ways[request.param]


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_views_that_can_be_written_to_are_apart(size: int) -> None:
    """As after pickling: a write to one is seen in no other."""
    ends = Ends()
    for send in (ends.send, ends.send_back):
        whole = np.arange(float(size)).reshape(-1, 10)
        sent = (whole, whole[2:3], whole[:, 1], whole.T, whole[::-1], whole[:])
        there = send(sent)
        for at, view in enumerate(there):
            np.testing.assert_array_equal(view, sent[at])
            view[...] = -1.0
        assert whole[2, 1] == 21.0


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_views_of_one_array_share_one_copy_where_nobody_can_write(
    journey: Callable[[Any], Any], size: int
) -> None:
    whole = np.arange(float(size)).reshape(-1, 10)
    there = journey({"a": whole, "b": whole[2:4], "c": whole[:, 1]})
    assert (there["c"] == whole[:, 1]).all()
    together = not there["a"].flags.writeable
    assert np.shares_memory(there["a"], there["b"]) == together
    assert np.shares_memory(there["a"], there["c"]) == together


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_one_object_twice_is_one_object_twice(journey: Callable[[Any], Any], size: int) -> None:
    whole = np.arange(float(size))
    there = journey([whole, {"again": whole}])
    assert there[0] is there[1]["again"]


@pytest.mark.parametrize("step", [10, 1000])
def test_one_column_twice_is_sent_twice_and_shared_once(step: int) -> None:
    """Each `records["val"]` is a new object on the same memory."""
    ends = Ends()
    whole = np.arange(float(CUTOFF * step // 10))
    there = ends.send((whole[::step], whole[::step]))
    there[0][1] = -1.0
    assert (there[1] == whole[::step]).all()
    one, other = onecopy.share((whole[::step], whole[::step]))
    assert np.shares_memory(one, other)


def test_arrays_that_only_touch_stay_apart() -> None:
    ends = Ends()
    whole = np.arange(20.0)
    left, right = ends.send((whole[:10], whole[10:]))
    assert not np.shares_memory(left, right)
    assert right.base is not left.base


def test_fields_of_long_records_do_not_carry_the_records() -> None:
    ends = Ends()
    records = np.zeros(CUTOFF, [("a", "f4"), ("pad", "V192"), ("b", "f4")])
    records["a"], records["b"] = np.arange(CUTOFF), np.arange(CUTOFF)[::-1]
    a, b = ends.send((records["a"], records["b"]))
    assert (a == records["a"]).all()
    assert (b == records["b"]).all()
    assert ends.moved() < 8 * CUTOFF + 1000


def test_message_of_plain_and_shared_views() -> None:
    ends = Ends()
    shared = onecopy.share(np.arange(float(LARGE)))
    plain = np.arange(float(SMALL))
    there = ends.send({"s": shared[5:], "p": plain, "t": shared[::-2], "q": plain[1:]})
    assert np.shares_memory(there["s"], there["t"])
    assert not there["s"].flags.writeable
    assert (there["t"] == shared[::-2]).all()
    there["p"][1] = 99
    assert there["q"][0] == 1
    assert ends.owner.bytes_copied == 0


def test_share_of_what_is_partly_shared_copies_the_rest() -> None:
    shared = onecopy.share(np.arange(float(LARGE)))
    before = {segment.id for segment in onecopy.segments()}
    both = onecopy.share({"old": shared[10:], "new": np.ones(LARGE)})
    assert np.shares_memory(both["old"], shared)
    (new,) = [s for s in onecopy.segments() if s.id not in before]
    assert LARGE * 8 <= new.nbytes < LARGE * 8 + 5000
    assert onecopy.is_shared(both)
    assert onecopy.share(both) is both


@settings(max_examples=60)
@given(st.lists(arrays(), max_size=6))
def test_many_arrays_in_one_message(sent: list[Any]) -> None:
    ends = Ends()
    for there in (ends.send(sent), ends.send_back(sent), ends.send([*map(onecopy.share, sent)])):
        assert len(there) == len(sent)
        for got, was in zip(there, sent, strict=True):
            expected = facts(was)
            assert_same(facts(got)._replace(writable=expected.writable), expected, strides=False)


# Buffers that are no arrays.


@pytest.mark.parametrize("size", [0, 1, SMALL, LARGE])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes(kind: type[bytes] | type[bytearray], size: int) -> None:
    ends = Ends()
    sent = kind(bytes(range(256)) * size)[:size]
    for there in (ends.send(sent), ends.send_back((sent,))[0]):
        assert type(there) is kind
        assert there == sent
    if size == LARGE:
        assert len(ends.body) < 1000  # through an arena, not through the socket


@pytest.mark.parametrize("size", [1, SMALL, LARGE])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_shared_bytes_are_a_read_only_memoryview(
    kind: type[bytes] | type[bytearray], size: int
) -> None:
    ends = Ends()
    sent = kind(bytes(range(256)) * size)[:size]
    shared = onecopy.share(sent)
    assert isinstance(shared, memoryview)
    assert shared.readonly
    assert bytes(shared) == sent
    there = ends.send(shared)
    assert there == sent
    assert there.readonly
    assert ends.moved() < 1000


def of_array(array: Any) -> memoryview:
    """A view of an array; NumPy's hints know its buffer protocol only from Python 3.12 on."""
    return memoryview(array)


VIEWS: dict[str, Callable[[], memoryview[Any]]] = {
    "bytes": lambda: memoryview(b"abc" * LARGE),
    "bytearray": lambda: memoryview(bytearray(b"abc")),
    "part": lambda: memoryview(bytearray(range(200)))[20:40],
    "strided": lambda: memoryview(bytearray(range(200)))[20:40:3],
    "reversed": lambda: memoryview(bytearray(range(200)))[::-1],
    "doubles": lambda: memoryview(std_array.array("d", range(10))),
    "cast": lambda: memoryview(bytearray(24)).cast("i", (2, 3)),
    "chars": lambda: memoryview(b"abcd").cast("c"),
    "empty": lambda: memoryview(b""),
    "empty doubles": lambda: of_array(np.zeros(0)),
    "empty, two dimensions": lambda: of_array(np.zeros((0, 3))),
    "no dimension": lambda: of_array(np.array(5.5)),
    "two dimensions": lambda: of_array(np.arange(6.0).reshape(2, 3)),
    "Fortran": lambda: of_array(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
    "foreign byte order": lambda: of_array(np.arange(4, dtype=">f8")),
    "half precision": lambda: of_array(np.arange(4, dtype="f2")),
    "complex": lambda: of_array(np.arange(4, dtype="c16")),
    "records": lambda: of_array(np.ones(3, "i4,f8")),
    "ctypes": lambda: memoryview((ctypes.c_int * 5)(*range(5))),
}


def of_view(view: memoryview) -> tuple[Any, ...]:
    """The parts of a memoryview that must survive."""
    size = np.asarray(view).dtype
    return size, view.shape, view.readonly, view.tobytes(), view.nbytes


@pytest.mark.parametrize("name", VIEWS)
def test_memoryview(name: str) -> None:
    ends = Ends()
    view = VIEWS[name]()
    for there in (ends.send(view), ends.send_back([view])[0]):
        assert type(there) is memoryview
        assert of_view(there) == of_view(view)


@pytest.mark.parametrize("name", VIEWS)
def test_shared_memoryview(name: str) -> None:
    ends = Ends()
    view = VIEWS[name]()
    shared = onecopy.share(view)
    there = ends.send(shared)
    for got in (shared, there):
        if view.nbytes:
            assert got.readonly
        assert (of_view(got)[:2], got.tobytes()) == (of_view(view)[:2], view.tobytes())
    assert ends.moved() < 1000


def test_memoryviews_and_arrays_of_one_memory_are_apart() -> None:
    ends = Ends()
    memory = bytearray(80_000)
    array = np.frombuffer(memory)
    there = ends.send((array, memoryview(memory)[:8]))
    there[0][0] = 1.0
    assert there[1].tobytes() == bytes(8)


def test_sparse_view_beside_a_memoryview_of_its_first_bytes() -> None:
    ends = Ends()
    memory = bytearray(80_000)
    array = np.frombuffer(memory)[::1000]
    array[...] = np.arange(10)
    there = ends.send((array, memoryview(memory)[:8]))
    assert there[0].tolist() == list(range(10))
    assert there[1].tobytes() == bytes(8)


class Buffered:
    """Pickles itself by protocol 5, as pandas, Arrow and others do."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        assert protocol == 5
        return Buffered, (pickle.PickleBuffer(self.data),)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_protocol_5_object(size: int) -> None:
    ends = Ends()
    sent = Buffered(bytearray(range(40)) * (size // 40))
    there = ends.send(sent)
    assert memoryview(there.data) == sent.data
    assert not memoryview(there.data).readonly
    shared = onecopy.share(sent)
    assert type(shared) is Buffered
    assert onecopy.is_shared(shared)
    before = ends.owner.bytes_copied
    again = ends.send(shared)
    assert memoryview(again.data).readonly
    assert memoryview(again.data) == sent.data
    assert ends.owner.bytes_copied == before


def test_protocol_5_object_on_read_only_and_fortran_memory() -> None:
    ends = Ends()
    there = ends.send(Buffered(b"abc"))
    assert memoryview(there.data).readonly
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert memoryview(ends.send(Buffered(fortran)).data).nbytes == 48


# The stream itself.


def test_large_stream_goes_through_an_arena_and_comes_back() -> None:
    ends = Ends()
    sent = ["x" * LARGE, list(range(100_000)), b"y" * LARGE]
    assert ends.send(sent) == sent
    assert len(ends.body) < 100
    ends.give_back()
    assert ends.owner.arena.used_bytes == 0


def test_small_things_travel_in_the_body() -> None:
    ends = Ends()
    ends.send((1, "two", [3.0], {"four": np.arange(4)}))
    assert len(ends.owner.arena) == 0


def test_blocks_come_back_when_the_last_view_dies() -> None:
    ends = Ends()
    there = ends.send({"a": np.zeros(LARGE), "b": np.ones(LARGE)})
    view = there["a"][3:5]
    ends.give_back()
    held = ends.owner.arena.used_bytes
    assert held == 16 * LARGE
    assert ends.worker.borrowed == 2
    del there
    gc.collect()
    ends.give_back()
    assert ends.owner.arena.used_bytes == 8 * LARGE
    assert view.tolist() == [0, 0]
    del view
    ends.give_back()
    assert ends.owner.arena.used_bytes == 0
    assert ends.worker.borrowed == 0


def test_what_cannot_be_pickled_is_named_and_nothing_is_copied() -> None:
    ends = Ends()
    generator = (i for i in range(3))
    with pytest.raises(NotPicklable, match=r"object\['b'\]\[1\] \(a generator\)"):
        ends.send({"a": np.zeros(LARGE), "b": [1, generator]})
    assert len(ends.owner.arena) == 0
    assert ends.owner.new == []


def test_many_plain_and_shared_arrays_in_one_message() -> None:
    ends = Ends()
    shared = [onecopy.share(np.full(10, i)) for i in range(300)]
    plain = [np.full(10, -i) for i in range(300)]
    there = ends.send([*zip(plain, shared, strict=True)])
    assert all((a[0], b[0]) == (-i, i) for i, (a, b) in enumerate(there))
    assert ends.owner.bytes_copied <= len(ends.body) + 300 * 400


def test_empty_buffers_beside_others() -> None:
    ends = Ends()
    sent: dict[str, Any] = {"none": Buffered(b""), "view": memoryview(b""), "some": np.arange(5)}
    for there in (ends.send(sent), onecopy.share(sent), ends.send(onecopy.share(sent))):
        assert memoryview(there["none"].data).nbytes == 0
        assert there["view"] == b""
        assert there["some"].tolist() == [0, 1, 2, 3, 4]
    shared = onecopy.share(sent)
    assert onecopy.is_shared(shared)
    nothing = {"none": Buffered(b"")}
    assert onecopy.share(nothing) is nothing


@pytest.mark.parametrize(
    "name", ["cloudpickle.cloudpickle", "numpy", "onecopy._codec.arrays", "multiprocessing"]
)
def test_while_another_thread_imports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the middle of its import is there, and has none of its names yet."""
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    call = (Encoded, (1, b"x"), "a"), {"function": encode_arguments}
    encoded = encode_arguments(*call, NOTHING)
    assert isinstance(encoded, Encoded)
    assert pickle.loads(encoded.stream()) == call
    assert resolve("auto") in ("fork", "forkserver", "spawn")


FEW: list[Any] = [
    *([1, 2.5, None], ["a", b"b"], [True] * 64, list(range(100)), [], range(7), range(9, 0, -2)),
    *([1, "x" * LARGE], [b"x" * LARGE], ["é" * CUTOFF], [10**200_000], [(1, 2)], [np.float64(1)]),
]


@pytest.mark.parametrize("items", FEW, ids=lambda items: f"{type(items).__name__} {len(items)}")
def test_few_items_are_as_many(items: Any) -> None:
    """Whatever short way they take, they come out as they went in."""
    ends = Ends()
    for encoded in (
        encode_few(items) or encode(items, NOTHING, "items"),
        encode_result(items, NOTHING),
        encode_arguments((items,), {}, NOTHING),
    ):
        got = ends.carry(encoded)
        got = got[0][0] if type(got) is tuple else got
        assert got == items
        assert type(got) is type(items)
        assert [type(item) for item in got] == [type(item) for item in items]


SMALL_ARRAYS: list[Array] = [
    np.arange(5.0), np.zeros((0, 3)), np.array(7), np.asfortranarray(np.ones((3, 4), "i2")),
    np.zeros(4, [("a", "i4"), ("b", "f8", 2)]), np.array(["x", "longer"]),
    np.array(["2026-01-01"], "M8[D]"),
]  # fmt: skip


@pytest.mark.parametrize("array", SMALL_ARRAYS, ids=lambda array: f"{array.dtype} {array.shape}")
def test_a_small_array_is_pickled_as_pickle_does(array: Array) -> None:
    ends = Ends()
    for encoded in (
        encode_few([array, array, 1]),
        encode_result(array, NOTHING),
        encode_arguments((array, "x"), {}, NOTHING),
    ):
        assert type(encoded) is bytes
        got = ends.carry(encoded)
        if type(got) is list:
            assert got[0] is got[1], "one object stays one"
            got = got[0]
        elif type(got) is tuple:
            got = got[0][0]
        np.testing.assert_array_equal(got, array)
        assert (got.dtype, got.shape, got.flags.writeable) == (array.dtype, array.shape, True)


def test_other_arrays_are_looked_at() -> None:
    base = np.arange(20.0)
    objects = np.array([lambda: 1], object)
    others = np.array([1], ">i4"), np.array([], ">M8[D]")
    for array in (base[2:5], objects, np.zeros(100), onecopy.share(base), *others):
        assert encode_few([array]) is None
    one, other = Ends().carry(encode_result([base[:3], base[1:4]], NOTHING))
    one[1] = 99
    assert other[0] == 1


def test_long_text_is_not_copied_to_be_looked_at() -> None:
    long = b"x" * 20_000_000
    makers: list[Callable[[], Any]] = [
        lambda: encode_arguments((1, long), {}, NOTHING),
        lambda: encode_arguments((long, onecopy.share(np.ones(9))), {}, NOTHING),
        lambda: encode_few([long, 1]) or encode([long, 1], NOTHING, "items"),
        lambda: encode_result(long, NOTHING),
        lambda: encode_result([long], NOTHING),
    ]
    for make in makers:
        make()
        tracemalloc.start()
        encoded = make()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(encoded, Encoded)
        assert peak < 1_000_000


def test_code_sent_by_value_keeps_the_name_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    known = cloudpickle.Pickler.dispatch_table[types.CodeType]

    def nameless(code: types.CodeType) -> Any:  # as of cloudpickle 3.1.3
        return known(code.replace(co_filename="<dynamic-code>"))

    monkeypatch.setitem(cloudpickle.Pickler.dispatch_table, types.CodeType, nameless)
    body = Ends().send(lambda x: lambda: x)
    assert body.__code__.co_filename == __file__
    assert body(3).__code__.co_filename == __file__
    assert body(3)() == 3
