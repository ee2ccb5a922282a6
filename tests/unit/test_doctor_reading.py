"""Readings of a program's source: where main reads what workers change, and the loops around calls."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from onecopy._doctor import cures, reading, repeating, source
from onecopy._doctor.findings import one_by_one
from onecopy._doctor.history import Site
from onecopy._doctor.inside import processes, state
from onecopy._doctor.pools import Pool
from tests.doctor.made import MS, Made

MODULE = """\
import settings
found, memo, counts = [], {}, {"a": 0}
class Statistics:
    done = 0
    def tell(self):
        return self.done
class Lazy:
    made = 0
    @classmethod
    def get(cls):
        if not cls.made:
            cls.made = 1
        return cls.made
statistics = Statistics()
def lookup(n):
    return memo.get(n)
def work(n):
    found.append(n)
    memo[n] = n
    counts["a"] += 1
    statistics.done += lookup(n) or 1
    settings.SEEN.append(n)
def keep(n):
    counts["a"] += n
def main():
    print("before", counts)
    with Pool(2) as pool:
        for each in pool.map(work, range(9)):
            keep(each)
    print(found, statistics.tell(), len(settings.SEEN), Lazy.get())
    print(counts)
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize(
    ("name", "line", "changed"),
    [
        ("found", 30, False),
        ("memo", 0, False),  # by what the worker runs alone
        ("counts", 31, True),  # main has its own
        ("statistics.done", 6, False),
        ("settings.SEEN", 30, False),
        ("other", 0, False),
        ("Lazy.made", 0, True),  # made where it is first asked for
    ],
)
def test_where_main_reads_what_workers_change(
    tmp_path: Path, name: str, line: int, changed: bool
) -> None:
    file = tmp_path / "prog.py"
    file.write_text(MODULE)
    found = reading.by_main(str(file), name, {"work"}, Site(str(file), 27, "main"))
    assert (found is not None) == bool(line)
    if found is not None:
        assert (found.site.line, found.changed) == (line, changed)


def test_what_is_read_before_workers_are_at_work_is_not_meant(tmp_path: Path) -> None:
    file = tmp_path / "prog.py"
    file.write_text(MODULE.replace("    print(counts)\n", ""))
    assert reading.by_main(str(file), "counts", {"work"}, Site(str(file), 27, "main")) is None


def test_state_that_tasks_change_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the main module and of others of the program; an object with two names is looked at once."""
    import numpy as np

    main, other = ModuleType("__main__"), ModuleType("registry")
    other.__file__ = "/home/registry.py"
    kind = type("Statistics", (), {"done": 0, "__module__": "__main__"})
    main.__dict__.update(counts={"a": 0}, grid=np.zeros(9), Statistics=kind, seen=[])
    other.__dict__.update(SEEN=main.seen, total=0)
    monkeypatch.setattr(state, "_own", (0, []))
    # First: many modules of a program are not looked at.
    monkeypatch.setattr(sys, "modules", {"registry": other, **sys.modules, "__main__": main})
    before = state._state()
    assert {"counts", "grid", "Statistics.done", "seen", "registry.total"} <= set(before)
    assert "registry.SEEN" not in before
    main.counts["a"] += 1
    main.grid[3] = 1
    kind.done = 2  # type: ignore[attr-defined]
    after = state._state()
    assert {name for name in after if before.get(name) != after[name]} == {
        *("counts", "grid", "Statistics.done")
    }
    shared = np.frombuffer(bytearray(80))
    assert state._signed_array(shared) is None, "it may be memory that processes write to together"


def test_a_function_of_the_program_that_is_called_worker_is_no_pool_s() -> None:
    from concurrent.futures.process import _process_worker
    from multiprocessing import pool as library

    def worker() -> None:
        """A user's."""

    assert processes._of_pool(vars(library)["worker"])
    assert processes._of_pool(_process_worker)
    assert not processes._of_pool(worker)


LOOPS = """\
for size in sizes:
    job = pool.apply(f, (size,))
    results.append(job)
jobs = {ex.submit(f, n): n for n in range(9) if n}
def one(n, queue):
    p = Process(target=g, args=(n, queue))
    p.start()
    return queue.get()
found = [one(k + 1, q) for k in sizes]
pool.submit(f, 1)
"""


@pytest.mark.parametrize(
    ("line", "name", "head", "call"),
    [
        (2, "apply", "for size in sizes", "pool.apply(f, (size,))"),
        (4, "submit", "for n in range(9) if n", "ex.submit(f, n)"),
        (6, "Process", "for k in sizes", "Process(target=g, args=(k + 1, q))"),
        (10, "submit", "", ""),
    ],
)
def test_the_loop_around_a_call(tmp_path: Path, line: int, name: str, head: str, call: str) -> None:
    file = tmp_path / "prog.py"
    file.write_text(LOOPS)
    site = Site(str(file), line, "")
    made = source.call_at(site, (name,))
    assert made is not None
    found = repeating.of(site, made)
    assert (found.head if found else "") == head
    if found is not None:
        assert repeating.in_place_of(found, made, site) == call


def test_the_change_is_code_of_this_program(tmp_path: Path) -> None:
    file = tmp_path / "prog.py"
    file.write_text(LOOPS)
    made = Made()
    for number, worker in enumerate(made.pool(2)):
        for task in range(4):
            begin = (10 + 200 * task + 100 * number) * MS
            made.task(worker, 2 * task + number, sent=begin - MS, begin=begin, took=90 * MS)
    found = made.findings()["not-parallel"]
    assert found.pool is not None
    found.pool.submits = [(Site(str(file), 2, ""), "ApplyResult")]
    texts = [f"{each.sign}{each.text}" for each in one_by_one._lines(found.pool)]
    assert texts == [
        "-for size in sizes:",
        "-    job = pool.apply(f, (size,))",
        "-    results.append(job)",
        "+jobs = [pool.apply_async(f, (size,)) for size in sizes]",
        "+results = [job.get() for job in jobs]",
    ]


def test_what_else_is_imported_stays(tmp_path: Path) -> None:
    file = tmp_path / "prog.py"
    file.write_text("from concurrent.futures import ProcessPoolExecutor, as_completed\n")
    texts = [
        f"{each.sign}{each.text}"
        for each in cures.imports_at(Site(str(file), 1, ""), "ProcessPoolExecutor")
    ]
    assert texts[1:] == [
        "+from concurrent.futures import as_completed",
        "+from onecopy import ProcessPoolExecutor",
    ]


def test_an_attribute_is_shared_where_it_is_set(tmp_path: Path) -> None:
    file = tmp_path / "prog.py"
    file.write_text(
        "class Model:\n    def __init__(self, weights):\n        self.weights = weights\n"
        "    def run(self):\n        pool = Pool(2)\n        pool.map(self.score, keys)\n"
    )
    lines = cures.shared(Site(str(file), 6, "run"), Site(str(file), 5, "run"), "self.weights")
    assert [(each.number, each.sign, each.text) for each in lines] == [
        (3, "-", "self.weights = weights"),
        (3, "+", "self.weights = oc.share(weights)"),
    ]


def test_each_message_s_own_arrays_are_no_slices_of_one() -> None:
    """Memory is used again: an array has the identity and the address of the one before."""
    from onecopy._doctor import history, joined
    from onecopy._doctor.inside import kinds

    made = Made(wall=2.0)
    [worker, _] = made.pool(2)
    size = 8_000_000
    for number in range(4):
        at = (20 + 400 * number) * MS
        made.task(worker, number, sent=at, begin=at + 300 * MS, took=MS, size=size)
        what = kinds.TASK | (77 + number) << 8
        kind = made.main.name("ndarray")
        made.main.note(kinds.BIG, at, size, 900, size, kind, number, 0, what, 5000, size)
    [pool] = joined.find(history.History(made.recording()))
    assert isinstance(pool, Pool)
    heavy = cures.heavy(pool, kinds.TASK)
    assert heavy is not None
    assert (heavy.times, heavy.said()) == (1, "ndarray")


SETTINGS = "LIMIT, TABLE, STARTED = 1, None, 0\n_cache = {}\n"
TASKS_FILE = """\
import settings as conf
def work(n):
    return n * conf.LIMIT + helper(n) + conf.STARTED
def helper(n):
    conf._cache[n] = n
    return len(conf.TABLE or ())
"""
SCRIPT = """\
import settings
from tasks import work
def main():
    settings.LIMIT = 10
    settings.TABLE = [1]
"""


def test_variables_of_other_modules_that_a_worker_reads(tmp_path: Path) -> None:
    files = {"": tmp_path / "prog.py", "settings": tmp_path / "s.py", "tasks": tmp_path / "t.py"}
    for file, text in zip(files.values(), (SCRIPT, SETTINGS, TASKS_FILE), strict=True):
        file.write_text(text)
    names = {name: str(file) for name, file in files.items()}
    found = reading.by_worker(names, "work")
    assert {name for name in found if "." in name} >= {"settings.LIMIT", "settings.TABLE"}
    assert found["settings.LIMIT"].site == Site(names["tasks"], 3, "work")
    assert reading.is_set(names, "settings.LIMIT")
    assert not reading.is_set(names, "settings.STARTED"), "it is as its module has made it"
    assert reading.known_as(names["tasks"], "settings.LIMIT") == "conf.LIMIT"


@pytest.mark.parametrize(
    ("there", "is_found"), [("settings.LIMIT\tint\t1", True), ("settings.LIMIT\tint\t10", False)]
)
def test_settings_of_another_module_that_workers_do_not_have(
    tmp_path: Path, there: str, is_found: bool
) -> None:
    from onecopy._doctor.inside import kinds

    (tmp_path / "prog.py").write_text(SCRIPT)
    (tmp_path / "s.py").write_text(SETTINGS)
    (tmp_path / "t.py").write_text(TASKS_FILE)
    files = f"settings\t{tmp_path}/s.py\ntasks\t{tmp_path}/t.py"
    made = Made()
    here = f"{tmp_path}/prog.py\n{files}\nsettings.LIMIT\tint\t10"
    made.main.note(kinds.MAIN, MS, 0, 0, 0, made.main.name(here))
    worker = made.process(20, begin=2 * MS, end=1000 * MS, way=kinds.FRESH, method="spawn")
    text = f"{tmp_path}/prog.py\n{files}\n{there}"
    worker.note(kinds.MAIN, 4 * MS, 1, 0, 0, worker.name(text))
    found = made.findings()
    assert ("not-inherited" in found) == is_found
    if is_found:
        assert str(found["not-inherited"].where) == "t.py:3"


@pytest.mark.parametrize(("size", "is_found"), [(4, True), (2**31 - 1, False)])
def test_a_put_that_waits_for_room_in_a_queue_whose_reader_died(size: int, is_found: bool) -> None:
    from onecopy._doctor.inside import kinds
    from onecopy._doctor.recording import Stuck

    made = Made(wall=9.0)
    made.changes["interrupted"] = 8_000 * MS
    place = made.main.name("prog.py:2 <module>"), made.main.name("Queue")
    made.main.note(kinds.QUEUE, MS, 700, size, 0, *place)
    child = made.process(20, begin=2 * MS, end=0)
    child.note(kinds.END, 90 * MS, 1, 0)
    made.main.note(kinds.EXIT, 8_001 * MS, 0, 20, 1)
    made.readings.idle = 7.0
    made.readings.stuck.append(Stuck(1, 1, "futex", 0))
    found = made.findings()
    assert ("consumers-died" in found) == is_found
    assert ("process-failed" in found) != is_found, "one cause, one finding"


def test_a_fault_of_the_doctor_s_own_does_not_cost_the_other_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from onecopy._doctor import diagnosis, findings

    def fails(_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(findings, "ALL", (fails, *findings.ALL))
    made = Made()
    made.process(20, begin=MS, end=0)
    made.main.note(9, 900 * MS, 0, 20, 0xFFFFFFF7)
    found = diagnosis.of(made.recording())
    assert [each.id for each in found.findings] == ["worker-killed"]
    assert len(found.notes) == 1
    assert "KeyError" in found.notes[0]
    assert "test_doctor_reading.py" in found.notes[0]


@pytest.mark.parametrize(("joined", "is_found"), [(20, True), (21, True), (99, False)])
def test_one_of_several_that_write_to_one_queue_is_joined(joined: int, is_found: bool) -> None:
    """That one has its turn to write, or waits for another's."""
    from onecopy._doctor.recording import Stuck

    made = Made(wall=9.0)
    for pid in (20, 21):
        made.process(pid, begin=2 * MS, end=0)
        made.readings.stuck.append(Stuck(pid, pid, "futex", 0))
    made.readings.stuck += [Stuck(20, 25, "write", 700), Stuck(1, 1, "wait", joined)]
    made.readings.idle = 3.0
    assert ("join-before-drain" in made.findings()) == is_found


def test_long_words_of_code_are_broken_and_not_cut() -> None:
    from onecopy._doctor.terminal import _wrapped

    text = "sum(await gather(*(loop.run_in_executor(executor,count,5)for_in_range(8))))"
    rows = _wrapped(text, 30)
    assert max(map(len, rows)) <= 30
    assert "".join(rows) == text.replace(" ", "")


def test_the_head_takes_two_lines_where_one_is_too_narrow() -> None:
    from onecopy._doctor import diagnosis
    from onecopy._doctor.terminal import _head

    made = Made()
    made.changes["command"] = ("python", "/home/a_program_with_a_long_name.py")
    found = diagnosis.of(made.recording())
    assert len(_head(found, 120)) == 1
    first, second = _head(found, 60)
    assert first.endswith("a_program_with_a_long_name.py")
    assert second == "2 s, exit status 0, 1 process"


def test_pieces_of_a_pool_of_threads_are_timed_and_come_back_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import queue
    from functools import partial
    from types import SimpleNamespace

    from onecopy._doctor.inside import threads

    told: list[tuple[int, str, int]] = []

    def note(_: object, life: int, title: str, where: int) -> None:
        told.append((life, title, where))

    monkeypatch.setattr(threads, "_note_thread", note)
    pool = SimpleNamespace(_inqueue=queue.SimpleQueue(), _outqueue=queue.SimpleQueue())
    threads.watch_thread_pool(pool, lambda: 7)
    task: tuple[Any, ...] = (0, 0, partial(int, base=10), ("5",), {})
    pool._quick_put(task)
    pool._quick_put(None)
    assert pool._inqueue.get() is task
    pool._outqueue.put((0, 0, (True, 5)))
    assert pool._quick_get() == (0, 0, (True, 5))
    assert pool._inqueue.get() is None, "the word for the end is no piece of work"
    pool._outqueue.put(None)
    assert told == [(0, "int", 7)]


def test_a_function_that_runs_in_a_context_has_its_own_name() -> None:
    from contextvars import copy_context
    from functools import partial

    from onecopy._doctor.inside import threads

    assert threads._title(partial(copy_context().run, len, "text")) == "len"
    assert threads._title(partial(len, "text")) == "len"
    assert threads._title(len) == "len"


@pytest.mark.parametrize(("way", "is_found"), [(1, True), (0, False)])
def test_imports_at_the_first_task_of_a_fresh_worker_are_no_cost_of_arguments(
    way: int, is_found: bool
) -> None:
    """A forked worker has them from its parent: there it is the data that takes long."""
    from onecopy._doctor.inside import kinds

    made = Made(wall=3.0)
    for worker in made.pool(2):
        worker.born(0, kinds.FORKED if way else kinds.FRESH, 1)
        for number in range(4):
            begin = (1000 + 300 * number) * MS
            made.task(
                worker,
                10 * worker.pid + number,
                sent=10 * MS,
                begin=begin,
                took=50 * MS,
                size=2_000_000,
                unpickle=900 * MS if number == 0 else MS,
            )
    assert ("arguments-pickled" in made.findings()) == is_found


@pytest.mark.parametrize(("idle", "asked"), [(1.5, [1.5]), (0.4, [])])
def test_what_threads_wait_for_is_looked_up_before_an_interruption(
    idle: float, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a program may have hung for less than it usually takes to say so."""
    from onecopy._doctor.recording import Look, Readings
    from onecopy._doctor.sampler import Sampler

    told: list[float] = []
    monkeypatch.setattr(Sampler, "_ask", lambda _, seconds: told.append(seconds))
    sampler = object.__new__(Sampler)
    sampler._last = {1: Look(round(idle * 1e9), 1, 0, 0.0, 0.0, 1, 0, 0, 0)}
    sampler._ran, sampler._found = 0, Readings()
    sampler.ask_before_interrupting()
    assert told == asked


@pytest.mark.parametrize(("boot", "is_found"), [(True, True), (False, False)])
def test_a_fork_server_that_imports_is_no_alternation(boot: bool, is_found: bool) -> None:
    from onecopy._doctor.inside import kinds

    made = Made(wall=2.0)
    if boot:
        made.process(20, begin=MS, end=0)
    else:
        made.processes.append(type(made.main)(20, MS, 1, kinds.FRESH))
    for at in range(20):
        own, other = min(at, 10), max(0, at - 10)
        made.look(1, at * 100 * MS, cpu=0.1 * own)
        made.look(20, at * 100 * MS, cpu=0.1 * other)
    assert ("alternating" in made.findings()) == is_found
