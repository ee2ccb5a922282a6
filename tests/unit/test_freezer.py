"""Freezing in every worker: who waits for whom. The workers are made up."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from onecopy._engine.freezer import Freezes


class Asking:
    """Callers of ``ask`` in threads of their own, and the driver's side."""

    def __init__(self) -> None:
        self.woken = threading.Semaphore(0)
        self.freezes = Freezes(self.woken.release)
        self.threads: list[threading.Thread] = []

    def ask(self, segment: int) -> threading.Event:
        """Asks in a thread; what that waits for, once it has asked."""
        thread = threading.Thread(target=self.freezes.ask, args=(segment,))
        self.threads.append(thread)
        thread.start()
        assert self.woken.acquire(timeout=30), "the driver is woken"
        _, done = self.freezes._asked[-1]
        return done


@pytest.fixture
def asking() -> Iterator[Asking]:
    made = Asking()
    yield made
    made.freezes.end()
    for thread in made.threads:
        thread.join(30)
        assert not thread.is_alive(), "no thread waits for ever"


def test_waits_for_every_worker(asking: Asking) -> None:
    done = asking.ask(5)
    assert asking.freezes.take() == {5}
    assert asking.freezes.take() == set(), "each is told once"
    asking.freezes.await_answers(5, {0, 1, 2})
    for worker in (1, 0):
        asking.freezes.answered(5, worker)
        assert not done.is_set()
    asking.freezes.answered(5, 2)
    assert done.is_set()


def test_a_worker_that_ends_is_not_waited_for(asking: Asking) -> None:
    done = asking.ask(5)
    asking.freezes.take()
    asking.freezes.await_answers(5, {1, 2})
    asking.freezes.gone(1)
    assert not done.is_set()
    asking.freezes.gone(2)
    assert done.is_set()


def test_nobody_to_wait_for(asking: Asking) -> None:
    done = asking.ask(5)
    asking.freezes.take()
    assert not done.is_set()
    asking.freezes.await_answers(5, set())
    assert done.is_set()


def test_several_segments_at_once(asking: Asking) -> None:
    first, second = asking.ask(5), asking.ask(6)
    assert asking.freezes.take() == {5, 6}
    asking.freezes.await_answers(5, {1})
    asking.freezes.await_answers(6, {1})
    asking.freezes.answered(6, 1)
    assert second.is_set()
    assert not first.is_set()
    asking.freezes.answered(5, 1)
    assert first.is_set()


def test_several_callers_for_one_segment(asking: Asking) -> None:
    first = asking.ask(5)
    asking.freezes.take()
    asking.freezes.await_answers(5, {1})
    second = asking.ask(5)
    assert asking.freezes.take() == {5}, "a worker may have been made meanwhile"
    asking.freezes.await_answers(5, {1, 2})
    asking.freezes.answered(5, 1)
    assert not second.is_set()
    asking.freezes.answered(5, 2)
    assert first.is_set()
    assert second.is_set()


def test_an_answer_between_two_askings(asking: Asking) -> None:
    """One caller's last worker answers when another has been taken, and not told yet."""
    first = asking.ask(5)
    asking.freezes.take()
    asking.freezes.await_answers(5, {1})
    second = asking.ask(5)
    asking.freezes.take()
    asking.freezes.answered(5, 1)
    assert not second.is_set()
    asking.freezes.await_answers(5, {2})
    asking.freezes.answered(5, 2)
    assert first.is_set()
    assert second.is_set()


def test_answers_that_nobody_waits_for(asking: Asking) -> None:
    asking.freezes.answered(9, 1)
    asking.freezes.gone(1)
    assert asking.freezes.take() == set()


def test_the_pool_s_end_releases_all(asking: Asking) -> None:
    told = asking.ask(5)
    asking.freezes.take()
    asking.freezes.await_answers(5, {1})
    asked = asking.ask(6)
    asking.freezes.end()
    assert told.is_set()
    assert asked.is_set()
    asking.freezes.ask(7)  # returns at once
    assert not asking.woken.acquire(blocking=False), "there is no driver any more"
