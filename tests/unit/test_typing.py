"""The runner of `tests/typing` tells what is wrong. That it finds nothing is for ``make types``."""

from __future__ import annotations

import pytest

from tests.typing.__main__ import CHECKERS, PROGRAMS, Found, compare, expected

HERE, THERE = Found("a.py", 1, "arg-type"), Found("a.py", 2, "arg-type")


def test_what_is_expected_and_found_is_right() -> None:
    assert compare({HERE, THERE}, {HERE: "wrong type", THERE: "wrong type"}) == []


def test_an_error_that_nobody_expects() -> None:
    assert compare({HERE}, {HERE: "wrong type", THERE: "this too"}) == [
        "a.py:2: this too [arg-type]"
    ]


def test_an_error_that_is_not_found() -> None:
    assert compare({HERE, THERE}, {HERE: "wrong type"}) == ["a.py:2: no arg-type"]


def test_an_error_of_another_kind() -> None:
    assert len(compare({HERE}, {HERE._replace(kind="misc"): "wrong"})) == 2


@pytest.mark.parametrize("checker", CHECKERS)
def test_every_mark_is_read(checker: str) -> None:
    marks = sum(path.read_text("utf-8").count("# error:") for path in PROGRAMS.glob("*.py"))
    assert marks > 50
    found = expected(checker)
    assert len({(each.file, each.line) for each in found}) >= marks - 1
    assert {each.file for each in found} == {path.name for path in PROGRAMS.glob("*.py")}
