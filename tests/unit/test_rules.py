"""The rules of ``pool.options``: what is refused, and what follows from them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from onecopy import errors
from onecopy._engine.rules import Rules, byte_count
from onecopy._schedule.events import Constraints

TIMEOUT = errors.TaskTimeout("a task", 1.0)
OUT_OF_MEMORY = errors.WorkerOutOfMemory(1, limit=10, task="a task", memory=20)


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"timeout": 0}, ValueError, "seconds above 0, not 0"),
        ({"timeout": -1.5}, ValueError, "seconds above 0, not -1.5"),
        ({"timeout": float("nan")}, ValueError, "seconds above 0, not nan"),
        ({"timeout": "5"}, TypeError, "number of seconds, not '5'"),
        ({"retries": -1}, ValueError, "at least 0, not -1"),
        ({"retries": 1.0}, TypeError, "whole number, not 1.0"),
        ({"retries": None}, TypeError, "whole number, not None"),
        ({"retries": 1, "retry_on": (int,)}, TypeError, "exception classes, not <class 'int'>"),
        ({"retries": 1, "retry_on": (3,)}, TypeError, "exception classes, not 3"),
        ({"retries": 1, "retry_on": (KeyError(),)}, TypeError, r"classes, not KeyError\(\)"),
        (
            {"retries": 1, "retry_on": "ValueError"},
            TypeError,
            "exception classes, not 'ValueError'",
        ),
        ({"retries": 1, "retry_on": KeyError}, TypeError, "is a tuple of exception classes"),
        ({"retry_on": (KeyError,)}, ValueError, "retry_on needs retries"),
        ({"memory_limit": 0}, ValueError, "above 0 bytes, not 0"),
        ({"memory_limit": -5}, ValueError, "above 0 bytes, not -5"),
        ({"memory_limit": 1e9}, TypeError, "number of bytes, not 1000000000.0"),
        ({"memory_limit": "1G"}, TypeError, "number of bytes, not '1G'"),
    ],
)
def test_what_makes_no_sense(given: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        Rules(**given)


def test_numbers_of_numpy_are_numbers() -> None:
    rules = Rules(np.float32(1), np.int64(2), memory_limit=np.int64(10))  # type: ignore[arg-type]
    assert rules.limited
    assert rules.constraints == Constraints(exclusive=True, retryable=True)


@pytest.mark.parametrize(
    ("rules", "alone", "again"),
    [
        (Rules(), False, False),
        (Rules(name="a"), False, False),
        (Rules(timeout=1), True, False),
        (Rules(memory_limit=1), True, False),
        (Rules(retries=1), False, True),
        (Rules(timeout=1, retries=1), True, True),
    ],
)
def test_what_follows_for_the_scheduler(rules: Rules, alone: bool, again: bool) -> None:
    assert rules.constraints == Constraints(alone, again)
    assert rules.limited == alone
    assert rules.chunk == (1 if alone or again else None), "rules hold for each item"


@pytest.mark.parametrize("limit", [Rules(timeout=1), Rules(memory_limit=1)])
def test_threads_cannot_be_limited(limit: Rules) -> None:
    with pytest.raises(ValueError, match="a thread cannot be ended"):
        limit.check("thread")
    limit.check("fork")
    Rules(retries=3, retry_on=(OSError,), name="a").check("thread")


def test_memory_is_limited_where_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(errors.UnsupportedPlatform, match="only Linux"):
        Rules(memory_limit=1).check("spawn")
    Rules(timeout=1).check("spawn")


@pytest.mark.parametrize(
    ("error", "listed", "expected"),
    [
        (errors.WorkerDied(1, -9), (), True),
        (errors.FileTruncated(1, -7), (), True),
        (errors.WorkerDied(1, -9), (KeyError,), True),
        (errors.InitializerFailed("no"), (), False),
        (OUT_OF_MEMORY, (), False),
        (OUT_OF_MEMORY, (errors.WorkerOutOfMemory,), True),
        (OUT_OF_MEMORY, (MemoryError,), True),
        (TIMEOUT, (), False),
        (TIMEOUT, (errors.TaskTimeout,), True),
        (TIMEOUT, (OSError,), True),
        (KeyError(), (), False),
        (KeyError(), (LookupError,), True),
        (KeyError(), (ValueError, KeyError), True),
        (KeyError(), (ValueError,), False),
    ],
)
def test_what_is_worth_another_try(
    error: BaseException, listed: tuple[type[BaseException], ...], expected: bool
) -> None:
    assert Rules(retries=1, retry_on=listed).worth_another(error) == expected


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("2GB", 2 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("500 M", 500 * 10**6),
        ("64k", 64_000),
        (".5mb", 500_000),
        ("123", 123),
        ("7 B", 7),
        (2**40, 2**40),
    ],
)
def test_sizes_as_people_write_them(size: int | str, count: int) -> None:
    assert byte_count(size) == count


@pytest.mark.parametrize("size", ["", "GB", "2XB", "2 G B", "-1GB", "1e9", "2Gb/s"])
def test_what_is_no_size(size: str) -> None:
    with pytest.raises(ValueError, match="is a size"):
        byte_count(size)
    with pytest.raises(TypeError, match="is a size"):
        byte_count(2.5)
