"""The functions sent by value that workers may keep: what it captures cannot change
without a trace."""

from __future__ import annotations

import functools
import math
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._engine.functions import Captured, Function, pace_of
from onecopy._engine.work import FutureCall


class Point(NamedTuple):
    x: Any


class Number(int):
    """A number that can have attributes, and so change."""


def module_level(x: int) -> int:
    return x


def capturing(value: Any) -> Any:
    """A function that captures `value`, and one that sets it again."""

    def function() -> Any:
        return value

    def change(new: Any) -> None:
        nonlocal value
        value = new

    return function, change


FIXED: list[Any] = [
    None,
    True,
    7,
    1.5,
    2j,
    "s",
    b"b",
    range(3),
    math,
    (),
    (1, ("a", None)),
    module_level,
    abs,
    int,
]
FIXED += [Captured, np.sin, np.mean, np.float64(1), np.str_("s")]
MUTABLE: list[Any] = [[1], {1: 2}, {3}, bytearray(b"a"), np.zeros(1), object(), Point(1), (1, [2])]
MUTABLE += [Number(3), functools.partial(abs, 1), (1, (2, {}))]


@pytest.mark.parametrize("value", FIXED, ids=repr)
def test_what_is_for_ever_as_it_is(value: Any) -> None:
    function, _ = capturing(value)
    captured = Captured(function)
    assert captured.fixed
    assert captured.unchanged()


@pytest.mark.parametrize("value", MUTABLE, ids=lambda value: type(value).__name__)
def test_what_may_change_without_a_trace(value: Any) -> None:
    function, _ = capturing(value)
    assert not Captured(function).fixed
    # Nor behind a function that is captured itself.
    outer, _ = capturing(function)
    assert not Captured(outer).fixed


@given(st.recursive(st.sampled_from(FIXED), lambda inner: st.tuples(inner, inner), max_leaves=8))
def test_tuples_of_what_is_fixed_are(value: Any) -> None:
    assert Captured(capturing(value)[0]).fixed


@given(
    st.recursive(st.sampled_from(FIXED), lambda inner: st.tuples(inner, inner), max_leaves=8),
    st.sampled_from(MUTABLE),
)
def test_one_mutable_thing_in_them_is_enough(value: Any, mutable: Any) -> None:
    assert not Captured(capturing((value, (mutable, value)))[0]).fixed


@pytest.mark.parametrize("new", [8, "other", [1]])
def test_a_variable_that_is_set_anew_is_noticed(new: Any) -> None:
    function, change = capturing("before")
    captured = Captured(function)
    change(new)
    assert not captured.unchanged()
    change("before")
    assert captured.unchanged()


def test_the_very_same_object_and_not_an_equal_one() -> None:
    function, change = capturing(float("1.5"))
    captured = Captured(function)
    change(float("1.5"))
    assert not captured.unchanged()


def test_a_variable_of_a_function_that_is_captured() -> None:
    inner, change = capturing(1)
    outer, _ = capturing((inner, 2))
    captured = Captured(outer)
    assert captured.fixed
    change(2)
    assert not captured.unchanged()


def test_a_variable_that_is_deleted() -> None:
    def make() -> tuple[types.FunctionType, Callable[[], None]]:
        value = 1

        def function() -> int:
            return value

        def forget() -> None:
            nonlocal value
            del value

        return function, forget  # type: ignore[return-value]  # a function is one

    function, forget = make()
    captured = Captured(function)
    assert captured.fixed
    forget()
    assert not captured.unchanged()
    assert not Captured(function).fixed, "it may be assigned at any time"


def test_functions_that_capture_each_other() -> None:
    def make() -> Any:
        def even(n: int) -> bool:
            return n == 0 or odd(n - 1)

        def odd(n: int) -> bool:
            return n != 0 and even(n - 1)

        return even

    assert Captured(make()).fixed


def test_attributes_and_defaults() -> None:
    def plain(a: int = 1, b: tuple[int, ...] = (2,)) -> None: ...
    def listed(a: list[int] = []) -> None: ...  # noqa: B006  on purpose
    def keyword(*, a: int = 1) -> None: ...
    def attributed() -> None: ...

    attributed.calls = 0  # type: ignore[attr-defined]  # anything can be set on a function
    functions: list[Any] = [plain, listed, keyword, attributed]
    assert [Captured(function).fixed for function in functions] == [True, False, False, False]


def test_a_function_that_is_not_at_its_name_is_looked_into(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of that name that was replaced since cannot be sent by name."""
    function, _ = capturing(module_level)
    assert Captured(function).fixed
    replaced, _ = capturing([])
    replaced.__qualname__ = replaced.__name__ = "module_level"
    assert not Captured(capturing(replaced)[0]).fixed
    monkeypatch.setattr(sys.modules[__name__], "module_level", replaced)
    assert Captured(capturing(replaced)[0]).fixed


class Scaled:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int) -> int:
        return self.by * x

    def twice(self, x: int) -> int:
        return 2 * self(x)


def test_calls_that_share_their_pace() -> None:
    def pace(function: Function | None, call: Callable[..., Any]) -> int:
        return FutureCall(function, call, (), {}, None).pace

    assert pace(Function(7, module_level, None), module_level) == 7
    assert pace(Function(8, module_level, None, pace=-5), module_level) == -5
    assert pace(None, abs) == pace_of(abs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (capturing(1)[0], capturing(2)[0]),  # the same code, sent by value with each call
        (functools.partial(module_level), functools.partial(functools.partial(module_level), 2)),
        (functools.partial(module_level), module_level),
        (Scaled(1).twice, Scaled(2).twice),
        (Scaled(1), Scaled(2)),
        (functools.partial(abs), abs),
        (Scaled, functools.partial(Scaled, 5)),
    ],
)
def test_one_function_is_expected_to_take_about_as_long(one: Any, other: Any) -> None:
    assert pace_of(one) == pace_of(other) < 0


def test_different_functions_are_not_expected_to_take_as_long() -> None:
    different: list[Any] = [module_level, capturing, abs, len, Scaled, Scaled(1), Scaled(1).twice]
    assert len({pace_of(each) for each in different}) == len(different)
    assert pace_of(functools.partial(abs)) != pace_of(functools.partial(len))
