"""Small arrays: in the stream as pickle has them, where there is no difference to see.

Which views of one array stay so is in `test_codec.py`, for every size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy
from onecopy._codec.arrays import SMALL
from onecopy._codec.codec import Encoded, encode
from tests.arrays import Array, arrived, assert_same, facts
from tests.links import Ends


def has_spans(obj: Any) -> bool:
    """True if there is a buffer beside the stream."""
    encoded = encode(obj)
    assert isinstance(encoded, Encoded)
    return encoded.plan is not None


def of_bytes(size: int) -> Array:
    return np.arange(size, dtype="u1")


def rows(count: int) -> list[Array]:
    return list(np.arange(5.0 * count).reshape(count, 5))


@pytest.mark.parametrize(
    "sent",
    [
        [of_bytes(SMALL)],
        rows(50),
        [*rows(3), *rows(3)],
        {"a": np.zeros((2, 3)), "b": np.ones((2, 3), order="F"), "c": np.array(7)},
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.array(["2024-01-01"], "M8[D]"),
        np.frombuffer(b"read only", "u1"),
    ],
    ids=["limit", "rows", "tables", "orders", "records", "times", "constant"],
)
def test_small_arrays_have_no_span(sent: Any) -> None:
    assert not has_spans(sent)
    there = Ends().send(sent)
    if isinstance(sent, np.ndarray):
        sent, there = [sent], [there]
    pairs = zip(sent.values(), there.values()) if isinstance(sent, dict) else zip(sent, there)  # noqa: B905 (lengths are compared)
    assert len(there) == len(sent)
    for before, after in pairs:
        assert_same(facts(after), arrived(before), strides=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [of_bytes(SMALL + 1)],
        lambda: [of_bytes(100)[::2]],
        lambda: [onecopy.share(of_bytes(100))[:10]],
        lambda: [np.array([1, 2, 3]).view(type("Own", (np.ndarray,), {}))],
    ],
    ids=["larger", "gaps", "shared", "subclass"],
)
def test_other_arrays_have_one(make: Callable[[], Any]) -> None:
    assert has_spans(make())


def test_small_arrays_are_the_receivers_own() -> None:
    table = np.arange(20.0).reshape(4, 5)
    there = Ends().send(list(table))
    there[1][:] = -1
    assert table[1].tolist() == [5, 6, 7, 8, 9]
    assert there[0].tolist() == [0, 1, 2, 3, 4]
    assert there[2].tolist() == [10, 11, 12, 13, 14]


@settings(max_examples=200)
@given(data=st.data(), size=st.sampled_from([60, 60, SMALL + 200]))
def test_views_that_share_elements_are_apart_on_arrival(data: st.DataObject, size: int) -> None:
    """Any views of one array, in any order, with the whole among them or not."""
    whole = np.zeros(size, "u1")
    bounds = st.tuples(st.integers(0, size), st.integers(0, size), st.sampled_from([1, 1, 2]))
    cuts = data.draw(st.lists(bounds, min_size=1, max_size=6))
    sent = [whole[low : low + high : step] for low, high, step in cuts]
    if data.draw(st.booleans()):
        sent.insert(data.draw(st.integers(0, len(sent))), whole)
    there = Ends().send(sent)
    for number, view in enumerate(there, 1):
        assert not view.any()
        view[:] = number
    assert not whole.any()


def test_a_container_of_small_arrays_is_not_shared() -> None:
    assert not onecopy.is_shared([np.arange(3)])
    assert not onecopy.is_shared([onecopy.share(np.arange(1000)), np.arange(3)])
    shared = onecopy.share([np.arange(3), np.arange(4)])
    assert onecopy.is_shared(shared)
    with pytest.raises(ValueError, match="read-only"):
        shared[0][0] = 1
