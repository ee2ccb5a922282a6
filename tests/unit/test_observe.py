"""The owner's diary, failures, lines and stacks: exact, and in bounded memory."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._observe.columns import DIARY, OWNER_DOES, dtype_of
from onecopy._observe.diary import CALLBACKS, ITERABLE, PACKING, Diary
from onecopy._observe.failures import Failures
from onecopy._observe.lines import NOWHERE, is_programs_file, line_of_caller
from onecopy._observe.profile import Profile

STRETCH = st.tuples(st.integers(0, 4), st.integers(0, 10**11), st.integers(0, 10**10))


@given(st.lists(STRETCH, max_size=40))
def test_a_diary_s_sums_are_exact(stretches: list[tuple[int, int, int]]) -> None:
    diary = Diary(1000)
    for kind, begin, took in stretches:
        diary.add(kind, 1000 + begin, 1000 + begin + took)
    rows = np.array(diary.rows(), dtype_of(DIARY))
    for kind, name in enumerate(OWNER_DOES):
        assert rows[name].sum() == sum(took for each, _, took in stretches if each == kind)
    assert len(rows) <= 4096
    if len(rows) > 1:
        assert np.ptp(np.diff(rows["time"])) == 0, "all slots are equally wide"


def test_the_last_slot_may_be_in_use() -> None:
    diary = Diary(0)
    diary.add(PACKING, 0, 4096 * diary.width - 1)
    assert sum(row[1 + PACKING] for row in diary.rows()) == 4096 * diary.width - 1


def test_a_slot_is_fine_for_a_short_run_and_coarse_for_a_long_one() -> None:
    diary = Diary(0)
    diary.add(ITERABLE, 0, 1)
    assert diary.width < 1_000_000
    hour = 3600 * 10**9
    diary.add(ITERABLE, hour - 1, hour)
    assert diary.width <= hour / 2048


def test_what_comes_after_tasks_is_remembered() -> None:
    diary = Diary(5)
    diary.add(ITERABLE, 10, 20)
    assert diary.last == 5
    diary.add(CALLBACKS, 10, 20)
    assert diary.last == 20


def test_nobody_waits_for_the_diary() -> None:
    diary = Diary(0)
    with diary._lock:
        diary.add(ITERABLE, 0, 10)  # as from a finalizer, in the middle of it
    assert diary.rows() == [(0, 0, 0, 0, 0, 0)]


def test_failures_are_bounded() -> None:
    failures = Failures()
    for number in range(1000):
        failures.add(0, ValueError(f"bad {number}"), number)
    failures.add(1, KeyError("k" * 10_000), 7, 3)
    found = failures.all()
    assert len(found) == 202
    assert sum(each.number for each in found) == 1003
    assert max(len(each.message) for each in found) <= 200


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_a_message_that_raises() -> None:
    failures = Failures()
    failures.add(0, Hostile(), 0)
    assert "raised RuntimeError" in failures.all()[0].message


def test_the_line_is_the_program_s() -> None:
    here = sys._getframe()
    assert line_of_caller(here) == (__file__, here.f_lineno)
    assert [line_of_caller(sys._getframe())[0] for _ in range(1)] == [__file__]
    assert line_of_caller(None) == NOWHERE
    for name in (threading.__file__, np.__file__, pytest.__file__, "<frozen importlib._bootstrap>"):
        assert not is_programs_file(name)
    assert is_programs_file("<stdin>")


def test_stacks_merge_and_are_bounded() -> None:
    profile = Profile()
    stack = (("f", "a.py", 1),)
    profile.add([("f", stack, 5), ("g", (), 1)])
    profile.add([("f", stack, 7)])
    assert profile.all() == [("f", stack, 12), ("g", (), 1)]
    profile.add([("f", (("f", "a.py", line),), 1) for line in range(30_000)])
    assert len(profile.all()) <= 20_001
    assert sum(spent for *_, spent in profile.all()) == 13 + 30_000
