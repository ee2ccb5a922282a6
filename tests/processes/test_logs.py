"""Records, warnings and prints of workers reach the owner: once, in order, whatever is set up."""

from __future__ import annotations

import io
import logging
import logging.config
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.logging import RichHandler

import onecopy as oc
from onecopy._protocol.log_records import MOST_HEADS
from tests import scripts
from tests.conftest import MakePool

pytestmark = [pytest.mark.door, pytest.mark.beside]

log = logging.getLogger("tests.logged")


class Kept(logging.Handler):
    """Keeps the records that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.records]


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A handler of the root logger, which lets everything through; all is put back."""
    handler, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    log.setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)


def say(i: int) -> int:
    log.info("item %d", i)
    return i


def say_all_levels(_: object = None) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(level, "level %d", level)


def test_each_record_once_and_before_its_result(
    make_pool: MakePool, method: str, kept: Kept
) -> None:
    pool = make_pool(method)
    for i in range(50):
        assert pool.apply(say, (i,)) == i
        assert kept.messages()[-1] == f"item {i}"
    futures = [pool.submit(say, i) for i in range(50, 100)]
    for i, future in enumerate(futures, 50):
        future.result()
        assert f"item {i}" in kept.messages()
    pool.map(say, range(100, 1000))
    assert sorted(kept.messages()) == sorted(f"item {i}" for i in range(1000))


def test_what_a_record_carries(make_pool: MakePool, method: str, kept: Kept) -> None:
    def task() -> tuple[int, str]:
        try:
            raise KeyError("gone")
        except KeyError:
            log.exception("it %s", "failed", extra={"shape": (2, 3), "what": threading.Lock()})
        log.error("and %(why)s", {"why": "so"}, stack_info=True)
        return os.getpid(), threading.current_thread().name

    pool = make_pool(method, 1)
    future = pool.submit(task)
    pid, thread = future.result()
    first, second = kept.records
    assert (first.name, first.levelname, first.getMessage()) == (log.name, "ERROR", "it failed")
    assert (first.process, first.threadName) == (pid, thread)
    assert (first.funcName, first.filename) == ("task", "test_logs.py")
    assert first.shape == (2, 3)  # type: ignore[attr-defined]
    text = logging.Formatter("%(message)s").format(first)
    assert "KeyError: 'gone'" in text
    assert "raise KeyError" in text
    assert second.getMessage() == "and so"
    assert "Stack (most recent call last)" in str(second.stack_info)
    spans = pool.spans()
    for record in (first, second):
        assert record.task == spans["task"][0]  # type: ignore[attr-defined]
        assert record.worker == spans["worker"][0]  # type: ignore[attr-defined]
    if method != "thread":
        assert first.processName == f"onecopy-{spans['worker'][0]}"


def test_levels_are_the_owner_s_and_follow_it(make_pool: MakePool, method: str, kept: Kept) -> None:
    pool = make_pool(method, 1)

    def heard() -> list[int]:
        kept.records.clear()
        pool.apply(say_all_levels)
        return [record.levelno for record in kept.records]

    assert heard() == [10, 20, 30, 40]
    log.setLevel(logging.WARNING)
    assert heard() == [30, 40]
    logging.disable(logging.WARNING)
    assert heard() == [40]
    logging.disable(logging.NOTSET)
    log.setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.INFO)
    assert heard() == [20, 30, 40]
    log.disabled = True
    log.setLevel(logging.DEBUG)
    try:
        assert heard() == []
    finally:
        log.disabled = False


def test_a_disabled_call_is_not_made_in_the_worker(
    make_pool: MakePool, process_method: str, kept: Kept
) -> None:
    def enabled() -> list[bool]:
        return [log.isEnabledFor(level) for level in (10, 20, 30)]

    log.setLevel(logging.WARNING)
    assert make_pool(process_method, 1).apply(enabled) == [False, False, True]


def test_named_loggers_filters_and_propagation_are_the_owner_s(
    make_pool: MakePool, method: str, kept: Kept
) -> None:
    inner, other = Kept(), Kept()
    parent = logging.getLogger("tests.parent")
    child = logging.getLogger("tests.parent.child")

    def mark(record: logging.LogRecord) -> bool:
        record.marked = os.getpid()
        return "not this" not in record.getMessage()

    def task() -> None:
        logging.getLogger("tests.parent.child").info("yes")
        logging.getLogger("tests.parent.child").info("not this")
        logging.getLogger("tests.other").info("elsewhere")

    parent.addHandler(inner)
    logging.getLogger("tests.other").addHandler(other)
    child.addFilter(mark)
    parent.propagate = False
    try:
        make_pool(method).apply(task)
    finally:
        parent.removeHandler(inner)
        logging.getLogger("tests.other").removeHandler(other)
        child.removeFilter(mark)
        parent.propagate = True
    assert inner.messages() == ["yes"]
    assert inner.records[0].marked == os.getpid()  # type: ignore[attr-defined]
    assert other.messages() == ["elsewhere"]
    assert kept.messages() == ["elsewhere"], "the parent's were not propagated"


def test_pytest_s_own_handler(
    make_pool: MakePool, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tests.logged"):
        make_pool(method).map(say, range(5))
    assert sorted(caplog.messages) == [f"item {i}" for i in range(5)]


def test_with_a_file_of_dict_config(
    make_pool: MakePool, method: str, tmp_path: Path, kept: Kept
) -> None:
    """Opened by the owner before the pool: a fork inherits it, and must not write to it."""
    path = tmp_path / "program.log"
    form = "%(levelname)s %(processName)s %(message)s"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"plain": {"format": form}},
            "handlers": {
                "file": {
                    "class": "logging.FileHandler",
                    "filename": str(path),
                    "formatter": "plain",
                }
            },
            "loggers": {
                "tests.logged": {"handlers": ["file"], "level": "INFO", "propagate": False}
            },
        }
    )
    try:
        pool = make_pool(method, 2)
        pool.map(say, range(300), chunksize=10)
        log.info("the owner's own")
    finally:
        for handler in log.handlers[:]:
            log.removeHandler(handler)
            handler.close()
        log.propagate = True
    lines = path.read_text().splitlines()
    assert lines[-1] == "INFO MainProcess the owner's own"
    assert sorted(line.split(" ", 2)[2] for line in lines[:-1]) == sorted(
        f"item {i}" for i in range(300)
    )
    assert all(line.startswith("INFO ") for line in lines)
    assert kept.messages() == []


def test_with_rich_s_handler(make_pool: MakePool, method: str, kept: Kept) -> None:
    screen = io.StringIO()
    handler = RichHandler(console=Console(file=screen, width=100), show_time=False)
    log.addHandler(handler)
    try:
        make_pool(method, 2).map(say, range(20), chunksize=1)
    finally:
        log.removeHandler(handler)
    lines = screen.getvalue().splitlines()
    assert sorted(line.split()[2] for line in lines if "item" in line) == sorted(
        str(i) for i in range(20)
    )
    assert all("test_logs.py" in line for line in lines), "the place is where the task logged"


def test_no_forwarding_when_it_is_not_wanted(
    make_pool: MakePool, process_method: str, kept: Kept
) -> None:
    pool = make_pool(process_method, logs=False)
    pool.map(say, range(10))
    assert kept.records == []


def test_everything_up_to_a_kill_arrives(
    make_pool: MakePool, process_method: str, kept: Kept
) -> None:
    def speak_and_die() -> None:
        for i in range(500):
            log.info("line %d", i)
        os.kill(os.getpid(), signal.SIGKILL)

    pool = make_pool(process_method)
    with pytest.raises(oc.WorkerDied):
        pool.apply(speak_and_die)
    assert kept.messages() == [f"line {i}" for i in range(500)]
    future = pool.submit(speak_and_die)
    assert isinstance(future.exception(), oc.WorkerDied)
    assert len(kept.records) == 1000, "the error comes after what was said before it"


def test_from_threads_of_a_task(make_pool: MakePool, method: str, kept: Kept) -> None:
    def task() -> None:
        def speak(number: int) -> None:
            for i in range(200):
                log.info("%d %d %s", number, i, "x" * (i * 7 % 1000))

        threads = [threading.Thread(target=speak, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    make_pool(method, 1).apply(task)
    assert len(set(kept.messages())) == 800
    for number in range(4):
        mine = [m for m in kept.messages() if m.startswith(f"{number} ")]
        assert [int(m.split()[1]) for m in mine] == list(range(200)), "each thread's in order"


def test_the_initializer_s(make_pool: MakePool, process_method: str, kept: Kept) -> None:
    pool = make_pool(process_method, 2, initializer=say, initargs=(7,))
    pool.map(abs, range(100))
    pool.close()
    pool.join()
    assert set(kept.messages()) == {"item 7"}


def test_a_handler_that_needs_a_lock_holds_up_nobody_else(
    make_pool: MakePool, process_method: str, kept: Kept
) -> None:
    pool = make_pool(process_method, 2)
    pool.apply(abs, (1,))
    kept.acquire()  # as a thread does that is in the middle of logging
    try:
        speaking = pool.submit(say, 1)
        assert [pool.submit(abs, -i).result() for i in range(50)] == list(range(50))
        assert not speaking.done(), "its record has not been handled"
    finally:
        kept.release()
    assert speaking.result() == 1


def test_a_slow_handler_slows_those_that_log_and_nobody_else(
    make_pool: MakePool, process_method: str, kept: Kept
) -> None:
    done = oc.zeros(1, "i8")

    def flood() -> None:
        for _ in range(200):
            log.info("x" * 20_000)
        done[0] = 1

    pool = make_pool(process_method, 2)
    pool.map(abs, range(10))
    kept.acquire()
    try:
        flooding = pool.submit(flood)
        assert [pool.submit(abs, -i).result() for i in range(50)] == list(range(50))
        hearing = pool._engine._parts.output  # type: ignore[attr-defined]  # of process engines
        scripts.until(lambda: any(map(hearing.is_full, (1, 2))), "the queue is full")
        assert [pool.submit(abs, -i).result() for i in range(50)] == list(range(50))
        assert not done[0], "a quarter of what it wants to say has been read"
    finally:
        kept.release()
    flooding.result()
    assert len(kept.records) == 200


def test_a_handler_that_raises(
    make_pool: MakePool, process_method: str, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no room")

    bad = Bad()
    log.addHandler(bad)
    try:
        pool = make_pool(process_method)
        assert pool.map(say, range(3)) == [0, 1, 2]
    finally:
        log.removeHandler(bad)
    assert "no room" in capsys.readouterr().err


def test_a_message_that_cannot_be_made(
    make_pool: MakePool, process_method: str, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    def task() -> int:
        log.info("%d items", "no number")
        return 5

    assert make_pool(process_method).apply(task) == 5
    assert kept.records == []
    assert "Logging error" in capsys.readouterr().err


def say_what_others_do_not(lines: int) -> None:
    """Records whose fields no two have in common, or are not what logging puts there."""
    for line in range(lines):
        log.handle(log.makeRecord(log.name, logging.INFO, "/x/y.py", line, "%d", (line,), None))
    record = log.makeRecord(log.name, logging.INFO, "/x/y.py", 1, "of its own", (), None)
    record.threadName = ["not", "hashable"]  # type: ignore[assignment]
    del record.processName, record.pathname
    log.handle(record)
    record.threadName = {1}.__iter__()  # type: ignore[assignment]  # nothing that can be sent
    log.handle(record)


def test_records_of_very_many_lines(make_pool: MakePool, process_method: str, kept: Kept) -> None:
    """More than are kept beforehand on either side; and some that cannot be kept."""
    lines = MOST_HEADS * 2 + 1
    make_pool(process_method, 1).apply(say_what_others_do_not, (lines,))
    *plain, listed, odd = kept.records
    assert [record.lineno for record in plain] == list(range(lines))
    assert [record.getMessage() for record in plain] == [str(line) for line in range(lines)]
    assert {record.module for record in plain} == {"y"}
    assert vars(listed)["threadName"] == ["not", "hashable"]
    assert listed.processName is None
    assert "iterator" in str(odd.threadName)


def test_very_long_ones_are_cut(make_pool: MakePool, process_method: str, kept: Kept) -> None:
    def task() -> None:
        log.info("x" * 3_000_000)
        log.info("short")

    make_pool(process_method).apply(task)
    long, short = kept.messages()
    assert short == "short"
    assert 100_000 < len(long) < 1_000_000
    assert "characters" in long[-60:]


def test_a_task_that_forks_speaks_for_itself(
    make_pool: MakePool, process_method: str, kept: Kept
) -> None:
    def task() -> int:
        pid = os.fork()
        if not pid:
            log.info("in the child")
            os._exit(3)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert make_pool(process_method).apply(task) == 3
    assert kept.records == []


def test_executors_do_it_as_well(kept: Kept) -> None:
    with oc.ProcessPoolExecutor(2) as executor:
        assert list(executor.map(say, range(20))) == list(range(20))
    assert sorted(kept.messages()) == sorted(f"item {i}" for i in range(20))


def test_two_pools_within_each_other(make_pool: MakePool, kept: Kept) -> None:
    def outer() -> list[int]:
        log.info("outer")
        with oc.Pool(1, method="forkserver") as pool:
            return pool.map(say, range(3))

    assert make_pool("forkserver", 1).apply(outer) == [0, 1, 2]
    assert kept.messages() == ["outer", "item 0", "item 1", "item 2"]


# Warnings.


def warn(i: int) -> int:
    warnings.warn(f"careful {i // 1000}", UserWarning, stacklevel=1)
    return i


def test_a_warning_once_per_place(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        pool.map(warn, range(50), chunksize=1)
    assert [str(each.message) for each in caught] == ["careful 0"]
    assert caught[0].category is UserWarning
    assert caught[0].filename == __file__


def test_always_means_always(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pool.map(warn, range(50), chunksize=1)
    assert len(caught) == 50


def test_ignored_and_errors(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        assert pool.apply(warn, (1,)) == 1
    assert caught == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="careful"):
            pool.apply(warn, (1,))


# Prints.


def show(i: int) -> None:
    print(f"line {i} of stdout")
    print(f"line {i} of stderr", file=sys.stderr)


def test_prints_come_out_of_the_owner_s_streams(
    make_pool: MakePool, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(method)
    pool.map(show, range(100), chunksize=3)
    said = capsys.readouterr()
    for text, name in ((said.out, "stdout"), (said.err, "stderr")):
        assert sorted(text.splitlines()) == sorted(f"line {i} of {name}" for i in range(100))


def test_lines_come_whole(
    make_pool: MakePool, process_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(i: int) -> None:
        for part in ("a", "b", "c"):
            print(f"{part}{i}", end=" ", flush=True)
        print()

    make_pool(process_method, 2).map(task, range(200), chunksize=1)
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == sorted(f"a{i} b{i} c{i} " for i in range(200))


def test_with_worker_and_task_in_front(
    make_pool: MakePool, process_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(process_method, 1, prints="prefixed")
    pool.apply(print, ("one\ntwo",))
    pool.apply(print, ("no end",), {"end": ""})
    worker, task = pool.spans()["worker"][0], pool.spans()["task"]
    assert capsys.readouterr().out == (
        f"worker {worker}, task {task[0]} | one\nworker {worker}, task {task[0]} | two\n"
        f"worker {worker}, task {task[1]} | no end"
    )


def test_direct_prints(
    make_pool: MakePool, process_method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def own(_: object) -> bool:
        return "onecopy" not in type(sys.stdout.buffer).__module__

    with capfd.disabled():
        pool = make_pool(process_method, 1, prints="direct")
        assert pool.apply(own, (1,))


def test_what_a_program_started_by_a_task_prints(tmp_path: Path) -> None:
    program = """
import subprocess, sys
import onecopy as oc

def task():
    print("mine")
    subprocess.run(["echo", "its"], stdout=sys.stdout, check=True)

with oc.Pool(1) as pool:
    pool.apply(task)
"""
    done = scripts.run(tmp_path, program)
    assert sorted(done.stdout.split()) == ["its", "mine"]


def test_what_no_encoding_can_say(
    make_pool: MakePool, process_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pool(process_method, 1).apply(print, ("\udcff and ü",))
    assert capsys.readouterr().out == "\\udcff and ü\n"
