"""A function that submits tasks and calls itself without end: its error, and a pool that works on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import reduce
from typing import Any

import pytest

import onecopy as oc
from onecopy._system.stack import check_room
from tests.conftest import MakePool

pytestmark = pytest.mark.beside

WAYS: dict[str, Callable[[Any], object]] = {
    "submit": lambda pool: pool.submit(abs, -1),
    "apply": lambda pool: pool.apply(abs, (-1,)),
    "map": lambda pool: pool.map(abs, range(4)),
    "map_async": lambda pool: pool.map_async(abs, range(4)),
    "imap": lambda pool: list(pool.imap(abs, range(4))),
}


def plainly(act: Callable[[], object]) -> None:
    act()
    plainly(act)


def through_c(act: Callable[[], object]) -> None:
    """Calls in C have their part of the recursion limit in Python 3.11, and no frames."""
    act()
    reduce(lambda _, each: through_c(each), [act], None)


def deeper(frames: int, act: Callable[[], object]) -> object:
    return act() if frames == 0 else deeper(frames - 1, act)


@pytest.mark.parametrize("recurse", [plainly, through_c])
@pytest.mark.parametrize("way", WAYS)
def test_the_pool_works_on(
    make_pool: MakePool, engine: str, way: str, recurse: Callable[..., None]
) -> None:
    pool = make_pool(engine, 2)
    pool.map(abs, range(2))
    for frames in range(3):  # the limit is met at other calls
        with pytest.raises(RecursionError):
            deeper(frames, lambda: recurse(lambda: WAYS[way](pool)))
        works(pool)


def works(pool: oc.Pool) -> None:
    assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
    calls: list[Future[int]] = [pool.submit(abs, -n) for n in range(20)]
    assert [call.result() for call in calls] == list(range(20))
    assert pool.apply(abs, (-3,)) == 3


def test_there_is_room_or_an_error() -> None:
    """Wherever the check passes, a call that is as deep as it promises passes too."""
    passed = []

    def descend(frames: int) -> None:
        check_room()
        passed.append(frames)
        try:
            deeper(50, lambda: None)
        except RecursionError:
            raise AssertionError("there was no room") from None
        descend(frames + 1)

    with pytest.raises(RecursionError):
        descend(0)
    assert len(passed) > 100
