"""The parts of tasks' time, the lines that called them, and the calls that show it: real pools."""

from __future__ import annotations

import importlib
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import onecopy as oc
from onecopy._report import gather, saved
from onecopy._report.advice import advice, verdict
from onecopy._report.calls import calls
from onecopy._report.heaviest import heaviest
from onecopy._report.terminal import print_report
from tests import scripts
from tests.conftest import MakePool

pytestmark = pytest.mark.door


def spin(seconds: float) -> None:
    """Computes for so long, by the CPU's clock."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def nap(seconds: float) -> None:
    time.sleep(seconds)


def burn(seconds: float) -> None:
    spin(seconds)


def test_running_and_pausing(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 2)
    pool.map(nap, [0.05] * 4, chunksize=1)
    parts = gather.run(pool._engine).accounting()
    # A nap is a little longer than what is measured of it without the CPU that it takes.
    assert 0.19 <= parts.pausing + parts.wanting <= parts.compute
    assert parts.running < 0.05
    pool.map(burn, [0.05] * 4, chunksize=1)
    more = gather.run(pool._engine).accounting()
    assert 0.19 <= more.running - parts.running <= 0.3
    # Two threads wait for the GIL in turn, about as long as they run.
    assert more.pausing - parts.pausing < (0.1 if method != "thread" else 0.4)
    assert abs(more.other) <= 0.02 * more.total


def test_a_program_that_a_task_starts_computes_in_its_place(make_pool: MakePool) -> None:
    def start() -> None:
        source = "import time\nwhile time.process_time() < 0.2: pass"
        subprocess.run([sys.executable, "-S", "-c", source], check=True)

    pool = make_pool("fork", 1)
    pool.apply(start)
    [span] = gather.run(pool._engine).spans
    assert span["cpu"] >= 190_000_000


def test_imports_are_a_part_of_their_own(
    make_pool: MakePool, process_method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text(
        "import time\nuntil = time.thread_time() + 0.1\nwhile time.thread_time() < until: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def task() -> str:
        return importlib.import_module("slow_to_import").__name__

    pool = make_pool(process_method, 1)
    assert pool.apply(task) == "slow_to_import"
    run = gather.run(pool._engine)
    parts = run.accounting()
    assert run.spans["importing"][0] >= 100_000_000
    assert parts.importing >= 0.1
    assert parts.compute < 0.1, "and no part of it"
    [(name, times, cpu)] = [each for each in run.imports if each[0] == "slow_to_import"]
    assert (name, times) == ("slow_to_import", 1)
    assert cpu >= 100_000_000
    pool.apply(task)
    again = gather.run(pool._engine).spans[1]
    assert again["imported"] + again["importing"] < 50_000_000


def test_an_import_that_fails_has_its_usual_traceback(make_pool: MakePool) -> None:
    def task() -> None:
        importlib.import_module("json.there_is_none")

    pool = make_pool("fork", 1)
    with pytest.raises(ModuleNotFoundError) as caught:
        pool.apply(task)
    assert "find_and_load" not in str(caught.value.__cause__).partition("_gcd_import")[0]
    assert "imports.py" not in str(caught.value.__cause__)


def test_calls_have_their_line(make_pool: MakePool, engine: str) -> None:
    pool = make_pool(engine, 2)
    first = sys._getframe().f_lineno + 1
    pool.map(nap, [0.0] * 4)
    for _ in range(3):
        pool.submit(nap, 0.0).result()
    list(pool.imap(nap, [0.0] * 4, chunksize=2))
    run = gather.run(pool._engine)
    assert [(site[0], site[3], site[4]) for site in run.sites] == [
        ("map", first, 0),
        ("submit", first + 2, 0),
        ("imap", first + 3, 2),
    ]
    assert {site[2] for site in run.sites} == {__file__}
    assert {f"{Path(line).name}" for line in pool.spans()["line"].tolist()} == {
        f"{Path(__file__).name}:{line}" for line in (first, first + 2, first + 3)
    }


def test_calls_have_the_program_s_words(make_pool: MakePool, engine: str) -> None:
    """They are read from this file, through each door that knows its line."""
    workers, cells = make_pool(engine, 2), np.arange(100.0)
    workers.map(np.sum, [cells[i::4] for i in range(4)])
    for each in (1, 2):
        workers.options(retries=1).submit(
            np.multiply,
            cells,
            each,
        ).result()
    found = gather.run(workers._engine).words
    assert [(each.pool, each.function, each.sliced, each.whole) for each in found] == [
        ("workers", "np.sum", "cells", ""),
        ("workers", "np.multiply", "", "cells"),
    ]
    assert {each.of_library("oc.share") for each in found} == {"oc.share"}


def test_failures_are_listed(make_pool: MakePool, engine: str) -> None:
    def task(item: int) -> int:
        if item % 10 == 3:
            raise ValueError(f"bad {item}")
        return item

    pool = make_pool(engine, 2)
    with pytest.raises(ValueError, match="bad 3"):
        pool.map(task, range(100))
    with pytest.raises(ValueError, match="bad 3"):
        pool.submit(task, 3).result()
    run = gather.run(pool._engine)
    assert verdict(run).startswith("11 of 101 items failed: ValueError('bad ")
    assert sum(each.number for each in run.failures) == 11
    assert {each.first for each in run.failures if run.sites[each.site][0] == "map"} == set(
        range(3, 100, 10)
    )


def test_what_was_retried_with_success_has_not_failed(make_pool: MakePool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def task() -> int:
        if not mark.exists():
            mark.touch()
            raise OSError("once")
        return 1

    pool = make_pool("fork", 1)
    assert pool.options(retries=1, retry_on=OSError).apply(task) == 1
    assert gather.run(pool._engine).failures == ()


def test_what_runs_now(make_pool: MakePool, process_method: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pool = make_pool(process_method, 1)
    pool.apply(nap, (0.0,))
    assert pool.stats().running == ()
    future = pool.submit(lambda path: path.read_bytes(), pipe)
    scripts.until(lambda: bool(pool.stats().running), "the task is with the worker")
    [at] = pool.stats().running
    assert (at.pid, at.method, at.task) == (pool.pids()[0], "submit", 2)
    assert "<lambda>" in at.function
    assert at.seconds >= 0
    assert "task 2" in str(at)
    assert "task 2" in pool.stats()._repr_html_()
    pipe.write_bytes(b"x")
    assert future.result() == b"x"
    scripts.until(lambda: not pool.stats().running, "it has ended")


# Executors and the environment.


def test_an_executor_is_seen_as_a_pool_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with oc.ProcessPoolExecutor(2, "fork") as executor:
        assert executor.stats().tasks == 0
        list(executor.map(nap, [0.0] * 10, chunksize=5, progress=True))
        assert executor.stats().tasks == 2
        assert len(executor.spans()) == 2
    assert "10 of 10 items" in capsys.readouterr().err
    executor.report(tmp_path / "run.onecopy")
    run = saved.load(tmp_path / "run.onecopy")
    assert run.tasks == 2
    assert run.sites[0][0] == "map"
    executor.report()
    assert "2 tasks)" in capsys.readouterr().out


def test_an_executor_that_has_done_nothing_has_nothing_to_say() -> None:
    executor = oc.ProcessPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.report()
    assert executor.stats().workers == 0


def test_joblib_is_seen_as_a_pool_is(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    from onecopy import joblib as ours

    ours.register()
    line = sys._getframe().f_lineno + 2
    with joblib.parallel_config(backend="onecopy", n_jobs=2):
        joblib.Parallel(batch_size=1)(joblib.delayed(nap)(0.001) for _ in range(40))
        assert ours.stats().tasks == 40
        assert set(ours.spans()["line"].tolist()) == {f"{__file__}:{line}"[-80:]}
        ours.report(tmp_path / "run.onecopy")
    ours._last.clear()
    with pytest.raises(RuntimeError, match="ONECOPY_REPORT"):
        ours.stats()
    assert saved.load(tmp_path / "run.onecopy").tasks == 40


PROGRAM = """
import onecopy as oc
with oc.Pool(1) as pool:
    pool.map(abs, range(10))
with oc.ProcessPoolExecutor(1) as executor:
    list(executor.map(abs, range(20)))
pool = oc.Pool(1, method="thread")
pool.map(abs, range(30))
"""


def test_reports_of_a_program_that_says_nothing_of_them(tmp_path: Path) -> None:
    environment = os.environ | {"ONECOPY_REPORT": str(tmp_path / "run.onecopy")}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)
    found = {path.name: saved.load(path) for path in tmp_path.iterdir()}
    items = {name: int(run.totals["items"].sum()) for name, run in found.items()}
    assert items == {"run.onecopy": 10, "run-2.onecopy": 20, "run-3.onecopy": 30}


@pytest.mark.parametrize(
    ("value", "said"),
    [("run.txt", "ONECOPY_REPORT: 'run.txt'"), ("/nowhere/run.html", "cannot be written")],
)
def test_a_report_that_cannot_be_written(value: str, said: str) -> None:
    environment = os.environ | {"ONECOPY_REPORT": value}
    source = "import onecopy as oc\nwith oc.Pool(1) as pool: pool.map(abs, [1])"
    done = subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=60
    )
    assert said in done.stderr
    assert done.returncode == (1 if value == "run.txt" else 0)


# The profile.


def outer(seconds: float) -> None:
    burn(seconds)


def test_a_profile_leads_to_the_line(
    make_pool: MakePool, process_method: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pool = make_pool(process_method, 2, profile=True)
    pool.map(outer, [0.1] * 6, chunksize=1)
    run = gather.run(pool._engine)
    first = heaviest(run, 1, 1)[0]
    assert first.function.endswith("outer")
    assert first.where.startswith("spin (test_report_parts.py:")
    assert first.share > 0.5
    parts = run.accounting()
    seen = sum(spent for _, _, spent in run.profile) / 1e9
    assert seen <= parts.compute + 0.1
    pool.report()
    assert "heaviest lines" in capsys.readouterr().out
    pool.report(tmp_path / "run.html")
    assert "Where your functions spend their time" in (tmp_path / "run.html").read_text()


def test_there_is_no_profile_unless_it_is_wanted(make_pool: MakePool) -> None:
    pool = make_pool("fork", 1)
    pool.apply(burn, (0.05,))
    assert gather.run(pool._engine).profile == ()
    assert pool.apply(threading.active_count) == 1


def test_the_environment_asks_for_a_profile(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONECOPY_PROFILE", "1")
    pool = make_pool("fork", 1)
    pool.map(burn, [0.1, 0.1], chunksize=1)
    assert gather.run(pool._engine).profile


# What the owner does.


def slow_items() -> Iterator[float]:
    for _ in range(10):
        time.sleep(0.05)
        yield 0.0


def test_slow_handlers_and_iterables_are_told_apart(make_pool: MakePool) -> None:
    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            time.sleep(0.05)

    def says(item: int) -> None:
        logging.getLogger("seen.parts").warning("item %d", item)

    logger = logging.getLogger("seen.parts")
    logger.addHandler(Slow())
    logger.propagate = False
    try:
        pool = make_pool("fork", 1)
        pool.map(says, range(10), chunksize=1)
    finally:
        logger.handlers.clear()
    parts = gather.run(pool._engine).accounting()
    assert parts.handlers >= 0.4
    assert parts.iterable < 0.1
    list(pool.imap(nap, slow_items(), chunksize=1))
    more = gather.run(pool._engine).accounting()
    assert more.iterable >= 0.4
    assert abs(more.other) <= 0.02 * more.total


def numbers(count: int) -> list[int]:
    return list(range(count))


def test_unpacking_of_pickled_results_is_told_from_tasks_on_their_way(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    pool.map(numbers, [1])
    pool.map(numbers, [300_000] * 6, chunksize=1)
    [_, results] = [
        call.idle for call in sorted(calls(gather.run(pool._engine)), key=lambda c: c.site)
    ]
    assert results["results"] > results["handing"]


def test_lanes_are_drawn_as_time_is_accounted_for(make_pool: MakePool) -> None:
    pool = make_pool("fork", 2)
    pool.map(nap, [0.0] * 2, chunksize=1)
    list(pool.imap(nap, slow_items(), chunksize=1))  # mostly by one worker: the other only waits
    pool.map(nap, [0.4], chunksize=1)
    run = gather.run(pool._engine)
    text = io.StringIO()
    print_report(run, text, 120)
    lanes = [line[10:] for line in text.getvalue().splitlines() if line.startswith("worker ")]
    assert len(lanes) == 2
    parts = run.accounting()
    drawn = "".join(lanes).count("_") / sum(map(len, lanes))
    assert drawn == pytest.approx(parts.tail / parts.total, abs=0.06)
    assert parts.tail / parts.total > 0.1


def test_kinds_of_large_arguments(make_pool: MakePool, process_method: str) -> None:
    x = np.ones(2_000_000)
    pool = make_pool(process_method, 1)
    pool.map(len, np.array_split(x, 4))
    for _ in range(3):
        pool.submit(len, x).result()
    pool.map(len, [np.ones(500_000) for _ in range(3)], chunksize=1)
    pool.map(len, [list(range(500_000))] * 2, chunksize=1)
    found = {
        pool._engine.history.recorder.sites[site][3]: kind
        for site, kind, *_ in pool._engine.history.large.all()
    }
    assert list(found.values()) == ["slices", "same", "own", "objects"]


def test_kinds_of_large_frames(make_pool: MakePool, process_method: str) -> None:
    """The same frame, its slices, and copies of some of its rows need different cures."""
    pd = pytest.importorskip("pandas")
    df = pd.DataFrame({"k": np.arange(600_000) % 3, "x": np.ones(600_000)})
    parts = [df[df["k"] == k] for k in range(3)]
    pool = make_pool(process_method, 1)
    pool.map(len, [df] * 3, chunksize=1)
    pool.map(len, [(df, k) for k in range(3)], chunksize=1)
    for _ in range(3):
        pool.submit(len, df).result()
    pool.map(len, [df.iloc[at : at + 300_000] for at in (0, 1, 2)], chunksize=1)
    for at in range(3):
        pool.submit(len, df.iloc[at : at + 300_000]).result()
    for _ in range(2):
        pool.map(len, parts, chunksize=1)
    for part in parts:
        pool.submit(len, part).result()
    groups = [group for _, group in df.groupby("k")]
    pool.map(len, groups, chunksize=1)
    for group in groups:
        pool.submit(len, group).result()
    found = [(kind, moved) for _, kind, moved, _ in pool._engine.history.large.all()]
    same, copies = ["same frame"] * 3, ["frames"] * 2
    assert [kind for kind, _ in found] == [*same, "pieces", "tables", *copies, "frames", "tables"]
    # The first time is of the same kind as those that follow.
    assert found[0][1] > 3 * 9_000_000


def test_slices_of_frames_with_labels_of_their_own(
    make_pool: MakePool, process_method: str
) -> None:
    """They are not said to be groups, which they may be too."""
    pd = pytest.importorskip("pandas")
    times = pd.date_range("2026-01-01", periods=600_000, freq="s")
    df = pd.DataFrame({"x": np.ones(600_000)}, index=times)
    pool = make_pool(process_method, 1)
    pool.map(len, [df.iloc[at : at + 300_000] for at in (0, 1, 2)], chunksize=1)
    pool.map(len, [df[df["x"] > at] for at in (0.1, 0.2, 0.3)], chunksize=1)
    found = [kind for _, kind, *_ in pool._engine.history.large.all()]
    assert found == ["tables", "frames"]


def inverse(x: int) -> float:
    return 1 / x


def test_a_call_that_keeps_the_other_results_is_not_told_to(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    pool.map(inverse, range(5), errors="return")
    first, *_ = advice(gather.run(pool._engine))
    assert first.kind == "failed"
    assert "errors=." in first.change
    list(pool.imap(inverse, range(1, 3)))
    with pytest.raises(ZeroDivisionError):
        list(pool.imap(inverse, range(2)))
    first, *_ = advice(gather.run(pool._engine))
    assert 'errors="return"' in first.change


def test_values_of_frame_libraries_that_are_no_frames(
    make_pool: MakePool, process_method: str
) -> None:
    pd = pytest.importorskip("pandas")
    index = pd.MultiIndex.from_arrays([np.arange(300_000), np.arange(300_000)])
    pool = make_pool(process_method, 1)
    pool.map(len, [(pd.Timestamp(0), np.ones(200_000)) for _ in range(2)], chunksize=1)
    assert pool.map(len, [index, index], chunksize=1) == [300_000] * 2
    found = [kind for _, kind, *_ in pool._engine.history.large.all()]
    assert found == ["own", "same frame"]


def test_a_report_has_names_without_the_main_module(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import onecopy as oc\n"
        "def f(x): return x\n"
        "with oc.Pool(1, method='fork') as pool:\n"
        "    pool.map(f, [1, 2])\n"
        "    pool.report()\n"
        "    print('spans', pool.spans()['name'][0])\n"
    )
    said = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    lines = said.splitlines()
    assert any(line.split()[:1] == ["f"] for line in lines)
    assert [line for line in lines if "__main__" in line] == ["spans __main__.f"]


def test_a_call_that_is_cancelled_has_not_failed(make_pool: MakePool, process_method: str) -> None:
    """Its worker was killed because the caller wanted that: no failure, and nothing to retry."""
    pool = make_pool(process_method, 1)
    future = pool.submit(time.sleep, 600)
    pool.submit(abs, -1)  # waits behind it
    while not future.running():
        time.sleep(0.01)
    pool.cancel(future)
    assert pool.apply(abs, (-2,)) == 2
    run = gather.run(pool._engine)
    assert run.failures == ()
    assert "failed" not in verdict(run)
    assert "lost" not in [each.kind for each in advice(run)]


def test_calls_in_cells_are_named_as_their_notebook_does(
    make_pool: MakePool, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = SimpleNamespace(
        compile=SimpleNamespace(
            format_code_name={__file__: ("Cell", "In[4]")}.get,
        )
    )
    monkeypatch.setitem(
        sys.modules,
        "IPython",
        SimpleNamespace(get_ipython=lambda: shell),
    )
    pool = make_pool(engine, 1)
    pool.map(abs, [1])
    assert [site[2] for site in gather.run(pool._engine).sites if site[2]] == ["In[4]"]
    assert pool.spans()["line"][0].startswith("In[4]:")
