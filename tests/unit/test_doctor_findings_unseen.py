"""Findings that programs of other shapes than those in ``tests/doctor`` had been missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from onecopy._doctor import diagnosis, finding, history, joined, source, terminal
from onecopy._doctor.findings import tiny_tasks
from onecopy._doctor.history import Site
from onecopy._doctor.inside import kinds
from tests.doctor.made import MS, RESULTS, SECOND, TASKS, Made


def test_pools_whose_tasks_were_not_recorded_count_as_well() -> None:
    """And what it takes to make them and to terminate them, beyond their first worker's start."""
    made = Made(wall=4.0)
    site = made.main.name("prog.py:5 <module>")
    for number in range(20):
        begin, channel = number * 200 * MS, 600 + number
        made.main.note(*(kinds.POOL, begin, 50 * MS, 1, kinds.A_POOL, site, 0, 70, channel, 700))
        made.main.note(kinds.CLOSED, begin + 120 * MS, 70, 30 * MS)
        if number >= 5:
            continue
        worker = made.process(30 + number, begin=begin + 10 * MS, end=begin + 150 * MS)
        made.main.note(kinds.OUT | 1 << 8, begin + 60 * MS, 9, 9, 9, number, 0, 1 << 32, channel)
        worker.note(kinds.IN | 1 << 8, begin + 70 * MS, 9, 9, 9, number, 0, 0, channel)
        done = begin + 80 * MS
        worker.note(kinds.OUT | 2 << 8, done, 9, 9, 9, number, 0, 0, 700, MS, begin + 71 * MS)
    found = made.findings()["pool-in-loop"]
    assert found.figures["costs"] == pytest.approx(20 * 0.08)
    assert found.saving == pytest.approx(19 * 0.08)


@pytest.mark.parametrize(("each", "found"), [(400 * MS, True), (40 * MS, False)])
def test_workers_that_are_replaced_after_each_task(each: int, found: bool) -> None:
    made = Made(wall=4.0)
    made.method = "spawn"
    site = made.main.name("prog.py:5 <module>")
    pool = kinds.POOL, 0, MS, 2, kinds.A_POOL, site, made.main.name("spawn"), 77, TASKS, RESULTS, 1
    made.main.note(*pool)
    for number in range(16):
        begin = MS + number // 2 * 500 * MS
        worker = made.process(30 + number, begin=begin, end=begin + 500 * MS)
        worker.note(kinds.READY, begin + each - MS, MS)
        made.task(worker, number, sent=MS + number, begin=begin + each + 10 * MS, took=20 * MS)
    told = made.findings().get("start-up")
    assert (told is not None) == found
    [known] = joined.find(history.History(made.recording()))
    assert known.parts.known() < 1.05 * known.total, "a worker that was replaced has no tail"
    if told is not None:
        assert "after 1 task each" in told.title
        assert told.saving == pytest.approx(14 * 0.4 / 2, rel=0.05)


def test_large_objects_through_pipes_of_one_place_and_back() -> None:
    """Two pipes for both ways, each of which has too little for a finding of its own."""
    made = Made(wall=1.0)
    site, child = made.main.name("prog.py:9 <module>"), made.process(20, begin=0, end=SECOND)
    for pipe in (300, 400):
        made.main.note(kinds.QUEUE, MS, pipe, 0, 0, site, made.main.name("Pipe"), pipe + 1)
        for number in range(4):
            begin = (pipe + number * 40) * MS
            made.main.note(kinds.OUT, begin, 9 * MS, 9 * MS, 8_000_000, 0, 0, 0, pipe)
            child.note(kinds.IN, begin, 9 * MS, 2 * MS, 8_000_000, 0, 0, 0, pipe + 1)
            back = begin + 20 * MS
            child.note(kinds.OUT, back, 2 * MS, 9 * MS, 8_000_000, 0, 0, 0, pipe + 1)
            made.main.note(kinds.IN, back, 9 * MS, 2 * MS, 8_000_000, 0, 0, 0, pipe)
    found = made.findings()["queue-pickled"]
    assert str(found.where) == "prog.py:9"
    assert found.figures["messages"] == 8
    assert found.figures["back"] == pytest.approx(8 * 0.011)


@pytest.mark.parametrize(("took", "said"), [(400 * MS, "Nothing to change"), (4 * MS, "No fault")])
def test_a_run_without_findings_says_where_the_time_went(took: int, said: str) -> None:
    """Workers that waited for tasks are no fault that is known, and nothing to be content with."""
    made = Made(wall=1.0)
    worker, other = made.pool(2)
    for number, each in enumerate((worker, other, worker, other)):
        begin = (10 + number // 2 * 480) * MS
        made.task(each, number, sent=5 * MS, begin=begin, took=took)
    told = terminal.verdict(diagnosis.of(made.recording()))
    assert told.startswith(said)
    assert ("waited for tasks" in told) == (took < 100 * MS)


def _tiny(file: Path, line: int) -> tuple[str, ...]:
    """The lines that come, of a pool of very short tasks that is made at line 5."""
    made = Made(wall=2.0)
    workers = made.pool(2)
    for number in range(1000):
        made.task(workers[number % 2], number, sent=number * MS, begin=number * MS + 9000, took=900)
    case = finding.Case(history.History(made.recording()), [])
    [pool] = joined.find(case.history)
    pool.submits = [(Site(str(file), line, ""), "submit")]
    pool.site = Site(str(file), line, "")
    [found] = tiny_tasks.look(finding.Case(case.history, [pool]))
    return tuple(each.text for each in found.change if each.sign == "+" and each.number)


@pytest.mark.parametrize(
    ("written", "cure"),
    [
        ("print(sum(ex.map(f, items)))", "print(sum(ex.map(f, items, chunksize="),
        ("jobs = [ex.submit(f, x) for x in items]", "results = ex.map(f, items, chunksize="),
        (
            "got = [self.pool.apply_async(f, (x,)) for x in items]",
            "results = self.pool.map(f, items, chunk",
        ),
    ],
)
def test_the_change_for_tiny_tasks_is_a_call_that_takes_chunks(
    tmp_path: Path, written: str, cure: str
) -> None:
    """Also of an executor's map, which calls submit by itself."""
    file = tmp_path / "prog.py"
    file.write_text(written + "\n")
    assert _tiny(file, 1)[0].startswith(cure)


def test_data_is_shared_where_it_was_made_and_not_after_its_use(tmp_path: Path) -> None:
    file = tmp_path / "prog.py"
    file.write_text(
        "def load():\n    table = 1\n    return table\n\n"
        "table = load(\n    )\ncall = partial(f, table)\npool.map(call, keys)\n"
    )
    assert source.after_assignment(Site(str(file), 8, ""), "table") == 7
    assert source.after_assignment(Site(str(file), 3, ""), "table") == 3
    assert source.after_assignment(Site(str(file), 8, ""), "keys") == 0
    assert source.after_assignment(Site(str(tmp_path / "none.py"), 8, ""), "table") == 0


@pytest.mark.parametrize("of_pool", [True, False])
def test_workers_that_got_no_task_are_no_processes_in_turn(of_pool: bool) -> None:
    """On a busy machine the one worker of each of many pools does all that there is to do."""
    made = Made(wall=2.0)
    site = made.main.name("prog.py:3 <module>")
    for number in range(5):
        begin = (1 + number * 300) * MS
        if of_pool:
            pool = MS, 1, kinds.A_POOL, site, 0, 70 + number, 600 + number, 700
            made.main.note(kinds.POOL, begin, *pool)
        made.process(30 + number, begin=begin, end=begin + 200 * MS)
    assert ("not-parallel" in made.findings()) != of_pool


def test_a_program_without_a_file_has_no_lines_that_go() -> None:
    """Its place is ``<string>``, of which there is nothing to show but what comes."""
    made = Made(wall=2.0)
    for number in range(4):
        begin = (1 + number * 300) * MS
        made.process(30 + number, begin=begin, end=begin + 290 * MS)
    change = made.findings()["not-parallel"].change
    assert change
    assert all(line.text for line in change)
