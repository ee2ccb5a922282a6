"""Lists, dicts, sets and text in shared memory: what goes in comes out, equal and of its type."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import math
import pickle
import sys
import uuid
import warnings
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy import SharedDict, SharedList, SharedSet, SharedText
from onecopy._objects import columns, share_objects, sharing
from tests.links import Ends, stream


@dataclasses.dataclass
class Place:
    """A record that leaves pickling to `object`."""

    name: str
    x: float
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Key:
    """A key with an equality of its own."""

    name: str


class Point(NamedTuple):
    """A named tuple."""

    x: int
    y: float


class Odd:
    """An object whose state is not its fields."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


def shared_of(obj: Any) -> Any:
    """`share`, which says that it gives the same type back."""
    return oc.share(obj)


def same(got: Any, sent: Any) -> bool:
    """Equal, and of the same types all the way down; NaN is itself."""
    if type(got) is not type(sent):
        return False
    if isinstance(sent, float):
        return got == sent or (math.isnan(got) and math.isnan(sent))
    if isinstance(sent, list | tuple):
        return len(got) == len(sent) and all(map(same, got, sent))
    if isinstance(sent, dict):
        return same(list(got), list(sent)) and same(list(got.values()), list(sent.values()))
    if isinstance(sent, np.ndarray):
        return bool(np.array_equal(got, sent)) and got.dtype == sent.dtype
    if isinstance(sent, Place):
        return same(vars(got), vars(sent))
    return bool(got == sent)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers(allow_nan=False)
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(["\ud800", 2**63, 2**64, -(2**63), -0.0, decimal.Decimal("1.50")])
    | st.datetimes()
)
records = (
    st.fixed_dictionaries({"id": st.integers(0, 9), "box": st.lists(st.floats(), max_size=4)})
    | st.builds(Place, st.text(max_size=3), st.floats(), st.lists(st.text(max_size=2), max_size=2))
    | st.builds(Point, st.integers(), st.floats())
    | st.tuples(st.integers(), st.text(max_size=3))
)
values = st.recursive(
    scalars | records,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
        | st.fixed_dictionaries({"a": inner, "b": inner})
    ),
    max_leaves=8,
)
keys = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.fractions()
    | st.datetimes()
    | st.uuids()
    | st.builds(Key, st.text(max_size=2)),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2),
    max_leaves=3,
)
thorough = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)


# Sequences.


@thorough
@given(st.lists(values, max_size=12) | st.lists(records, max_size=12))
def test_a_list_comes_back(sent: list[Any]) -> None:
    shared: Any = oc.share(sent)
    assert isinstance(shared, SharedList)
    assert isinstance(shared, Sequence)
    assert same(shared.tolist(), sent)
    assert same([shared[at] for at in range(len(shared))], sent)
    if sent:
        assert oc.share(shared) is shared


@pytest.mark.parametrize(
    "kind", [bool, int, float, complex, str, bytes, np.float32, np.int64, np.bool_]
)
def test_values_of_one_type(kind: Any) -> None:
    sent = [kind(at % 7) for at in range(3000)]
    assert same(shared_of(sent).tolist(), sent)


@given(st.lists(st.integers() | st.none(), max_size=30), st.slices(30))
def test_a_slice_is_that_of_a_list(sent: list[Any], where: slice) -> None:
    shared = oc.share(sent)
    part = shared[where]
    assert part == sent[where]
    assert list(part) == sent[where]
    assert part[::-1] == sent[where][::-1]
    assert list(reversed(part)) == list(reversed(sent[where]))


def test_it_is_a_sequence_as_any() -> None:
    sent = [{"a": at, "b": str(at)} for at in range(5000)]
    shared: Any = oc.share(sent)
    assert shared[-1] == sent[-1]
    assert shared[np.int64(3)] == sent[3]
    assert {"a": 7, "b": "7"} in shared
    assert shared.index(sent[4000]) == 4000
    assert shared.count(sent[0]) == 1
    assert shared == tuple(sent)
    assert shared != sent[:-1]
    assert repr(oc.share([1, 2, 3, 4])) == "SharedList([1, 2, 3, ... 4 in all])"
    for wrong in (5000, -5001):
        with pytest.raises(IndexError, match="list index out of range"):
            shared[wrong]
    with pytest.raises(TypeError):
        shared["a"]
    with pytest.raises(TypeError):
        hash(shared)
    with pytest.raises(TypeError):
        shared[0] = 1


def test_what_is_decoded_is_one_s_own() -> None:
    shared = oc.share([{"a": [1, 2]}, {"a": [3]}])
    shared[0]["a"].append(9)
    assert shared[0] == {"a": [1, 2]}


def test_a_field_of_all_records() -> None:
    sent = [{"id": at, "name": f"n{at}", "ok": at % 2 == 0} for at in range(1000)]
    shared: Any = oc.share(sent)
    assert shared.fields == ("id", "name", "ok")
    ids = shared.column("id")
    assert isinstance(ids, np.ndarray)
    assert not ids.flags.writeable
    assert oc.is_shared(ids)
    assert ids.tolist() == list(range(1000))
    assert shared[10:20:3].column("id").tolist() == [10, 13, 16, 19]
    assert shared[20:10:-3].column("id").tolist() == [20, 17, 14, 11]
    assert shared[3::-1].column("id").tolist() == [3, 2, 1, 0]
    assert shared[5:5].column("id").tolist() == []
    assert shared.column("name")[3] == "n3"
    with pytest.raises(KeyError, match="they are id, name, ok"):
        shared.column("nme")
    with pytest.raises(KeyError, match="no fields"):
        shared_of([1, 2]).column("a")
    assert shared_of([Place("a", 1.0), Place("b", 2.0)]).column("x").tolist() == [1, 2]
    assert shared_of([Point(1, 1.0), Point(2, 2.0)]).column("x").tolist() == [1, 2]


def test_numbers_are_an_array() -> None:
    shared = shared_of([1.5, 2.5, 3.5])
    array = np.asarray(shared)
    assert oc.is_shared(array)
    assert array.tolist() == [1.5, 2.5, 3.5]
    assert np.asarray(shared[::-1]).tolist() == [3.5, 2.5, 1.5]
    assert np.sum(shared) == 7.5
    assert np.asarray(oc.share((1, 2, 3)), "f4").dtype == np.float32


def columns_of(obj: Any) -> set[type]:
    """The classes of columns that a structure is made of."""
    found, left = set(), [obj._column]
    while left:
        part = left.pop()
        if isinstance(part, columns.Column):
            found.add(type(part))
            left.extend(part.parts)
        elif isinstance(part, list):
            left.extend(part)
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1, "b": [1.0]}, {columns.Records, columns.Numbers, columns.Lists}),
        (Place("a", 1.0), {columns.Instances, columns.Categories, columns.Lists, columns.Numbers}),
        (Point(1, 2.0), {columns.Tuples, columns.Numbers}),
        ((1, "a"), {columns.Tuples, columns.Numbers, columns.Categories}),
        (Odd(1), {columns.Objects}),
        ({1: 2}, {columns.Objects}),
        ({"a": {"b": None}}, {columns.Records, columns.Constant}),
        ([{"a": 1}], {columns.Objects}),
        (2**70, {columns.Objects}),
        ({"a": np.zeros(3)}, {columns.Records, columns.Buffered}),
    ],
)
def test_which_column_it_is(value: Any, expected: set[type]) -> None:
    shared: Any = oc.share([value] * 300)
    assert columns_of(shared) == expected
    assert same(shared[7], value)


def test_records_of_several_shapes() -> None:
    sent = [{"a": 1}, {"a": 1, "b": 2}, None, 5, "x", {"a": 2}] * 50
    shared: Any = oc.share(sent)
    assert columns.Union in columns_of(shared)
    assert same(shared.tolist(), sent)
    many = [{f"k{at % 20}": at} for at in range(300)]
    assert columns_of(oc.share(many)) == {columns.Objects}
    assert oc.share(many) == many


def test_arrays_in_records_stand_in_the_segment() -> None:
    sent: list[dict[str, Any]] = [
        {"at": at, "values": np.arange(at, at + 1000)} for at in range(300)
    ]
    shared = oc.share(sent)
    assert isinstance(shared, SharedList)
    values = shared[7]["values"]
    assert values.tolist() == list(range(7, 1007))
    assert not values.flags.writeable
    assert oc.is_shared(values)
    strided = [np.arange(10.0)[::2] for _ in range(300)] + [np.zeros((3, 4)).T, np.zeros(0)]
    again = oc.share(strided)
    assert isinstance(again, SharedList)
    assert all(map(same, again, strided))


def test_records_of_shared_arrays_stay() -> None:
    whole = oc.share(np.arange(3000.0))
    sent = [whole[at * 10 : at * 10 + 10] for at in range(300)]
    shared = oc.share(sent)
    assert type(shared) is list
    assert oc.is_shared(shared)


# Which objects become structures.


def test_containers_of_parts_stay_and_their_parts_are_shared() -> None:
    sent = {"frame": np.zeros(1000), "names": ["a", "b"], "words": ["x"] * 1000, "n": 3}
    shared: Any = oc.share(sent)
    assert type(shared) is dict
    assert type(shared["names"]) is list
    assert isinstance(shared["words"], SharedList)
    assert oc.is_shared(shared)
    assert oc.share(shared) is shared
    assert type(oc.share((np.zeros(3), "name"))) is tuple
    pair: Any = oc.share([list(range(1000)), {at: at for at in range(1000)}])
    assert [type(part) for part in pair] == [SharedList, SharedDict]
    kept = collections.defaultdict(str, a="y" * 100_000)
    assert type(oc.share(kept)) is collections.defaultdict


def test_objects_that_stay_pickled_are_told_of() -> None:
    holder = Odd(0)
    holder.value = list(range(1_000_000))  # type: ignore[assignment]
    with pytest.warns(oc.PickledWarning, match=r"2\.\d+ MB of Python objects|MB of Python"):
        oc.share(holder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oc.share(Odd(1))


def test_what_cannot_be_pickled_is_named() -> None:
    with pytest.raises(oc.NotPicklable, match=r"object\[1\]\['out'\]"):
        oc.share([{"out": 1}, {"out": sys.stdout}])


# Text.


@given(
    st.text(st.characters(max_codepoint=255), max_size=50)
    | st.text(st.characters(max_codepoint=0xFFFF), max_size=50)
    | st.text(max_size=50),
    st.slices(60),
)
def test_text(tail: str, where: slice) -> None:
    whole = "é" * 70_000 + tail
    text: Any = oc.share(whole)
    assert isinstance(text, SharedText)
    assert str(text) == whole
    assert text == whole
    assert len(text) == len(whole)
    assert text[70_000:] == tail
    part = slice(
        where.start and where.start + 70_000, where.stop and where.stop + 70_000, where.step
    )
    assert text[part] == whole[part]
    assert text[-1] == whole[-1]
    assert hash(text) == hash(whole)


def test_text_as_any() -> None:
    text: Any = oc.share("ab\ud800" * 50_000)
    assert text[2] == "\ud800"
    assert "ab" in text
    assert "".join(text) == str(text)
    assert text != "other"
    assert repr(text).startswith("SharedText('ab")
    with pytest.raises(IndexError):
        text[150_000]
    assert oc.share("short") == "short"
    assert type(oc.share("short")) is str


# Mappings and sets.


@thorough
@given(st.dictionaries(keys, values, max_size=12))
def test_a_dict_comes_back(sent: dict[Any, Any]) -> None:
    shared: Any = oc.share(sent)
    assert isinstance(shared, SharedDict)
    assert isinstance(shared, Mapping)
    assert same(dict(shared), sent)
    assert list(shared) == list(sent)
    assert list(reversed(shared)) == list(reversed(sent))
    assert all(same(shared[key], value) for key, value in sent.items())
    assert same(list(shared.items()), list(sent.items()))
    assert "missing" not in shared or "missing" in sent


@given(st.sets(keys, max_size=12), keys)
def test_a_set_comes_back(sent: set[Any], other: Any) -> None:
    shared: Any = oc.share(sent)
    assert isinstance(shared, SharedSet)
    assert isinstance(shared, Set)
    assert set(shared) == sent
    assert shared <= sent
    assert all(key in shared for key in sent)
    assert (other in shared) == (other in sent)
    assert shared | {other} == sent | {other}
    assert shared & {other} == sent & {other}


@pytest.mark.parametrize(
    "key", [1, 0, -1, 2**61 - 1, 2**80, True, 2.0, decimal.Decimal(3), 1 + 0j, np.int64(4)]
)
def test_equal_numbers_are_one_key(key: Any) -> None:
    shared = oc.share({key: "found", "other": 0})
    for form in (int(key.real), float(key.real), complex(key), decimal.Decimal(int(key.real))):
        if key != form:  # not form != key: a Decimal raises when it meets a NumPy integer
            continue  # too large for a float
        assert shared[form] == "found"
        assert ((form, "x") in oc.share({(key, "x"): 1})) is True


def test_keys_with_an_equality_of_their_own() -> None:
    day = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    sent: dict[Any, int] = {Key("a"): 1, "a": 2, uuid.UUID(int=3): 3, day: 4, ("t", Key("b")): 5}
    shared = oc.share(sent)
    assert all(shared[key] == value for key, value in sent.items())
    east = day.astimezone(datetime.timezone(datetime.timedelta(hours=3)))
    assert shared[east] == 4
    assert Key("z") not in shared
    with pytest.raises(KeyError):
        shared[Key("z")]


def test_a_key_that_cannot_be_hashed() -> None:
    for shared in (shared_of({"a": 1}), shared_of({"a"})):
        with pytest.raises(TypeError, match="unhashable"):
            assert [1] in shared
        with pytest.raises(TypeError, match="unhashable"):
            assert ([1],) in shared


def test_as_dicts_do() -> None:
    shared: Any = oc.share({at: float(at) for at in range(2000)})
    assert shared.get(5) == 5.0
    assert shared.get(-5, "none") == "none"
    with pytest.raises(KeyError, match="2000"):
        shared[2000]
    assert shared == {at: float(at) for at in range(2000)}
    assert shared.keys() & {3, 5000} == {3}
    assert (3, 3.0) in shared.items()
    assert np.asarray(shared.column()).sum() == sum(range(2000))
    assert repr(oc.share({"a": 1})) == "SharedDict({'a': 1})"
    assert repr(oc.share({1, 2, 3, 4})).endswith("... 4 in all})")
    assert dict(oc.share(collections.Counter("aab"))) == {"a": 2, "b": 1}


def test_missing_keys_are_those_of_the_type() -> None:
    counted = shared_of(collections.Counter("aab"))
    texts = shared_of(collections.defaultdict(lambda: "none", a="y"))
    ends = Ends()
    for shared, missing in ((counted, 0), (texts, "none")):
        for each in (shared, ends.send(shared)):
            assert each["z"] == missing
            assert "z" not in each
            assert (each.get("z"), each.get("z", 7), each.get("a")) == (None, 7, each["a"])
            assert list(each) == list(shared)
    for plain in ({"a": 1}, collections.defaultdict(None, a=1)):
        with pytest.raises(KeyError):
            shared_of(plain)["z"]
    assert shared_of({})._index.find("a", lambda at: at) == -1


def test_the_table_takes_eight_bytes_a_key() -> None:
    shared: Any = oc.share(dict.fromkeys(range(100_000)))
    assert sum(array.nbytes for array in shared._index.arrays) == 8 * 100_000 + 4


# Crossing.


@pytest.mark.parametrize(
    "sent",
    [
        [{"a": at, "b": str(at) * 9} for at in range(20_000)],
        {f"key {at}": [at] for at in range(20_000)},
        {f"element {at}" for at in range(20_000)},
        "text" * 100_000,
    ],
    ids=["list", "dict", "set", "text"],
)
def test_passing_it_moves_nothing(sent: Any) -> None:
    shared = oc.share(sent)
    ends = Ends()
    there = ends.send(shared)
    assert there == shared
    assert type(there) is type(shared)
    assert ends.owner.bytes_copied == 0
    assert stream(shared) < 2500
    assert pickle.loads(pickle.dumps(shared)) == shared
    assert ends.send_back(there) == sent


def test_a_slice_moves_nothing_either() -> None:
    shared = oc.share([{"a": at} for at in range(20_000)])
    ends = Ends()
    assert ends.send(shared[5:15_000:2]) == [{"a": at} for at in range(5, 15_000, 2)]
    assert ends.owner.bytes_copied == 0


@pytest.mark.parametrize(
    "rows",
    [
        [{i: 1} for i in range(5000)] + [{"a": 1}, {"b": 2}],
        [{"a": 1}, {"b": 2}] * 5000,
        [{f"k{i % 9}": i} for i in range(100)],
        [{"a": 1, 2: 3}, {"a": 1}] * 300,
        [{str(i): i for i in range(70)}] * 300,
        [{"a": "é" * (i % 3), "b": "x"} for i in range(9000)],
        [{}, {"a": 1}] * 300,
    ],
    ids=["many kinds", "two kinds", "nine kinds", "numbers", "wide", "text", "empty"],
)
def test_dicts_of_any_keys(rows: list[Any]) -> None:
    assert list(oc.share(rows)) == rows


def test_all_that_has_another_form_is_looked_at() -> None:
    """``share`` imports what makes these forms for objects of these types alone."""
    assert all(issubclass(kind, sharing._STRUCTURED) for kind in share_objects._CONTAINERS)
