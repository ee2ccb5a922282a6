"""Spans, where the time went, memory, and reports of real pools under every start method."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._observe.columns import MEMORY, OTHER, OWNER
from onecopy._observe.sampler import Pacing, pages
from onecopy._observe.series import Watch
from onecopy._report import gather, saved
from tests import scripts
from tests.arrays import Array
from tests.conftest import MakePool

pytestmark = pytest.mark.door

MB = 1_000_000
DATA: list[Array] = []


def busy(seconds: float) -> float:
    """Compute for that many seconds of CPU time, however busy the machine is; return how long
    it was."""
    begin, used = time.perf_counter(), time.thread_time()
    while time.thread_time() - used < seconds:
        pass
    return time.perf_counter() - begin


def tiny(x: int) -> int:
    return x


def make(size: int) -> Array:
    return np.ones(size // 8)


def total(data: Array) -> float:
    return float(data.sum())


def many_tiny(pool: oc.Pool) -> None:
    for future in [pool.submit(tiny, i) for i in range(3000)]:
        future.result()


def few_large(pool: oc.Pool) -> None:
    pool.map(busy, [0.15] * 6, chunksize=1)


def imbalanced(pool: oc.Pool) -> None:
    pool.map(busy, [0.4, 0.05, 0.05, 0.05], chunksize=1)


def big_arguments(pool: oc.Pool) -> None:
    for future in [pool.submit(total, np.ones(1_000_000)) for _ in range(10)]:
        future.result()


def big_results(pool: oc.Pool) -> None:
    for future in [pool.submit(make, 8 * MB) for _ in range(10)]:
        future.result()


WORKLOADS = (many_tiny, few_large, imbalanced, big_arguments, big_results)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each.__name__)
def test_where_the_time_went_adds_up(
    make_pool: MakePool, method: str, workload: Callable[[oc.Pool], None]
) -> None:
    pool = make_pool(method, 2)
    workload(pool)
    parts = gather.run(pool._engine).accounting()
    assert abs(parts.other) <= 0.02 * parts.total
    assert min(parts[2:-1]) >= 0


def set_up(seconds: float) -> None:
    time.sleep(seconds)


def test_the_initializer_counts_for_itself(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 2, initializer=set_up, initargs=(0.3,))
    # What the initializer of a worker has taken is known when that is ready.
    scripts.until(lambda: [bool(row[3]) for row in pool._engine.worker_history()] == [True] * 2)
    pool.map(tiny, range(100))
    parts = gather.run(pool._engine).accounting()
    assert parts.initializing >= 2 * 0.3
    assert parts.startup + parts.initializing < 2 * parts.wall
    assert abs(parts.other) <= 0.02 * parts.total


def test_compute_is_what_the_tasks_say(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 2)
    began = time.monotonic_ns()
    said = pool.map(busy, [0.1] * 6, chunksize=1)
    ended = time.monotonic_ns()
    run = gather.run(pool._engine)
    parts = run.accounting()
    assert sum(said) <= parts.compute <= 1.05 * sum(said) + 0.02
    assert run.began <= began
    assert run.ended <= ended
    assert parts.wall == pytest.approx((run.ended - run.began) / 1e9)


def test_one_record_per_task(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 2)
    pool.apply(tiny, (1,))
    pool.submit(busy, 0.02).result()
    pool.map(tiny, range(10), chunksize=5)
    with pytest.raises(ZeroDivisionError):
        pool.apply(divmod, (1, 0))
    spans = pool.spans()
    assert len(spans) == 5
    assert [name.rpartition(".")[2] for name in spans["name"]] == [
        *("tiny", "busy", "tiny", "tiny", "divmod")
    ]
    assert spans["state"].tolist() == ["done"] * 4 + ["failed"]
    assert sorted(zip(spans["start"][2:4].tolist(), spans["stop"][2:4].tolist(), strict=True)) == [
        (0, 5),
        (5, 10),
    ]
    assert spans["task"][2] == spans["task"][3]
    order = ("submitted", "sent", "received", "decoded", "started", "finished", "encoded")
    for span in spans:
        times = [int(span[name]) for name in order]
        assert times[:2] == sorted(times[:2])
        assert times[2:] == sorted(times[2:])
        assert span["encoded"] <= span["returned"]
    took = (spans["finished"] - spans["started"])[1]
    assert took >= 20_000_000
    # The machine may have had no CPU for it for a while.
    assert 0.5 * took <= spans["cpu"][1] + spans["wanted"][1]
    assert spans["cpu"][1] <= 1.2 * took
    pids = set(spans["pid"].tolist())
    assert pids <= (set(pool.pids()) if method != "thread" else {os.getpid()})


def test_ready_for_frames(make_pool: MakePool) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pool = make_pool("fork", 1)
    pool.map(tiny, range(100))
    spans = pool.spans()
    frame = pandas.DataFrame(spans)
    assert frame["name"].unique().tolist() == ["tests.processes.test_report.tiny"]
    assert polars.from_numpy(spans).height == len(spans) == len(frame)


def test_bytes_that_moved_and_that_did_not(make_pool: MakePool, process_method: str) -> None:
    data = oc.share(np.ones(1_000_000))
    pool = make_pool(process_method, 1)
    pool.apply(total, (data,))
    pool.apply(total, (np.ones(500_000),))
    pool.apply(make, (2 * MB,))
    shared, plain, result = pool.spans()
    assert shared["args_shared"] == 8 * MB
    assert shared["args_moved"] < 1000
    assert 4 * MB <= plain["args_moved"] < 4 * MB + 10_000
    assert 2 * MB <= result["result_moved"] < 2 * MB + 10_000


def test_a_lost_task_has_its_record(make_pool: MakePool, process_method: str) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    pool = make_pool(process_method, 2)
    pid = {*pool.map(lambda _: os.getpid(), range(40), chunksize=1)}
    with pytest.raises(oc.WorkerDied) as caught:
        pool.apply(die)
    span = pool.spans()[-1]
    assert (span["state"], span["pid"]) == ("lost", caught.value.pid)
    assert caught.value.pid in pid
    assert pool.stats().lost == 1
    pool.map(tiny, range(10))
    parts = gather.run(pool._engine).accounting()
    assert abs(parts.other) <= 0.02 * parts.total


def test_totals_are_exact_beyond_what_is_kept(make_pool: MakePool) -> None:
    pool = make_pool("fork", 2, spans=4096)
    for future in [pool.submit(tiny, i) for i in range(20_000)]:
        future.result()
    assert 4096 <= len(pool.spans()) <= 2 * 4096
    run = gather.run(pool._engine)
    assert run.tasks == 20_000
    assert len(run.slowest) == 100
    parts = run.accounting()
    assert abs(parts.other) <= 0.02 * parts.total


def test_stats_are_a_snapshot(make_pool: MakePool, method: str) -> None:
    pool = make_pool(method, 2)
    pool.map(tiny, range(10), chunksize=1)
    stats = pool.stats()
    assert (stats.tasks, stats.failed, stats.lost) == (10, 0, 0)
    assert stats.started == 2
    assert stats.seconds > 0
    with pytest.raises(AttributeError):
        stats.tasks = 5  # type: ignore[misc]  # frozen
    assert "<table" in stats._repr_html_()


# Memory.


def test_memory_over_time(make_pool: MakePool, process_method: str) -> None:
    data = oc.share(np.ones(12_500_000))  # 100 MB
    pool = make_pool(process_method, 2)
    pool.map(lambda _: float(data.sum()), range(8), chunksize=1)
    run = gather.run(pool._engine)
    workers = set(run.memory["worker"].tolist())
    assert {OWNER, 1, 2} <= workers
    assert (OTHER in workers) == (process_method != "spawn")
    assert run.facts["saved_bytes"] >= 98 * MB, "each of two workers would have its own"
    times = np.unique(run.memory["time"])
    last = run.memory[run.memory["time"] == times[-1]]
    assert last["pss"].sum() < last["rss"].sum() - 98 * MB
    assert pool.stats().peak_pss >= last["pss"].sum() * 0.9


WRITER = """
import sys
import numpy as np
import onecopy as oc
from onecopy._report import gather
from tests import scripts

def write(items):
    data[:items] = 2

if __name__ == "__main__":
    data = np.ones(12_500_000)  # 100 MB
    with oc.Pool(1, method="fork") as pool:
        pool.apply(abs, (1,))
        watch = pool._engine.history.watch
        scripts.until(lambda: bool(watch._inherited), "the worker has been looked at")
        pool.apply(write, (6_250_000,))
        print(gather.run(pool._engine).facts["inherited_bytes_copied"])
"""


def test_what_a_fork_has_copied(tmp_path: Path) -> None:
    """In a program of its own: what the owner writes to is no longer in common either, and the
    heap of a long test run is large."""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    done = scripts.run(tmp_path, WRITER, env=environment, strict=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(50 * MB, rel=0.1)


READERS = """
import sys
import time
import numpy as np
import onecopy as oc

def touch(turn, item):
    begun[turn, item] = True  # each its own: += is no atomic operation
    value = float(data[turn].sum())
    while not begun[turn].all():  # each worker gets one
        time.sleep(0.001)
    return int(value)

if __name__ == "__main__":
    data = [oc.share(np.ones(10)), oc.share(np.ones(25_000_000))]  # 200 MB
    begun = oc.zeros((2, 4), "?")
    with oc.Pool(4, method=sys.argv[1]) as pool:
        # The cost of a worker's first task is no part of it.
        assert pool.starmap(touch, [(0, item) for item in range(4)], chunksize=1) == [10] * 4
        before = oc.memory().pss
        assert pool.starmap(touch, [(1, item) for item in range(4)], chunksize=1) == [25_000_000] * 4
        memory = oc.memory()
    print(memory.saved, memory.pss - before, memory.rss_counted_repeatedly - memory.pss)
    print(memory)
"""


def test_the_sum_of_pss_is_what_is_there(process_method: str, tmp_path: Path) -> None:
    """Of a segment that four processes read, each has its part, and the parts are the whole. In a
    program of its own: a long test run has a large heap, which forked workers copy as they go."""
    done = scripts.run(tmp_path, READERS, process_method, strict=False)
    assert done.returncode == 0, done.stderr
    figures, _, table = done.stdout.partition("\n")
    saved, grown, repeated = map(int, figures.split())
    assert saved >= 3 * 200 * MB * 0.98
    assert grown < 1.1 * 200 * MB, "there is one"
    assert repeated > 580 * MB
    assert "saves" in table


def test_a_new_worker_is_read_as_soon_as_its_part_of_a_reading_is_affordable() -> None:
    targets = {os.getpid(): OWNER}
    watch = Watch(lambda: targets, lambda: 0, lambda: True)
    watch.stop()  # from here on this test decides when it looks
    watch._pacing = Pacing(1.0, time.perf_counter())
    with watch._lock:
        watch._read(forced=True)
    program = "import time; x = b'x' * 60_000_000; print(1, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:

        def followed() -> bool:
            with watch._lock:
                watch._follow(pages(targets))
                return {row[1] for row in watch.series.latest()} == set(targets)

        try:
            assert child.stdout is not None
            child.stdout.readline()
            targets[child.pid] = 1
            with watch._lock:
                assert watch._introduce({child.pid: 1}) > 0
            scripts.until(followed, "it is among the rows")
            row = next(row for row in watch.series.latest() if row[1] == child.pid)
        finally:
            child.kill()
    assert dict(zip([name for name, _ in MEMORY], row, strict=True))["uss"] > 60 * MB


def test_pages_that_a_new_worker_shares_count_once() -> None:
    """In the server's last row, before the fork, they are its own."""
    targets = {os.getpid(): OWNER}
    watch = Watch(lambda: targets, lambda: 0, lambda: True)
    watch.stop()  # from here on this test decides when it looks
    watch._pacing = Pacing(1.0, time.perf_counter())
    program = (
        "import os, time; x = b'x' * 60_000_000; print(1, flush=True); input(); child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as server:
        worker = 0

        def rows() -> dict[int, dict[str, int]]:
            with watch._lock:
                watch._follow(pages(targets))
            names = [name for name, _ in MEMORY]
            return {row[1]: dict(zip(names, row, strict=True)) for row in watch.series.latest()}

        try:
            assert server.stdout is not None
            assert server.stdin is not None
            server.stdout.readline()
            targets[server.pid] = OTHER
            with watch._lock:
                watch._read(forced=True)
            server.stdin.write("\n")
            server.stdin.flush()
            worker = int(server.stdout.readline())
            targets[worker] = 1
            with watch._lock:
                assert watch._introduce({worker: 1}) > 0
            scripts.until(lambda: set(rows()) == set(targets), "it is among the rows")
            found = rows()
        finally:
            server.kill()
            if worker:
                os.kill(worker, signal.SIGKILL)
    assert 60 * MB < found[server.pid]["pss"] + found[worker]["pss"] < 80 * MB


def test_memory_of_others() -> None:
    program = "import time; x = bytearray(60_000_000); print(1, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            found = oc.memory(child.pid)
            assert [each.pid for each in found.processes] == [child.pid]
            assert 60 * MB <= found.uss < 90 * MB
            assert repr(found) == str(found)
            assert repr(found).splitlines()[0].split()[:3] == ["pid", "PSS", "USS"]
            assert found.uss <= found.pss <= found.rss_counted_repeatedly
        finally:
            child.kill()
    with pytest.raises(ProcessLookupError):
        oc.memory(child.pid)
    for bad in (0, -1):
        with pytest.raises(ProcessLookupError):
            oc.memory(bad)


def test_python_s_heap_of_workers(make_pool: MakePool) -> None:
    def keep() -> None:
        import tracemalloc

        tracemalloc.start()
        DATA.append(bytearray(5_000_000))  # type: ignore[arg-type]  # anything large

    pool = make_pool("forkserver", 1)
    pool.apply(tiny, (1,))
    assert gather.run(pool._engine).memory["heap"].max() == 0
    pool.apply(keep)
    run = gather.run(pool._engine)
    assert run.spans["heap"][-1] >= 5_000_000
    last = run.memory[run.memory["worker"] == 1][-1]
    assert last["heap"] == run.spans["heap"][-1]


def test_python_s_heap_when_it_is_traced() -> None:
    import tracemalloc

    assert oc.memory().processes[0].heap is None
    tracemalloc.start()
    try:
        held = bytearray(5_000_000)
        heap = oc.memory().processes[0].heap
    finally:
        tracemalloc.stop()
    assert heap is not None
    assert heap >= len(held)


# Reports.


def test_reports_of_a_real_pool(
    make_pool: MakePool, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(method, 2)
    pool.map(busy, [0.01] * 20, chunksize=1)
    for name in ("run.html", "run.pftrace", "run.json", "run.onecopy"):
        pool.report(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    again = saved.load(tmp_path / "run.onecopy")
    assert again.tasks == 20
    assert again.method == method
    json.loads((tmp_path / "run.json").read_text())
    pool.report()
    said = capsys.readouterr().out
    assert "(2 workers, " in said
    assert "test_report.busy" in said
    assert "in your function, on a CPU" in pool._repr_html_()
    with pytest.raises(FileNotFoundError) as caught:
        pool.report(tmp_path / "none" / "run.html")
    assert caught.value.filename == str(tmp_path / "none" / "run.html")
    with pytest.raises(ValueError, match=r"\.html"):
        pool.report(tmp_path / "run.doc")


def test_after_the_end_and_before_any_task(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 2)
    assert gather.run(pool._engine).tasks == 0
    pool.map(tiny, range(10))
    pool.close()
    pool.join()
    run = gather.run(pool._engine)
    assert run.tasks >= 1
    assert len(run.workers) == 2
    assert len(pool.spans()) == run.tasks


def test_values_of_arguments_are_nowhere(make_pool: MakePool, tmp_path: Path) -> None:
    pool = make_pool("fork", 1)
    pool.apply(len, ("secret-value",))
    pool.map(len, ["secret-value"] * 3)
    for name in ("run.html", "run.pftrace", "run.json"):
        pool.report(tmp_path / name)
        assert b"secret" not in (tmp_path / name).read_bytes()


# Progress.


def test_progress_of_every_call(
    make_pool: MakePool, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(engine, 2, progress=True)
    calls: dict[str, Callable[[], Any]] = {
        # A log has one line of a label in five seconds: each call has a label of its own.
        "map": lambda: pool.map(tiny, range(30)),
        "starmap": lambda: pool.starmap(tiny, [(i,) for i in range(30)], progress="tiny 1"),
        "map_async": lambda: pool.map_async(tiny, range(30), progress="tiny 2").get(),
        "imap": lambda: list(pool.imap(tiny, range(30), progress="tiny 3")),
        "imap_unordered": lambda: list(
            pool.imap_unordered(tiny, iter(range(30)), progress="tiny 4")
        ),
        "view": lambda: pool.options(name="named").map(tiny, range(30)),
    }
    for name, call in calls.items():
        call()
        said = ""

        def ended() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return said.count("\n") == 1

        scripts.until(ended, f"{name} has written its last line")
        assert "30 items" in said if name == "imap_unordered" else "30 of 30 items" in said
        assert ("named" if name == "view" else "tiny") in said
    pool.map(tiny, range(30), progress=False)
    assert capsys.readouterr().err == ""


def test_progress_counts_failures(
    make_pool: MakePool, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = make_pool(engine, 2)
    with pytest.raises(ZeroDivisionError):
        pool.map(lambda i: 1 // i, [0, 1, 0, 2], chunksize=1, progress=True)
    assert "4 of 4 items, 2 failed" in capsys.readouterr().err


def test_an_iterator_that_is_given_up_ends_its_progress(
    make_pool: MakePool, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = make_pool(engine, 1).imap(tiny, range(1000), progress=True)
    next(stream)
    del stream
    said = ""

    def ended() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return said.endswith("\n")

    scripts.until(ended, "the last line was written")
    assert "of 1,000 items" in said


def test_a_caller_whose_code_has_no_line_numbers(
    make_pool: MakePool, process_method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Generated code: each of its instructions has "no location" (PEP 626's table, code 15)."""

    def calls(pool: oc.Pool) -> None:
        assert pool.submit(abs, -1).result() == 1
        pool.map(int, ["x"])

    code = calls.__code__
    nothing = b"\xff" * (len(code.co_code) // 16 + 1)
    calls.__code__ = code.replace(co_linetable=nothing)
    pool = make_pool(process_method, 1)
    with pytest.raises(ValueError, match="'x'") as caught:
        calls(pool)
    assert "in calls" in "".join(traceback.format_exception(caught.value))
    pool.report()
    assert "ValueError" in capsys.readouterr().out
