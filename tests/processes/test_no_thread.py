"""A machine that starts no more threads or processes: a clear error, and nothing stays.

The leak watch counts what stays. ``Thread.start`` fails here as it does at a limit of
processes, at a chosen thread of a pool's.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NoReturn

import pytest

import onecopy as oc
from onecopy._engine import processes
from onecopy.pool import Method
from tests.pooled import double
from tests.scripts import run

WHY = "can't start new thread"
# The memory's watch and the driver; with worker threads, the watch and two workers.
OURS = ("fork", 0), ("fork", 1), ("forkserver", 0), ("forkserver", 1), ("spawn", 0), ("spawn", 1)
THREADS = ("thread", 0), ("thread", 1), ("thread", 2)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function: refuse all threads after that many more."""
    start = threading.Thread.start

    def refuse(allowed: int) -> None:
        left = [allowed]

        def refusing(self: threading.Thread) -> None:
            if not left[0]:
                raise RuntimeError(WHY)
            left[0] -= 1
            start(self)

        monkeypatch.setattr(threading.Thread, "start", refusing)

    return refuse


@pytest.mark.parametrize(("method", "allowed"), [*OURS, *THREADS])
def test_a_pool_says_so(refuse: Callable[[int], None], method: Method, allowed: int) -> None:
    refuse(allowed)
    with pytest.raises(oc.InitializerFailed, match=WHY) as caught:
        oc.Pool(2, method=method)
    assert isinstance(caught.value, RuntimeError)  # which the standard library's pool raises


@pytest.mark.parametrize(("method", "allowed"), [*OURS, *THREADS])
def test_an_executor_is_broken(
    refuse: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    method: Method,
    allowed: int,
) -> None:
    with oc.ProcessPoolExecutor(2, method) as executor:
        assert not executor._broken
        refuse(allowed)
        with pytest.raises(BrokenProcessPool, match=WHY):
            executor.submit(double, 1)
        monkeypatch.undo()
        with pytest.raises(BrokenProcessPool, match=WHY):
            list(executor.map(double, [1]))
        assert WHY in str(executor._broken)


def test_an_executor_without_a_process_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    with oc.ProcessPoolExecutor(2, "fork") as executor:
        monkeypatch.setattr(processes, "Workers", refuse)
        with pytest.raises(BrokenProcessPool, match="temporarily unavailable"):
            executor.submit(double, 1)


def test_a_worker_thread_that_cannot_be_replaced_fails_the_pool(
    refuse: Callable[[int], None],
) -> None:
    with oc.Pool(1, method="thread", maxtasksperchild=1) as pool:
        refuse(0)
        first, second = pool.apply_async(double, (1,)), pool.apply_async(double, (2,))
        assert first.get() == 2
        with pytest.raises(oc.InitializerFailed, match=WHY):
            second.get()


PROGRAM = """
import threading, sys
import onecopy as oc
start = threading.Thread.start
with oc.Pool(1, method="{method}") as other:
    left = [{allowed}]
    def refusing(self):
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(self)
    threading.Thread.start = refusing
    executor = oc.ProcessPoolExecutor(2, "{method}")
    for make in (lambda: oc.Pool(2, method="{method}"), lambda: executor.submit(abs, 1)):
        try:
            make()
        except RuntimeError as error:
            print(type(error).__name__)
        else:
            sys.exit("no error")
        left = [{allowed}]
    # Another pool works on, and ends as it should.
    print(other.apply(abs, (-3,)))
"""


@pytest.mark.parametrize("allowed", [0, 1])
def test_nothing_is_said_at_exit(tmp_path: Path, process_method: str, allowed: int) -> None:
    done = run(tmp_path, PROGRAM.format(method=process_method, allowed=allowed))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["InitializerFailed", "InitializerFailed", "3"]
    assert done.stderr == ""


def say(word: str) -> None:
    print(word)


def test_words_are_heard_without_a_thread_for_them(
    refuse: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The thread that hears what workers say is started at their first word."""
    with oc.Pool(1, method="fork") as pool:
        assert pool.apply(double, (1,)) == 2
        refuse(0)
        assert pool.apply(say, ("a word",)) is None
        assert pool.apply_async(say, ("another",)).get() is None
        assert capsys.readouterr().out == "a word\nanother\n"
