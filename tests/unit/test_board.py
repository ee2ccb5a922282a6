"""The state that a pool shows to `onecopy top` in another process: the board, and the text on it."""

from __future__ import annotations

import fcntl
import io
import os
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from onecopy._observe.memory import Memory, ProcessMemory
from onecopy._observe.present import UNKNOWN, PoolNow, Running, WorkerNow, decode, encode
from onecopy._system import board
from onecopy._system.board import ASKED, ask
from onecopy.cli._top_look import Seen, table
from onecopy.cli._top_pools import Pools

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd")

POOL = PoolNow(
    number=2,
    method="spawn",
    workers=3,
    closed=False,
    tasks=70,
    failed=1,
    lost=0,
    elsewhere=True,
    present=(
        WorkerNow(1, 4711, True, 35, running=Running(1, 4711, "m.f", "map", 9, 3, 6, 0.25)),
        WorkerNow(2, 4712, True, 35, "host", 10**6, 1.5),
    ),
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def made(pipe: tuple[int, int]) -> Iterator[board.Board]:
    made = board.Board(pipe[1])
    yield made
    made.close()


def answering(made: board.Board, read: int, texts: list[bytes]) -> threading.Thread:
    def answer() -> None:
        for text in texts:
            assert os.read(read, 1) == ASKED
            made.write(text)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_each_request_is_answered(made: board.Board, pipe: tuple[int, int]) -> None:
    texts = [b"first", b"a longer one" * 1000, b""]
    thread = answering(made, pipe[0], texts)
    me = os.getpid()
    assert [ask([me], 60.0) for _ in texts] == [{me: [text]} for text in texts]
    thread.join()


def test_an_answer_that_was_there_before_is_none(made: board.Board) -> None:
    made.write(b"old")
    assert ask([os.getpid()], 0.01) == {os.getpid(): [None]}


def test_a_text_that_is_being_written_is_none(made: board.Board) -> None:
    reader = board._Reader(os.getpid(), str(made._fd))
    made.write(b"whole")
    assert reader.answer() == b"whole"
    os.pwrite(made._fd, b"W", board._TEXT)
    assert reader.answer() is None
    reader.close()


def test_nothing_is_written_into_another_file_of_that_number(pipe: tuple[int, int]) -> None:
    """The pool has ended, and its number is another pipe's by now."""
    ends = os.pipe()
    made = board.Board(ends[1])
    os.dup2(pipe[1], ends[1])
    os.set_blocking(pipe[0], False)
    try:
        assert ask([os.getpid()], 0.01) == {}
        with pytest.raises(BlockingIOError):
            os.read(pipe[0], 1)
    finally:
        made.close()
        for end in ends:
            os.close(end)


def test_a_full_pipe_is_an_owner_that_does_not_answer(
    made: board.Board, pipe: tuple[int, int]
) -> None:
    os.set_blocking(pipe[1], False)
    os.write(pipe[1], bytes(fcntl.fcntl(pipe[1], fcntl.F_GETPIPE_SZ)))
    assert ask([os.getpid()], 0.01) == {os.getpid(): [None]}


def test_a_forked_child_shows_nothing_of_its_parent_s(made: board.Board) -> None:
    """It has the descriptor until its hooks have run."""
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.read(ready, 1)
        os._exit(0)
    try:
        assert ask([child], 0.01) == {}
    finally:
        os.write(told, b"\0")
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


def test_processes_without_a_board() -> None:
    assert ask([os.getpid(), 1, 999_999_999], 0.01) == {}


def test_the_text_comes_back() -> None:
    assert decode(encode(POOL)) == POOL


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"[" * 100_000,
        encode(POOL)[:-1],
        encode(POOL).replace(b"70", b'"70"'),
        encode(POOL).replace(b"70", b"true"),
        encode(POOL).replace(b"4711", b"4711.5"),
        encode(POOL).replace(b"0.25", b"null"),
        encode(POOL).replace(b'"m.f"', b"[]"),
        encode(POOL._replace(present=()))[:-2] + b"{}]",
    ],
)
def test_any_other_text_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (json's own as well)
        decode(text)


# What is shown of it.


def seen_of(pool: PoolNow) -> Seen:
    """A look at a process that has this pool; half a CPU is used by each of its workers."""
    shown = Pools([(4000, pool)], far=[(4000, pool, each) for each in pool.present])
    owner = ProcessMemory(4000, 1, "python program.py", "S", 0, 10**7, 10**7, 0, 0, 0, None, 0)
    return Seen(Memory((owner,)), [(owner, 0.0)], shown, shown.far_rows(lambda key, cpu: 0.5))


def lines_of(seen: Seen, most: int | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(table(seen, 80, most))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    return [line.rstrip() for line in text.splitlines()]


def test_workers_on_other_machines_in_80_columns() -> None:
    now = Running(1, 77, "a_package.a_module.a_function", "map", 9, 3, 6, 65.25, "node1")
    pool = POOL._replace(
        present=(
            WorkerNow(1, 4711, True, 35, "node1 (10.0.0.1:1)", 3 * 10**8, 1.0, now),
            WorkerNow(2, 4712, True, 1035, "node1 (10.0.0.1:1)", 2 * 10**8, 1.0),
            WorkerNow(3, 77, True, UNKNOWN, "node2\x1b[2J"),
        )
    )
    head, owner, *rows = lines_of(seen_of(pool))
    assert head.split()[:7] == ["PID", "S", "CPU", "PSS", "USS", "tasks", "for"]
    assert owner.endswith("python program.py")
    node1, first, second, node2, third, _, last = rows
    assert node1.split() == ["500", "MB", "on", "node1", "(10.0.0.1:1)"]
    assert first.split()[:9] == ["4711", "-", "50", "%", "300", "MB", "-", "35", "65.2"]
    assert first.endswith("a_function, items 3 to 5")
    assert second.split()[:9] == ["4712", "-", "50", "%", "200", "MB", "-", "1,035", "worker"]
    assert second.endswith("worker 2: idle")
    assert node2.endswith(r"on node2\x1b[2J")
    assert third.split() == ["77", *"------", "worker", "3:", "-"]
    assert "2 hosts" in last


def test_rows_that_do_not_fit_are_left_out() -> None:
    seen = seen_of(POOL)
    whole, cut = lines_of(seen), lines_of(seen, 3)
    assert len(cut) == len(whole) - 2
    assert [any("worker 2" in line for line in lines) for lines in (whole, cut)] == [True, False]
    assert any("worker 1" in line for line in cut)
