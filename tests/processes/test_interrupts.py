"""Ctrl-C: a blocking call that it ends gives its workers back; what keeps workers is told."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import onecopy as oc
from onecopy._engine.busy import Waiting
from onecopy._engine.core import Core
from onecopy._engine.future import TaskFuture
from tests import interrupt_steps, scripts
from tests.conftest import MakePool
from tests.tasks import Signs, meet

PROGRAM = """
import os, signal, sys, time, traceback
import onecopy as oc

folder = sys.argv[3]

def stay(turn):
    first = turn[0] if isinstance(turn, list) else turn
    open(f"{folder}/{first}-{os.getpid()}", "w").close()
    while True:
        time.sleep(0.05)

def dripping(n):
    yield from [n] * 4

def result(pool, n):
    future = pool.submit(stay, n)
    try:
        future.result()
    finally:
        pool.cancel(future)  # the interrupt does not: another thread may wait for it

VARIANTS = {
    "map": lambda pool, n: pool.map(stay, [n] * 6),
    "starmap": lambda pool, n: pool.starmap(stay, [(n,)] * 6),
    "apply": lambda pool, n: pool.apply(stay, (n,)),
    "map_blocks": lambda pool, n: pool.map_blocks(stay, [n] * 6, block=1),
    "imap": lambda pool, n: list(pool.imap(stay, dripping(n))),
    "imap_unordered": lambda pool, n: list(pool.imap_unordered(stay, dripping(n), 2)),
    "executor.map": lambda executor, n: list(executor.map(stay, [n] * 6)),
    "result": result,
}

if __name__ == "__main__":
    method, way = sys.argv[1:3]
    if way == "executor.map":
        pool = oc.ProcessPoolExecutor(2, method)
        list(pool.map(abs, range(2)))
    else:
        pool = oc.Pool(2, method=method)
        pool.map(abs, range(2))
    for again in range(2):
        print("ready", flush=True)
        try:
            VARIANTS[way](pool, again)
        except KeyboardInterrupt as kept:
            error = kept  # as a notebook keeps it, and all that its frames hold
            # Where a call was waiting is not shown.
            files = {frame.filename for frame in traceback.extract_tb(kept.__traceback__)}
            print("interrupted" if files == {__file__} else files, flush=True)
        # Both workers are needed for this, one after the other and at once.
        print(list(pool.map(abs, range(-40, 0)))[:2], pool.submit(abs, -3).result(), flush=True)
    while "busy" in repr(pool):  # until what was given up has been ended
        time.sleep(0.01)
    print("idle", flush=True)
    pool.shutdown() if way == "executor.map" else pool.terminate()
"""
VARIANTS = (
    "map", "starmap", "apply", "map_blocks", "imap", "imap_unordered", "executor.map", "result"
)  # fmt: skip


@pytest.mark.parametrize("way", VARIANTS)
def test_ctrl_c_gives_the_workers_back(tmp_path: Path, process_method: str, way: str) -> None:
    """The signal goes to the whole group, as a terminal's does."""
    folder = tmp_path / "begun"
    folder.mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py"), process_method, way, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        try:
            interrupt_twice(program, folder)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)


def interrupt_twice(program: subprocess.Popen[str], folder: Path) -> None:
    assert program.stdout is not None
    for turn in range(2):
        assert program.stdout.readline() == "ready\n"
        begun = partial(folder.glob, f"{turn}-*")
        scripts.until(lambda begun=begun: any(begun()), "a task has begun")  # type: ignore[misc]
        os.killpg(program.pid, signal.SIGINT)
        assert program.stdout.readline() == "interrupted\n"
        assert program.stdout.readline() == "[40, 39] 3\n"
    assert program.stdout.read() == "idle\n"
    assert program.wait() == 0


class Rang(Exception):
    """The exception that a handler of a signal raises."""


def test_a_signal_s_handler_that_raises(
    make_pool: MakePool, signs: Signs, process_method: str
) -> None:
    def ring(*_: object) -> None:
        raise Rang

    pool = make_pool(process_method, 2)
    pool.map(abs, range(2))
    before = signal.signal(signal.SIGUSR1, ring)
    ways: list[Callable[[], Any]] = [
        lambda: pool.apply(meet, (signs, 0, 1)),
        lambda: pool.starmap(meet, [(signs, 0, 1)] * 4),
        lambda: list(pool.imap(lambda i: meet(signs, 0, 1), range(4))),
    ]
    try:
        for way in ways:
            signs[0] = 0
            main = threading.get_ident()

            def when_begun(main: int = main) -> None:
                scripts.until(lambda: bool(signs[0]), "it has begun")
                signal.pthread_kill(main, signal.SIGUSR1)

            thread = threading.Thread(target=when_begun)
            thread.start()
            with pytest.raises(Rang):
                way()
            thread.join()
            assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
    finally:
        signal.signal(signal.SIGUSR1, before)


SUBMITS = """
import random, signal, sys, time
import onecopy as oc

class Rang(Exception):
    pass

def ring(*_):
    raise Rang

def tiny(number):
    return number

def result(future):
    while True:
        try:
            return future.result(60)
        except Rang:  # the system has delivered it late
            pass

if __name__ == "__main__":
    random.seed(sys.argv[2])
    signal.signal(signal.SIGALRM, ring)
    rang = 0
    with oc.Pool(2, method=sys.argv[1]) as pool:
        for number in range(100):
            pool.submit(tiny, number).result()
        for turn in range(300):
            futures = []
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
                for number in range(random.choice((3, 50, 400))):
                    futures.append((number, pool.submit(tiny, number)))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Rang:
                rang += 1
            for number, future in futures:
                assert result(future) == number
        # A call whose submit was interrupted may be in the pool, and its future is lost.
        pool.close()
        pool.join()
    assert not pool._engine.core.unfinished()
    print("ended", rang > 30)
"""


@pytest.mark.parametrize("seed", range(2))
def test_a_handler_that_raises_at_any_step_of_a_submit(
    tmp_path: Path, method: str, seed: int
) -> None:
    """The call is in the pool or it is not; no other is lost, and nothing waits for ever."""
    program = tmp_path / "program.py"
    program.write_text(SUBMITS)
    done = subprocess.run(
        [sys.executable, str(program), method, str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.stdout, done.stderr) == ("ended True\n", "")


class Alarming:
    """An object; while it is pickled, a signal comes."""

    def __reduce__(self) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return int, ()


def alarming() -> Any:
    yield 1
    signal.raise_signal(signal.SIGUSR1)


def first(a: Any, b: Any) -> Any:
    return a


ALARMED: dict[str, Callable[[Any, Any], Any]] = {
    "submit": lambda pool, _: pool.submit(first, 1, Alarming()),
    "apply": lambda pool, _: pool.apply(first, (1, Alarming())),
    "apply_async": lambda pool, _: pool.apply_async(first, (1, Alarming())),
    "map": lambda pool, _: pool.map(partial(first, Alarming()), range(3)),
    "map_async": lambda pool, _: pool.map_async(partial(first, Alarming()), range(3)),
    "imap": lambda pool, _: pool.imap(partial(first, Alarming()), range(3)),
    "imap's iterable": lambda pool, _: list(pool.imap(abs, alarming(), 1)),
    "executor's submit": lambda _, executor: executor.submit(first, 1, Alarming()),
    "executor's map": lambda _, executor: executor.map(partial(first, Alarming()), range(3)),
}


def test_what_a_handler_raises_is_raised_where_it_came(
    make_pool: MakePool, process_method: Any
) -> None:
    """It is no error of the iterable, or of a task that cannot be pickled."""

    def over(*_: object) -> None:
        raise TimeoutError("over")

    pool: Any = make_pool(process_method, 1)
    before = signal.signal(signal.SIGUSR1, over)
    try:
        with oc.ProcessPoolExecutor(1, mp_context=process_method) as executor:
            for name, call in ALARMED.items():
                with pytest.raises(TimeoutError, match=r"^over$"):
                    call(pool, executor)
                assert pool.map(abs, [-1]) == [1], name
                assert executor.submit(abs, -1).result() == 1, name
        scripts.until(lambda: not pool._engine.core.unfinished(), "nothing is left")
    finally:
        signal.signal(signal.SIGUSR1, before)


STEPS = [("thread", name) for name in interrupt_steps.NAMES]
STEPS += [("fork", name) for name in ("submit", "submit large", "map", "imap", "executor map")]


@pytest.mark.parametrize(("method", "name"), STEPS)
def test_a_handler_that_raises_at_each_step(method: str, name: str) -> None:
    """Every third step; all of them: ``make interrupts``."""
    command = [sys.executable, "-m", "tests.interrupt_steps", method, name, "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout == "ended\n", done.stderr


def test_an_iterator_whose_iterable_has_failed_is_dropped(
    make_pool: MakePool, process_method: str
) -> None:
    def numbers() -> Any:
        yield 1
        raise ValueError("of the iterable")

    pool: Any = make_pool(process_method, 1)
    stream = pool.imap(abs, numbers(), 1)
    assert next(stream) == 1
    del stream
    scripts.until(lambda: not pool._engine.core.unfinished(), "its job is dropped")


def test_an_iterator_that_is_dropped_gives_its_workers_back(
    make_pool: MakePool, signs: Signs, process_method: str
) -> None:
    pool = make_pool(process_method, 2)
    other = pool.submit(abs, -5)
    assert other.result() == 5
    stream = pool.imap(lambda i: i or meet(signs, 0, 1), [1, 0, 0, 0], 1)
    assert next(stream) == 1
    scripts.until(lambda: bool(signs[0]), "it has begun")
    del stream
    assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))


def test_an_interrupted_iterator_says_so_from_then_on(make_pool: MakePool, signs: Signs) -> None:
    def numbers() -> Any:
        yield 1
        raise KeyboardInterrupt

    stream = make_pool("fork", 1).imap(abs, numbers())
    got: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        got.extend(stream)
    with pytest.raises(CancelledError, match="interrupted"):
        list(stream)
    with pytest.raises(CancelledError, match="interrupted"):
        next(stream)


def test_repr_says_what_keeps_the_workers(make_pool: MakePool, signs: Signs, method: str) -> None:
    pool = make_pool(method, 2)
    pool.map(abs, range(4))
    assert repr(pool) == f"<onecopy.Pool of 2 workers by {method}, open>"
    futures = [pool.submit(meet, signs, n, 5) for n in (0, 1)]
    scripts.until(lambda: bool(signs[0] and signs[1]), "both have begun")
    said = repr(pool)
    assert "; 2 busy with tests.tasks.meet of submit (tasks " in said
    assert said.endswith(" s>")
    signs[5] = 1
    for future in futures:
        future.result()


def test_a_call_that_waits_says_for_what(
    make_pool: MakePool, signs: Signs, process_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(process_method, 1)
    stream = pool.imap(lambda i: meet(signs, 0, 1, i), [3])
    scripts.until(lambda: bool(signs[0]), "it has begun")
    said: list[str] = []

    def when_said() -> None:
        scripts.until(lambda: bool(pool._engine.core.told_of), "it was said")
        signs[1] = 1

    thread = threading.Thread(target=when_said)
    thread.start()
    assert pool.map(abs, [-1, -2]) == [1, 2]
    thread.join()
    assert next(stream) == 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("onecopy: map of builtins.abs waits: 1 busy with ")
    assert "<lambda> of imap (task " in said[0]


def test_many_short_tasks_of_one_call_are_named_too(
    make_pool: MakePool, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool("fork", 1)
    first, second = (pool.submit(meet, signs, at, 1) for at in (0, 2))
    scripts.until(lambda: bool(signs[0]), "it has begun")
    assert isinstance(second, TaskFuture)
    waiting = Waiting(pool._engine.core, pool._engine.core.work[second.number])
    waiting()
    assert capsys.readouterr().err == "", "it began less than a second ago"
    waiting()
    assert "waits: 1 busy with tests.tasks.meet" in capsys.readouterr().err
    waiting()
    assert capsys.readouterr().err == "", "once"
    signs[1] = 1
    first.result()
    second.result()


def test_an_own_slow_call_says_nothing(
    make_pool: MakePool, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    """It waits for its own tasks, and so would every call."""
    pool = make_pool("fork", 1)
    future = pool.submit(meet, signs, 0, 1)
    scripts.until(lambda: bool(signs[0]), "it has begun")
    (work, _), *_ = pool._engine.core.held()
    Waiting(pool._engine.core, work)()
    signs[1] = 1
    future.result()
    assert capsys.readouterr().err == ""


class Interrupts:
    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["pool", "executor"])
def test_an_interrupt_while_arguments_are_pickled_shows_the_program_alone(
    make_pool: MakePool, kind: str
) -> None:
    with ExitStack() as stack:
        submit: Any
        if kind == "pool":
            submit = make_pool("fork", 1).submit
        else:
            submit = stack.enter_context(oc.ProcessPoolExecutor(1)).submit
        assert submit(abs, -1).result() == 1
        with pytest.raises(KeyboardInterrupt) as caught:
            submit(abs, Interrupts())
        files = [each.filename for each in traceback.extract_tb(caught.value.__traceback__)]
        assert files == [__file__, __file__]  # this test, and ``__reduce__``
        assert submit(abs, -2).result() == 2


def both(n: int) -> list[int]:
    return [n] * 2


# Each gets the pool, then the executor.
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "apply": lambda pool, _: pool.apply(abs, (1,)),
    "apply_async": lambda pool, _: pool.apply_async(abs, (1,)),
    "submit": lambda pool, _: pool.submit(abs, 1),
    "map": lambda pool, _: pool.map(abs, both(1)),
    "starmap": lambda pool, _: pool.starmap(pow, [(1, 2)] * 2),
    "map_async": lambda pool, _: pool.map_async(abs, both(1)),
    "starmap_async": lambda pool, _: pool.starmap_async(pow, [(1, 2)] * 2),
    "imap": lambda pool, _: list(pool.imap(abs, both(1))),
    "imap_unordered": lambda pool, _: list(pool.imap_unordered(abs, both(1))),
    "map_blocks": lambda pool, _: pool.map_blocks(len, both(1), block=1),
    "executor.submit": lambda _, executor: executor.submit(abs, 1),
    "executor.map": lambda _, executor: executor.map(abs, both(1)),
    "executor.map, buffered": lambda _, executor: list(executor.map(abs, both(1), buffersize=1)),
}


def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C arrives while the table takes in the next call."""
    take = Core.take
    raised: list[bool] = []

    def interrupted(core: Core, *given: Any, **options: Any) -> Any:
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGINT)
        return take(core, *given, **options)

    monkeypatch.setattr(Core, "take", interrupted)


@pytest.mark.parametrize("way", CALLS)
def test_an_interrupt_while_a_call_is_taken_in_shows_the_program_alone(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    pool = make_pool("fork", 1)
    with oc.ProcessPoolExecutor(1, "fork") as executor:
        assert pool.apply(abs, (-1,)) == executor.submit(abs, -1).result()
        interrupt(monkeypatch)
        with pytest.raises(KeyboardInterrupt) as caught:
            CALLS[way](pool, executor)
        monkeypatch.undo()
        files = {frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)}
        assert files == {__file__}
        assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
        assert list(executor.map(abs, range(-20, 0))) == list(range(20, 0, -1))


@pytest.mark.parametrize("way", ["map_async", "imap", "executor.map"])
def test_what_is_interrupted_before_its_caller_has_it_keeps_no_worker(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, signs: Signs, way: str
) -> None:
    def stay(_: int) -> None:
        meet(signs, 0, 1)

    pool = make_pool("fork", 1)
    with oc.ProcessPoolExecutor(1, "fork") as executor:
        ways: dict[str, Callable[[], Any]] = {
            "map_async": lambda: pool.map_async(stay, range(4)),
            "imap": lambda: pool.imap(stay, range(4)),
            "executor.map": lambda: executor.map(stay, range(4)),
        }
        assert pool.apply(abs, (-1,)) == executor.submit(abs, -1).result()
        interrupt(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            ways[way]()
        monkeypatch.undo()
        assert pool.map(abs, range(-20, 0), timeout=60) == list(range(20, 0, -1))
        assert executor.submit(abs, -2).result(60) == 2
