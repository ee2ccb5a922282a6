"""Who was told of a freeze, and who has answered: the table alone, no worker."""

from __future__ import annotations

import threading

from onecopy._workers.freezing import Freezes
from tests.scripts import until


def asked(freezes: Freezes, segments: list[int]) -> list[threading.Thread]:
    """Threads that wait for a freeze of each; all have asked."""
    threads = [threading.Thread(target=freezes.ask, args=(it,), daemon=True) for it in segments]
    for thread in threads:
        thread.start()
    until(lambda: len(freezes._asked) == len(segments), "asked")
    return threads


def test_two_at_once_are_told_one_after_the_other() -> None:
    freezes = Freezes(lambda: None)
    first, second = asked(freezes, [1, 2])
    assert freezes.take() == {1, 2}
    freezes.await_answers(1, set())
    first.join()
    assert second.is_alive(), "nobody has been told of the second"
    freezes.await_answers(2, {7})
    freezes.answered(2, 7)
    second.join()


def test_one_that_is_asked_for_again_is_told_again() -> None:
    freezes = Freezes(lambda: None)
    (first,) = asked(freezes, [1])
    freezes.take()
    freezes.await_answers(1, {7})
    (again,) = asked(freezes, [1])
    freezes.take()
    freezes.answered(1, 7)
    assert first.is_alive()
    assert again.is_alive(), "it has not been told for this one"
    freezes.await_answers(1, set())
    first.join()
    again.join()


def test_the_end_and_a_death_answer_for_all() -> None:
    freezes = Freezes(lambda: None)
    first, second = asked(freezes, [1, 2])
    freezes.take()
    freezes.await_answers(1, {7})
    freezes.gone(7)
    first.join()
    freezes.end()
    second.join()
