"""Tiny calls that a worker is given together: to their callers nothing is different.

The calls wait behind one that a file holds back; when it is let go, they are one run or a few.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._cluster.engine import ClusterEngine
from onecopy._engine.runs import Run
from tests.conftest import MakePool
from tests.scripts import until

MANY = 200


def held(gate: str) -> None:
    while not os.path.exists(gate):
        time.sleep(0.002)


def tiny(number: int, what: str = "", path: str = "") -> Any:
    """Return the number, unless ``what`` is to be done."""
    if what:
        return DO[what](number, path)
    return number


def note(number: int, path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number


def wait(number: int, path: str) -> int:
    note(number, f"{path}.begun")
    held(path)
    return number


def say(number: int, path: str) -> int:
    print(f"number {number}")
    logging.getLogger("runs").warning("record %d", number)
    return number


DO: dict[str, Callable[[int, str], Any]] = {
    "note": note,
    "wait": wait,
    "say": say,
    "raise": lambda number, path: 1 // (number - number),
    "exit": lambda number, path: os._exit(7),
    "kill": lambda number, path: os.kill(os.getpid(), signal.SIGKILL),
    "sys.exit": lambda number, path: sys.exit(3),
    "array": lambda number, path: np.full(100_000, number),
    "long": lambda number, path: "x" * 5_000,
    "lambda": lambda number, path: lambda: number,
    "stop": lambda number, path: next(iter(())),
}


class Sent:
    """Counts the calls of each run that workers are given. Hosts are given none."""

    def __init__(self, pool: oc.Pool) -> None:
        self._hosts = isinstance(pool._engine, ClusterEngine)
        runs = pool._engine.core.runs
        made_of = runs.made_of
        self.sizes: list[int] = []

        def counted(*args: Any) -> Run | None:
            made = made_of(*args)
            self.sizes.append(0 if made is None else sum(each is not None for each in made.calls))
            return made

        runs.made_of = counted  # type: ignore[assignment, method-assign]

    def runs_of(self, least: int) -> bool:
        """Return True if there was a run of at least that many calls."""
        return self._hosts or max(self.sizes, default=0) >= least


class Burst:
    """Submits many calls at once, of which some do something else than return their number."""

    def __init__(self, pool: oc.Pool, folder: Path) -> None:
        self.pool = pool
        self.gate = str(folder / "gate")
        assert pool.submit(tiny, 0).result() == 0
        for pace in pool._engine.core._scheduler._paces._tasks.values():
            pace.mean = pace.peak = 2_000.0  # as it is learnt on a quiet machine
        self.sent = Sent(pool)
        self.holds = [pool.submit(held, self.gate) for _ in range(pool.workers)]
        until(lambda: all(each.running() for each in self.holds), "all workers are busy")

    def submit(self, path: str = "", **others: str) -> list[Future[Any]]:
        """The word in ``others`` is done by the calls with numbers after the first underscore."""
        words = {int(name[1:]): word for name, word in others.items()}
        every = words.pop(0, "")
        return [
            self.pool.submit(tiny, number, words.get(number, every), path) for number in range(MANY)
        ]

    def go(self) -> None:
        Path(self.gate).touch()
        for each in self.holds:
            each.result(60)


@pytest.fixture
def burst(make_pool: MakePool, process_method: str, tmp_path: Path) -> Burst:
    return Burst(make_pool(process_method, 1), tmp_path)


def good(futures: list[Future[Any]], *but: int) -> None:
    """Check all but some."""
    for number, future in enumerate(futures):
        if number not in but:
            assert future.result(60) == number


def test_tiny_calls_are_given_out_together(burst: Burst) -> None:
    futures = burst.submit()
    burst.go()
    good(futures)
    assert burst.sent.runs_of(50)


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_a_worker_s_death_costs_one_call(burst: Burst, tmp_path: Path, end: str) -> None:
    """All others run exactly once, those whose outcomes had not been sent among them."""
    path = str(tmp_path / "ran")
    futures = burst.submit(path, _0="note", _77=end, _78=end)
    burst.go()
    good(futures, 77, 78)
    for number in (77, 78):
        with pytest.raises(oc.WorkerDied, match="tiny"):
            futures[number].result(60)
    ran = [int(line) for line in Path(path).read_text().split()]
    assert sorted(ran) == [each for each in range(MANY) if each not in (77, 78)]
    assert burst.sent.runs_of(50)


def test_the_first_and_the_last_of_a_run_may_kill(burst: Burst) -> None:
    futures = burst.submit(_0="", _1="kill", _199="exit")
    burst.go()
    good(futures, 1, 199)
    for number in (1, 199):
        assert isinstance(futures[number].exception(60), oc.WorkerDied)


def test_a_call_that_exits_ends_its_worker_alone(burst: Burst) -> None:
    """As ``SystemExit`` does in a pool; the next worker takes the rest."""
    futures = burst.submit(_50="sys.exit")
    burst.go()
    good(futures, 50)
    assert isinstance(futures[50].exception(60), oc.WorkerDied)


def test_outcomes_before_a_slow_call_come_while_it_runs(burst: Burst, tmp_path: Path) -> None:
    path = str(tmp_path / "slow")
    futures = burst.submit(path, _120="wait")
    burst.go()
    for number in range(120):
        assert futures[number].result(60) == number
    until(lambda: os.path.exists(f"{path}.begun"), "the slow one runs")
    assert not futures[120].done()
    Path(path).touch()
    good(futures)


def test_errors_are_their_calls_own(burst: Burst) -> None:
    futures = burst.submit(_3="raise", _60="lambda", _61="stop", _100="raise")
    burst.go()
    good(futures, 3, 60, 61, 100)
    for number in (3, 100):
        with pytest.raises(ZeroDivisionError):
            futures[number].result(60)
    assert futures[60].result(60)() == 60, "pickled by value"
    assert isinstance(futures[61].exception(60), StopIteration)


def test_large_results_arrive_between_small_ones(burst: Burst) -> None:
    futures = burst.submit(_5="array", _6="long", _90="array", _199="array")
    burst.go()
    good(futures, 5, 6, 90, 199)
    assert futures[6].result(60) == "x" * 5_000
    for number in (5, 90, 199):
        assert (futures[number].result(60) == number).all()


def test_cancelled_calls_are_left_out(burst: Burst) -> None:
    futures = burst.submit()
    for number in range(10, 150):
        assert futures[number].cancel()
    burst.go()
    good(futures, *range(10, 150))
    assert all(futures[number].cancelled() for number in range(10, 150))


def test_all_calls_of_a_run_are_cancelled(burst: Burst) -> None:
    assert all(future.cancel() for future in burst.submit())
    burst.go()
    assert burst.pool.submit(tiny, 5).result(60) == 5
    until(lambda: not burst.pool._engine.core.assigned, "nothing is left")


def test_a_call_that_runs_is_cancelled_alone(burst: Burst, tmp_path: Path) -> None:
    path = str(tmp_path / "never")
    futures = burst.submit(path, _100="wait")
    burst.go()
    until(lambda: os.path.exists(f"{path}.begun"), "it runs")
    assert burst.pool.cancel(futures[100])
    good(futures, 100)
    assert futures[100].cancelled()


def test_a_call_behind_the_one_that_runs_is_cancelled(burst: Burst, tmp_path: Path) -> None:
    """Its worker goes on with what it does, and the call never runs."""
    path, ran = str(tmp_path / "slow"), str(tmp_path / "ran")
    futures = burst.submit(path, _20="wait")
    marked = [burst.pool.submit(tiny, 1000 + number, "note", ran) for number in range(MANY)]
    burst.go()
    until(lambda: os.path.exists(f"{path}.begun"), "the slow one runs")
    for future in (futures[21], futures[150], marked[7]):
        burst.pool.cancel(future)
    until(lambda: not burst.pool._engine.core.aborting, "they are taken back")
    Path(path).touch()
    good(futures, 21, 150)
    for number, future in enumerate(marked):
        if number != 7:
            assert future.result(60) == 1000 + number
    assert all(future.cancelled() for future in (futures[21], futures[150], marked[7]))
    assert "1007" not in Path(ran).read_text().split()


def test_what_is_behind_a_slow_call_goes_to_another_worker(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "slow")
    burst = Burst(make_pool(process_method, 2), tmp_path)
    futures = burst.submit(path, _30="wait")
    burst.go()
    good(futures, 30)
    assert not futures[30].done()
    Path(path).touch()
    good(futures)


def test_output_comes_before_its_call_s_result(
    burst: Burst, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    futures = burst.submit(_0="say")
    burst.go()
    for number, future in enumerate(futures):
        assert future.result(60) == number
        assert f"record {number}" in caplog.messages
    burst.pool.close()
    burst.pool.join()
    said = [line for line in capfd.readouterr().out.splitlines() if "number" in line]
    assert len(said) == MANY


setting = 0


def read(number: int) -> tuple[int, int]:
    return number, setting


def test_each_call_sees_the_variables_of_its_time(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    """Calls with other values are in other runs."""
    global setting
    pool = make_pool(process_method, 1)
    setting = 0
    for _ in range(30):
        pool.submit(read, 0).result()
    gate = str(tmp_path / "gate")
    hold = pool.submit(held, gate)
    futures = []
    for number in range(120):
        setting = number // 30
        futures.append(pool.submit(read, number))
    Path(gate).touch()
    hold.result(60)
    assert [each.result(60) for each in futures] == [(at, at // 30) for at in range(120)]
    setting = 0


def test_spans_and_totals_have_each_call(burst: Burst) -> None:
    before = len(burst.pool.spans())
    futures = burst.submit(_9="raise")
    burst.go()
    good(futures, 9)
    assert isinstance(futures[9].exception(60), ZeroDivisionError)
    spans = burst.pool.spans()[before:]
    mine = spans[spans["task"] > 0]
    assert len(mine) == MANY + 1
    assert len(set(mine["task"].tolist())) == MANY + 1
    assert (mine["state"] == "failed").sum() == 1
    assert (mine["started"] >= mine["sent"]).all()
    assert (np.diff(np.sort(mine["started"])) >= 0).all()


def test_a_pool_that_is_ended_in_a_run_ends_every_wait(burst: Burst, tmp_path: Path) -> None:
    futures = burst.submit(str(tmp_path / "never"), _50="wait")
    burst.go()
    good(futures[:50])
    burst.pool.terminate()
    burst.pool.join()
    for future in futures[50:]:
        assert future.cancelled() or isinstance(future.exception(60), oc.PoolClosed)


def test_callbacks_are_called_once(burst: Burst) -> None:
    seen: list[int] = []
    futures = burst.submit()
    for future in futures:
        future.add_done_callback(lambda each: seen.append(each.result()))
    burst.go()
    burst.pool.close()
    burst.pool.join()
    assert seen == list(range(MANY))


def whose(number: int) -> tuple[int, int]:
    return number, os.getpid()


def test_a_worker_gets_no_more_than_its_share(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    """Of tasks, after which it is replaced: those of a run count as that many."""
    pool = make_pool(process_method, 1, maxtasksperchild=25)
    gate = str(tmp_path / "gate")
    assert pool.submit(whose, 0).result()[0] == 0
    for pace in pool._engine.core._scheduler._paces._tasks.values():
        pace.mean = pace.peak = 2_000.0
    hold = pool.submit(held, gate)
    futures = [pool.submit(whose, number) for number in range(200)]
    Path(gate).touch()
    hold.result(60)
    seen = [future.result(60) for future in futures]
    assert [number for number, _ in seen] == list(range(200))
    pids = [pid for _, pid in seen]
    assert max(map(pids.count, set(pids))) <= 25
