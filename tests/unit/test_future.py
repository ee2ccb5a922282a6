"""The lazy future behaves as the standard library's, before and after anybody waits."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError, Future, InvalidStateError, as_completed, wait
from typing import Any

import pytest

from onecopy._engine.future import TaskFuture


@pytest.fixture(params=[False, True], ids=["untouched", "looked at"])
def future(request: pytest.FixtureRequest) -> TaskFuture:
    made = TaskFuture()
    if request.param:
        assert not made.cancelled()  # makes its condition
    return made


def test_result(future: TaskFuture) -> None:
    assert isinstance(future, Future)
    assert not future.done()
    assert future.set_running_or_notify_cancel()
    assert future.running()
    future.set_result(5)
    assert future.done()
    assert not future.running()
    assert future.result() == 5
    assert future.exception() is None
    assert not future.cancel()


def test_exception(future: TaskFuture) -> None:
    error = ValueError("x")
    future.set_running_or_notify_cancel()
    future.set_exception(error)
    with pytest.raises(ValueError, match="x") as caught:
        future.result()
    assert caught.value is error
    assert future.exception() is error


def test_callbacks_before_and_after(future: TaskFuture) -> None:
    called: list[Any] = []
    future.add_done_callback(lambda f: called.append(("before", f.result())))
    future.set_result(1)
    future.add_done_callback(lambda f: called.append(("after", f.result())))
    assert called == [("before", 1), ("after", 1)]


def test_a_late_callback_is_called_at_once() -> None:
    future = TaskFuture()
    future.set_result(1)
    called: list[Any] = []
    future.add_done_callback(called.append)
    assert called == [future]


def test_cancel(future: TaskFuture) -> None:
    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    assert not future.set_running_or_notify_cancel()
    with pytest.raises(CancelledError):
        future.result()


def test_timeout(future: TaskFuture) -> None:
    with pytest.raises(TimeoutError):
        future.result(timeout=0)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)


def test_set_twice_is_an_error_once_somebody_looks(future: TaskFuture) -> None:
    future.set_result(1)
    assert future.exception() is None
    with pytest.raises(InvalidStateError):
        future.set_result(2)


def test_wait_and_as_completed() -> None:
    futures = [TaskFuture() for _ in range(6)]
    for future in futures[:3]:
        future.set_result(0)

    def finish() -> None:
        for future in futures[3:]:
            future.set_result(0)

    thread = threading.Thread(target=finish)
    assert len(wait(futures, timeout=0).done) == 3
    thread.start()
    ended: set[Future[Any]] = set(as_completed(list[Future[Any]](futures)))
    assert ended == set(futures)
    thread.join()
    assert not wait(futures).not_done


def test_no_waiter_is_missed() -> None:
    """Two threads race for each of many futures: one waits, the other sets."""
    futures = [TaskFuture() for _ in range(3000)]
    got: list[int] = []

    def fetch() -> None:
        got.extend(future.result(timeout=30) for future in futures)

    thread = threading.Thread(target=fetch)
    thread.start()
    for number, future in enumerate(futures):
        future.set_result(number)
    thread.join()
    assert got == list(range(3000))


def test_repr(future: TaskFuture) -> None:
    assert "state=pending" in repr(future)


@pytest.mark.parametrize("what", ["set_result", "set_exception"])
def test_an_outcome_is_set_once(future: TaskFuture, what: str) -> None:
    future.set_running_or_notify_cancel()
    future.set_result(1)
    with pytest.raises(InvalidStateError):
        getattr(future, what)(ValueError())
    assert future.result() == 1


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


def test_an_exception_that_is_falsy(future: TaskFuture) -> None:
    future.set_exception(Falsy("x"))
    with pytest.raises(Falsy):
        future.result()


def test_raising_leaves_no_cycle() -> None:
    future = TaskFuture()
    future.set_exception(ValueError("x"))
    gone = weakref.ref(future)
    gc.disable()
    try:
        with pytest.raises(ValueError, match="x"):
            future.result()
        del future
        assert gone() is None
    finally:
        gc.enable()
