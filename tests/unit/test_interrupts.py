"""Sections that signals do not interrupt, and what waits in them."""

# ruff: noqa: PT012 - at which statement of a block the exception comes is what is tested

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from onecopy._codec.codec import encode
from onecopy._files.load import places
from onecopy._files.load.interface import reading
from onecopy._files.save import writing
from onecopy._system import interrupts
from onecopy._system.interrupts import Condition, Event, Uninterrupted

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="handles signals"
)


class Rang(Exception):
    """The exception of a signal's handler."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Ctrl-C raises as usual, and so does SIGUSR1."""

    def ring(*_: object) -> None:
        raise Rang

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGUSR1, ring)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_section_is_not_interrupted_and_the_handler_runs_at_its_end() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt):
        with Uninterrupted():
            steps.append("begun")
            signal.raise_signal(signal.SIGINT)
            steps.append("done")
        steps.append("after")
    assert steps == ["begun", "done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_comes_of_a_section_without_a_signal() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Uninterrupted():
        assert signal.getsignal(signal.SIGUSR1) is not before
    assert signal.getsignal(signal.SIGUSR1) is before
    with pytest.raises(ZeroDivisionError), Uninterrupted():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGUSR1) is before


def test_sections_within_each_other() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), Uninterrupted():
        with Uninterrupted():
            signal.raise_signal(signal.SIGINT)
            steps.append("inner")
        steps.append("outer")
    assert steps == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_every_signal_that_came_is_handled() -> None:
    came = []
    signal.signal(signal.SIGUSR1, lambda *_: came.append("usr1"))
    with pytest.raises(KeyboardInterrupt), Uninterrupted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGINT)
    assert came == ["usr1"]


def test_a_handler_that_the_program_sets_meanwhile_stays() -> None:
    came = []
    with Uninterrupted():
        signal.signal(signal.SIGUSR1, lambda *_: came.append("new"))
    signal.raise_signal(signal.SIGUSR1)
    assert came == ["new"]


def test_ignored_and_default_signals_are_left_alone() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Uninterrupted():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_handlers_of_an_event_loop_are_left_alone() -> None:
    async def run() -> None:
        came = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, came.set)
        handler = signal.getsignal(signal.SIGUSR1)
        with Uninterrupted():
            assert signal.getsignal(signal.SIGUSR1) is handler
            signal.raise_signal(signal.SIGUSR1)
        await asyncio.wait_for(came.wait(), 30)

    asyncio.run(run())


def test_a_wait_in_a_section_is_interrupted() -> None:
    with pytest.raises(Rang), Uninterrupted() as signals:
        interrupt_soon(signal.SIGUSR1)
        signals.pass_on(lambda: time.sleep(30))
    with pytest.raises(Rang), Uninterrupted() as signals:
        signal.raise_signal(signal.SIGUSR1)  # it came before the wait
        signals.pass_on(lambda: time.sleep(30))


def test_after_a_wait_the_section_goes_on() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), Uninterrupted() as signals:
        assert signals.pass_on(lambda: 5) == 5
        signal.raise_signal(signal.SIGINT)
        steps.append("on")
    assert steps == ["on"]


def test_a_second_signal_after_a_while_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_PATIENCE", 0.01)
    with pytest.raises(KeyboardInterrupt), Uninterrupted():
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")


def test_in_a_finalizer_the_handler_runs_later() -> None:
    class Final:
        done = False

        def __del__(self) -> None:
            with Uninterrupted(later=True):
                signal.raise_signal(signal.SIGINT)
                Final.done = True

    with pytest.raises(KeyboardInterrupt):
        Final()
        time.sleep(30)
    assert Final.done


def test_other_threads_do_not_touch_handlers() -> None:
    seen = []

    def look() -> None:
        with Uninterrupted() as signals:
            seen.append(signal.getsignal(signal.SIGINT))
            seen.append(signals.pass_on(lambda: 7))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler, 7]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_leaves_the_section() -> None:
    with Uninterrupted() as signals:
        pid = os.fork()
        if pid == 0:
            try:
                signals.leave()
                right = signal.getsignal(signal.SIGINT) is signal.default_int_handler
                os._exit(0 if right else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def interrupt_soon(number: int) -> None:
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.05, signal.pthread_kill, (main, number)).start()


def test_a_condition_s_lock_is_free_after_an_interrupted_wait() -> None:
    for lock in (None, threading.Lock()):
        condition = Condition(lock)
        with pytest.raises(Rang), condition:
            interrupt_soon(signal.SIGUSR1)
            condition.wait()
        with condition:
            assert not condition.wait(0.001)
            condition.notify_all()


def test_a_condition_is_entered_by_the_lock_s_own_method() -> None:
    """A function in Python would let a handler run between the lock and the block."""
    lock = threading.Lock()
    assert type(Condition(lock).__enter__) is type(lock.acquire)


def test_conditions_and_events_tell_all_threads() -> None:
    condition, event = Condition(), Event()
    waiting: list[Any] = []

    def wait() -> None:
        with condition:
            waiting.append(1)
            assert condition.wait(30)
        assert event.wait(30)
        waiting.append(2)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(waiting) < 3:
        time.sleep(0.001)
    with condition:
        assert condition.wait_for(lambda: True, 1)
        condition.notify_all()
    event.set()
    for thread in threads:
        thread.join()
    assert waiting == [1, 1, 1, 2, 2, 2]


class Bell:
    def rings(self, *_: object) -> None:
        raise Rang

    def __call__(self, *_: object) -> None:
        raise Rang


def ring_or_not(raising: bool, *_: object) -> None:
    if raising:
        raise Rang


@pytest.mark.parametrize(
    "handler",
    [Bell().rings, Bell(), partial(ring_or_not, True)],
    ids=["method", "object", "partial"],
)
def test_what_a_handler_raises_is_known(handler: Any) -> None:
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(Rang) as caught:
        signal.raise_signal(signal.SIGUSR1)
    assert interrupts.raised_by_handler(caught.value)
    with Uninterrupted(), Uninterrupted():
        assert interrupts.raised_by_handler(caught.value), "while it is replaced, too"
    with ThreadPoolExecutor(1) as threads:
        assert not threads.submit(interrupts.raised_by_handler, caught.value).result()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    assert not interrupts.raised_by_handler(caught.value)
    with pytest.raises(ValueError, match="invalid literal") as plain:
        int("x")
    assert not interrupts.raised_by_handler(plain.value)


def over(*_: object) -> None:
    raise TimeoutError("over")


def test_a_handler_s_error_is_none_of_a_file() -> None:
    signal.signal(signal.SIGUSR1, over)
    for block in (reading("name", "file"), places._asking("name"), writing("name")):
        with pytest.raises(TimeoutError, match=r"^over$"), block:
            signal.raise_signal(signal.SIGUSR1)


class Alarming:
    def __reduce__(self) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return int, ()


def test_a_handler_s_error_is_none_of_pickling() -> None:
    """Not even one that comes while the first pickler tries: the second would swallow it."""
    signal.signal(signal.SIGUSR1, over)
    for value in (Alarming(), [lambda: 0, Alarming()]):
        with pytest.raises(TimeoutError, match=r"^over$"):
            encode(value)
