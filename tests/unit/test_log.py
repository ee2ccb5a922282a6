"""Counters and append logs in one process: exact, in order, whatever was cut off."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import onecopy as oc
from onecopy._objects import appending, log
from onecopy._system import mapping
from tests.links import Ends

PAGE = mapping.PAGE


# Counters.


def test_one_number() -> None:
    counter = oc.Counter()
    assert counter.value == 0
    counter.add()
    counter.add(n=-5)
    assert counter.value == -4
    assert repr(counter) == "Counter(value=-4)"


def test_several_by_name() -> None:
    counter = oc.Counter("good", "bad")
    assert isinstance(counter, Mapping)
    counter.add("good", 3)
    assert dict(counter) == {"good": 3, "bad": 0}
    assert list(counter.values()) == [3, 0]
    assert (counter["good"], counter.value, len(counter)) == (3, 3, 2)
    for wrong in (lambda: counter["worse"], lambda: counter.add("worse"), counter.add):
        with pytest.raises(KeyError):
            wrong()


def test_as_many_as_a_page_holds() -> None:
    names = [f"n{at}" for at in range((PAGE - 16) // 8)]
    counter = oc.Counter(*names)
    for name in names:
        counter.add(name, 2)
    assert set(counter.values()) == {2}
    with pytest.raises(ValueError, match="are the most"):
        oc.Counter(*names, "one more")


def test_bad_names() -> None:
    with pytest.raises(ValueError, match="same name"):
        oc.Counter("a", "a")
    with pytest.raises(TypeError, match="name is a str"):
        oc.Counter(5)  # type: ignore[arg-type]


def test_what_is_no_number_or_too_large_changes_nothing() -> None:
    counter = oc.Counter()
    counter.add(n=7)
    for wrong in (1.5, "x", 2**63):
        with pytest.raises((TypeError, ValueError)):
            counter.add(n=wrong)  # type: ignore[arg-type]
    assert counter.value == 7


def test_threads_lose_nothing() -> None:
    counter = oc.Counter()

    def add() -> None:
        for _ in range(2000):
            counter.add()

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 16_000


def test_a_counter_travels_and_its_copies_count_in_one_row() -> None:
    counter, ends = oc.Counter("a"), Ends()
    counter.add("a")
    for _ in range(50):  # a worker gets a copy with each task
        there = ends.send(counter)
        there.add("a")
        assert there["a"] == counter["a"]
    assert counter["a"] == 51
    assert appending.size_of(counter._segment) <= PAGE + 2 * 64
    assert ends.send_back(there)["a"] == 51


# Logs.

values = (
    st.none() | st.integers() | st.text() | st.binary(max_size=3 * PAGE) | st.lists(st.floats(0))
)


@settings(deadline=None)
@given(st.lists(values, max_size=20))
def test_values_come_in_order(sent: list[Any]) -> None:
    written = oc.append_log()
    for value in sent:
        written.append(value)
    assert list(written) == sent
    assert written.read() == sent
    assert written.read() == []
    written.append("later")
    assert written.read() == ["later"]
    assert list(written) == [*sent, "later"]


def test_anything_that_can_be_pickled() -> None:
    written = oc.append_log()
    array = np.arange(1000.0)
    for value in (array, oc.share(array)[::2], lambda: 5, {"a": array}):
        written.append(value)
    first, second, third, fourth = written
    assert first.tolist() == array.tolist()
    assert second.tolist() == array[::2].tolist()
    assert third() == 5
    assert fourth["a"].tolist() == array.tolist()
    with pytest.raises(oc.NotPicklable, match="lock"):
        written.append({"a": [threading.Lock()]})
    assert len(list(written)) == 4


def test_a_log_travels() -> None:
    written, ends = oc.append_log(), Ends()
    written.append(1)
    there = ends.send(written)
    there.append(2)
    assert written.read() == [1, 2]
    assert there.read() == [1, 2]
    assert repr(written) == f"<AppendLog of {written.nbytes} bytes>"


def cut(written: Any, value: Any, upto: int) -> None:
    """The file of a writer that is killed after `upto` bytes: as many whole pages as that."""
    data = pickle.dumps(value)
    head = log._HEAD.pack(written._page[:8].tobytes(), len(data), crc32(data))
    whole = head + data
    at = appending.size_of(written._segment)
    end = min(at + upto, at + len(whole) - 1) // PAGE * PAGE
    if end > at:
        os.write(written._segment.descriptor(), whole[: end - at])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 4 * PAGE), st.integers(0, 4 * PAGE), st.booleans()),
        max_size=12,
    )
)
def test_what_was_cut_off_hides_nothing(steps: list[tuple[bool, int, int, bool]]) -> None:
    written, expected, read = oc.append_log(), [], []
    for number, (whole, size, upto, look) in enumerate(steps):
        value = (number, b"x" * size)
        if whole:
            written.append(value)
            expected.append(value)
        else:
            cut(written, value, upto)
        if look:
            read += written.read()
            assert read == expected
    assert list(written) == expected
    assert read + written.read() == expected


def test_a_record_that_is_half_there_is_waited_for() -> None:
    written = oc.append_log()
    written.append("first")
    data = pickle.dumps("x" * 10_000)
    whole = log._HEAD.pack(written._page[:8].tobytes(), len(data), crc32(data)) + data
    fd = written._segment.descriptor()
    os.write(fd, whole[:5000])
    assert written.read() == ["first"]
    os.write(fd, whole[5000:])
    assert written.read() == ["x" * 10_000]


def test_many_records() -> None:
    written = oc.append_log()
    for number in range(50_000):
        written.append(number)
    assert list(written) == list(range(50_000))
