"""The records of tasks and of memory: exact sums, bounded memory, no process."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from time import monotonic_ns

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._engine.output_dispatch import STDOUT, OutputDispatcher
from onecopy._observe.columns import DONE, FAILED, LOST, SPAN, SPENT, struct_of
from onecopy._observe.diary import Diary
from onecopy._observe.sampler import pages
from onecopy._observe.series import Series, Watch
from onecopy._observe.spans import KNOWN, Recorder
from onecopy._protocol.log_settings import Applied, Settings

ROW = struct_of(SPENT)


def record(recorder: Recorder, number: int, took: int, state: int = DONE) -> None:
    site = recorder.site("map", f"f{number % 3}", ("program.py", 1))
    name = recorder.function_of[site]
    known = KNOWN.pack(number, 0, 0, name, site, number % 2 + 1, 7, state, 1, 2, 9 + took, 10, 20)
    spent = ROW.pack(3, 4, 5, 5 + took, 6 + took, 1, 2, 0, 0, took, 0, 0, 0, 0, 0, 0, 30, 40, 0)
    recorder.record(state, known, spent)


@given(st.integers(0, 30_000), st.sampled_from([0, 4096, 10_000]))
def test_sums_are_exact_whatever_is_kept(tasks: int, keep: int) -> None:
    recorder = Recorder(keep)
    for number in range(tasks):
        record(recorder, number, number, FAILED if number % 5 == 0 else DONE)
    totals = recorder.totals()
    assert totals["tasks"].sum() == tasks
    assert totals["compute"].sum() == sum(range(tasks))
    assert totals["failed"].sum() == recorder.failed == -(-tasks // 5)
    assert totals["result_moved"].sum() == 30 * tasks
    assert len(recorder.spans()) <= -(-keep // 4096) * 4096 + 4096
    assert recorder.spans()["task"].tolist() == list(range(tasks))[tasks - len(recorder.spans()) :]
    assert len(totals) == min(tasks, 6), "three functions, two workers"


def test_the_longest_are_remembered() -> None:
    recorder = Recorder(0)
    for number in range(20_000):
        record(recorder, number, 1_000_000 if number == 17 else number % 100)
    longest = recorder.longest()
    assert longest["task"][0] == 17
    assert len(longest) == 100


def test_lost_ones_count() -> None:
    recorder = Recorder()
    record(recorder, 1, 5, LOST)
    assert recorder.lost == 1
    assert recorder.totals()["lost"].sum() == 1


def test_names_without_end_are_not_kept() -> None:
    recorder = Recorder()
    numbers = {recorder.site("map", f"made{i}", ("program.py", 1)) for i in range(20_000)}
    assert len(numbers) == len(recorder.functions) == len(recorder.sites) == 10_001


def test_a_span_has_its_columns() -> None:
    recorder = Recorder()
    record(recorder, 3, 100)
    assert recorder.spans().dtype.names == tuple(name for name, _ in SPAN)
    [span] = recorder.spans()
    found = (span["received"], span["finished"], span["returned"], span["args_shared"])
    assert found == (3, 105, 109, 20)


# Memory over time.


def reading(time: int, *pss: int) -> list[tuple[int, ...]]:
    return [(time, 100 + at, at, 0, each, 0, 0, 0, 0, 0, 0) for at, each in enumerate(pss)]


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=400))
def test_a_series_keeps_first_last_and_peak(values: list[int]) -> None:
    series = Series(most=40)
    for time, value in enumerate(values):
        series.add(reading(time, value, value))
    table = series.table()
    assert len(table) <= 42
    times = table["time"]
    assert times.tolist() == sorted(times.tolist())
    assert (times[0], times[-1]) == (0, len(values) - 1)
    assert series.peak_pss == 2 * max(values) == 2 * table["pss"].max()


def test_old_readings_stay_where_memory_changed() -> None:
    """Of a long flat stretch with one step, the readings at the step stay, to the nanosecond."""
    series = Series(most=40)
    for time in range(10_000):
        series.add(reading(time, 100 if time < 3_000 else 900))
    table = series.table()
    assert len(table) <= 42
    step = table["time"][np.flatnonzero(np.diff(table["pss"].astype(int)))[0] :][:2]
    assert step.tolist() == [2_999, 3_000]


def test_a_spike_and_a_dip_stay() -> None:
    series = Series(most=200)
    heights = {1_000: 5_000, 2_500: 10, 15_001: 4_000}
    for time in range(20_000):
        series.add(reading(time, heights.get(time, 1_000)))
    table = series.table()
    kept = dict(zip(table["time"].tolist(), table["pss"].tolist(), strict=True))
    assert heights.items() <= kept.items()
    assert np.diff(table["time"].astype(int)).max() <= 20_000 / 20, "all of the time is covered"


def test_watching_this_process() -> None:
    watch = Watch(lambda: {os.getpid(): -1}, lambda: 0, lambda: False)
    try:
        held = np.ones(5_000_000)
        watch.sample()
        table = watch.series.table()
        assert table["uss"][-1] >= held.nbytes
        assert set(table["pid"].tolist()) == {os.getpid()}
    finally:
        watch.stop()


def test_growth_between_readings() -> None:
    """Private memory that comes and goes is counted without a reading."""
    here = os.getpid()
    watch = Watch(lambda: {here: 3}, lambda: 0, lambda: False)
    watch.stop()  # no thread reads meanwhile
    watch.sample()
    held = np.ones(10_000_000)
    watch._noted_at = 0  # as if the last row were old
    watch._follow(pages([here]))
    rows = watch.series.table()
    for name in ("rss", "pss", "uss", "private_dirty"):
        grown = int(rows[name][-1]) - int(rows[name][-2])
        assert held.nbytes * 0.98 < grown < held.nbytes * 1.1, name
    assert (rows["worker"][-1], rows["shared"][-1]) == (3, rows["shared"][-2])
    watch.sample()
    read = int(watch.series.table()["uss"][-1])
    assert read == pytest.approx(int(rows["uss"][-1]), rel=0.02)
    assert watch.series.peak_pss >= rows["pss"][-1]
    del held
    watch._noted_at = 0
    watch._follow(pages([here]))
    assert int(watch.series.table()["uss"][-1]) < read - 70_000_000


def test_a_process_that_is_gone_is_left_out() -> None:
    watch = Watch(lambda: {1 << 30: 1}, lambda: 0, lambda: False)
    try:
        watch.sample()
        assert len(watch.series.table()) == 0
    finally:
        watch.finish()


# Settings.


@pytest.fixture
def restored() -> Iterator[None]:
    root, log = logging.getLogger(), logging.getLogger("tests.settings")
    levels = root.level, log.level
    with warnings.catch_warnings():
        yield
    root.setLevel(levels[0])
    log.setLevel(levels[1])
    log.disabled = False
    logging.disable(logging.NOTSET)


def test_a_change_is_noticed_and_nothing_else(restored: None) -> None:
    settings = Settings()
    first, body = settings.now()
    assert settings.now() == (first, body)
    logging.getLogger("tests.settings").setLevel(logging.ERROR)
    second, other = settings.now()
    assert second != first
    assert other != body
    assert settings.now()[0] == second
    warnings.simplefilter("ignore")
    third, _ = settings.now()
    assert third != second
    logging.disable(logging.INFO)
    assert settings.now()[0] != third


def test_what_was_told_is_applied(restored: None) -> None:
    log = logging.getLogger("tests.settings")
    log.setLevel(logging.ERROR)
    logging.disable(logging.DEBUG)
    warnings.simplefilter("error", ResourceWarning)
    told = Settings().now()[1]
    filters = list(warnings.filters)
    log.setLevel(logging.NOTSET)
    logging.disable(logging.NOTSET)
    warnings.resetwarnings()
    applied = Applied()
    applied.apply(told)
    assert log.level == logging.ERROR
    assert logging.root.manager.disable == logging.DEBUG
    assert warnings.filters == filters
    log.setLevel(logging.NOTSET)
    applied.apply(Settings().now()[1])
    assert log.level == logging.NOTSET


# OutputDispatcher.


def test_nonsense_is_the_worker_s_fault_and_costs_nobody_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    blamed: list[int] = []
    diary = Diary(monotonic_ns())
    hearing = OutputDispatcher(
        lambda: None, lambda worker, _: blamed.append(worker), diary, prefixed=False
    )
    for kind in (0, 1):
        hearing.put(3, [(1, kind, b"\xff\xff nonsense")])
    hearing.put(4, [(2, STDOUT, b"sense\n")])
    done: list[str] = []
    assert hearing.after(2, lambda: done.append("after")) or not done
    hearing.close()
    assert blamed == [3, 3]
    assert capsys.readouterr().out == "sense\n"
    assert not hearing.is_behind(1)
    assert not hearing.is_full(3)
