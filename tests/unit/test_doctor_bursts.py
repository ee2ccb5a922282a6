"""Bursts: what is recorded of very many small messages, and what is known of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onecopy._doctor import history, joined, rings, runs
from onecopy._doctor.inside import bursts, calls, current, kinds, messages, pools, ring
from onecopy._doctor.inside import worker as of_workers
from tests.doctor.made import MS, RESULTS, SECOND, TASKS, Made


class Clock:
    """A clock that is set by hand, and CPU time that goes on with it."""

    def __init__(self) -> None:
        self.time = SECOND

    def now(self) -> int:
        """A microsecond later each time, as if something had been done."""
        self.time += 1_000
        return self.time


def work(number: int) -> int:
    return number


class Worker:
    """The hooks of a process, and the messages that go through them."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        self.clock, self._folder = clock, folder
        self._coming: Any = None
        self.hook(messages)

    def hook(self, hooks: Any) -> None:
        """Take the hooks of a module."""
        self._loads: Callable[..., Any] = hooks.wrap_loads(lambda data, **_: self._coming)
        self._dumps: Callable[..., Any] = hooks.wrap_dumps(
            lambda cls, obj, protocol=None: bytes(
                obj.size if isinstance(obj, Message) else len(str(obj))
            )
        )

    def reads(self, obj: Any, size: int = 60) -> None:
        """A message comes; while messages are recorded, so is the pipe that it came by."""
        if bursts.hot[0] <= 0:
            ring.me.state[1] = self.clock.now()
            ring.me.state[2] = SimpleNamespace(_onecopy_channel=current.channel or RESULTS)
        self._coming = obj
        self._loads(bytes(size))

    def writes(self, obj: Any) -> None:
        """A message goes, and is written."""
        self._dumps(None, obj)
        if ring.me.state[0] is not None:
            messages.written(ring.me.state, self.clock.now(), current.results or TASKS)

    def does(self, number: int, took: int, result: tuple[bool, Any] = (True, None)) -> None:
        """A task of ``multiprocessing.Pool``."""
        self.reads((7, number, work, (number,), {}))
        self.clock.time += took
        self.writes((7, number, result))

    def taken(self) -> rings.Ring:
        """Its ring, emptied."""
        found = rings.Rings(self._folder)
        found.empty(last=True)
        [taken] = found.taken()
        return taken


class Message:
    """An object, and how many bytes it is as a message."""

    def __init__(self, obj: Any, size: int) -> None:
        self.object, self.size = obj, size

    def __len__(self) -> int:
        return self.size


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A process that hands out tasks, and takes none."""
    clock = Clock()
    for module in (ring, current):
        monkeypatch.setattr(module, "now", clock.now)
        monkeypatch.setattr(module, "cpu_now", lambda: clock.time)
    monkeypatch.setattr(ring, "session", str(tmp_path))
    monkeypatch.setattr(messages, "channels", {TASKS: kinds.TASK, RESULTS: kinds.RESULT})
    ring.open_ring(kinds.FRESH)
    for forget in (bursts.forget, current.forget, calls._forget):
        forget()
    yield Worker(clock, tmp_path)
    for forget in (bursts.forget, current.forget, calls._forget):
        forget()
    ring.buffer = None
    ring.me.state[:] = ring._NOTHING
    ring._kept.pop().close()  # inside a program it would stay; here its descriptor is counted


@pytest.fixture
def worker(process: Worker) -> Worker:
    """A worker of a pool."""
    process.hook(of_workers)
    current.take(TASKS, RESULTS)
    return process


def long_tasks(taken: rings.Ring) -> dict[int, int]:
    """Of the tasks that took long, how long."""
    table = rings.table(taken.records)
    ends = table[(table["head"] & 0xFFFF == kinds.OUT | kinds.RESULT << 8)]
    found = {int(row["e"]): int(row["t0"] - row["i"]) for row in ends}
    return {number: took for number, took in found.items() if took >= current.LONG}


def test_a_long_task_is_recorded_whenever_it_comes(worker: Worker) -> None:
    """Also while the others are passed through; all are counted, and their time is known."""
    for number in range(3_000):
        worker.does(number, 500 * MS if number in (50, 1_700, 2_999) else MS)
    taken = worker.taken()
    table = rings.table(taken.records)
    assert len(table) < 1_000, "most were passed through"
    assert set(long_tasks(taken)) == {50, 1_700, 2_999}
    begun = table[table["head"] & 0xFFFF == kinds.IN | kinds.TASK << 8]
    of_long = begun[np.isin(begun["e"], (1_700, 2_999))]
    assert (of_long["g"] == TASKS).all()
    names = rings.names_of(taken.names)
    assert {names[int(each) & 0xFFFFFFFF] for each in of_long["i"]} == {"work"}
    last = rings.current_of(taken.head)
    assert last is not None
    assert (last.number, last.two, last.running) == (3_000, 2_999, False)
    assert last.took == pytest.approx(3 * 500 * MS + 2_997 * MS, rel=0.01)


def test_the_cpu_of_a_long_task_is_known_and_of_short_ones_now_and_then(worker: Worker) -> None:
    for number in range(3_000):
        worker.does(number, 500 * MS if number == 1_700 else MS)
    table = rings.table(worker.taken().records)
    ends = table[(table["head"] & 0xFFFF == kinds.OUT | kinds.RESULT << 8)]
    used = {int(row["e"]): int(row["h"]) for row in ends}
    assert used[1_700] == pytest.approx(500 * MS, rel=0.05)
    read = [each for number, each in used.items() if each and number != 1_700]
    assert 0 < len(read) < len(used) / 5
    assert read == pytest.approx([MS] * len(read), rel=0.05)


def test_a_worker_that_ends_in_a_task_has_left_what_it_was_at(worker: Worker) -> None:
    for number in range(2_000):
        worker.does(number, MS)
    assert bursts.hot[0] > 0
    worker.reads((7, 2_000, work, (1,), {}))
    taken = worker.taken()
    last = rings.current_of(taken.head)
    assert last is not None
    assert last.running
    assert (last.one, last.two, last.channel) == (7, 2_000, TASKS)
    assert rings.names_of(taken.names)[last.title & 0xFFFFFFFF] == "work"


@pytest.mark.parametrize("words", range(1, 6))
def test_a_half_written_task_is_not_believed(worker: Worker, words: int) -> None:
    """Only its first words are those of the next."""
    for number in range(2_000):
        worker.does(number, MS)
    before = bytes(ring.buffer[kinds.CURRENT : kinds.CURRENT + 48])
    worker.reads((7, 2_000, work, (1,), {}))
    at = kinds.CURRENT + 8 * words
    ring.buffer[at : kinds.CURRENT + 48] = before[8 * words :]
    last = rings.current_of(worker.taken().head)
    assert last is not None
    assert not last.whole
    assert not last.running


def test_messages_of_the_program_s_own_are_no_tasks_and_no_results(worker: Worker) -> None:
    """A task that talks through a queue of its own is at work until its own result goes."""
    for number in range(2_000):
        worker.does(number, MS)
    worker.reads((7, 2_000, work, (1,), {}))
    assert bursts.hot[0] > 10
    own: Any
    for own in ((1, 2, 3), (7, 2_001, (True, None)), (1, 2, 3, 4, 5), (7, 9, work, [], None)):
        worker.reads(own)
        worker.writes(own)
    found = rings.current_of(bytes(ring.buffer[: kinds.HEAD]))
    assert found is not None
    assert (found.two, found.running) == (2_000, True)
    worker.writes((7, 2_000, (True, None)))
    found = rings.current_of(bytes(ring.buffer[: kinds.HEAD]))
    assert found is not None
    assert not found.running


def test_tasks_of_an_executor_are_known_by_their_type(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Call(SimpleNamespace):
        pass

    class Result(SimpleNamespace):
        pass

    monkeypatch.setitem(calls.types, Call, kinds.TASK)
    monkeypatch.setitem(calls.types, Result, kinds.RESULT)
    for number in range(2_000):
        worker.reads(Call(work_id=number, fn=work, args=(1,)))
        worker.clock.time += 300 * MS if number == 1_500 else MS
        worker.writes(Result(work_id=number, exception=None))
    taken = worker.taken()
    table = rings.table(taken.records)
    ends = table[table["head"] & 0xFFFF == kinds.OUT | kinds.RESULT << 8]
    assert len(ends) < 500
    assert [int(row["d"]) for row in ends if row["t0"] - row["i"] > 20 * MS] == [1_500]
    last = rings.current_of(taken.head)
    assert last is not None
    assert (last.number, last.one) == (2_000, 1_999)


def test_errors_of_tasks_that_are_passed_through_are_counted(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "worker", True)
    for number in range(2_000):
        worker.does(number, MS, (number % 2 == 0, KeyError("x") if number % 2 else None))
    taken = worker.taken()
    assert rings.counters_of(taken.head, rings.names_of(taken.names)) == {
        "error\tKeyError\t": 1_000
    }


def test_a_large_message_ends_the_passing_and_is_recorded(process: Worker) -> None:
    for number in range(1_000):
        process.writes((7, number, work, (1,), {}))
    assert bursts.hot[0] > 0
    process.writes(Message(None, 100_000))
    assert bursts.hot[0] == 0
    process.writes((7, 1_001, work, (1,), {}))
    table = rings.table(process.taken().records)
    assert 100_000 in table[table["head"] & 0xFF == kinds.OUT]["c"]


def test_what_a_new_pool_begins_with_is_recorded(process: Worker) -> None:
    for number in range(1_000):
        process.writes((7, number, work, (1,), {}))
    assert bursts.hot[0] > 0
    pools.made_anew(object())
    assert bursts.hot[0] == 0
    process.writes((8, 0, work, (1,), {}))
    process.writes((8, 1, work, (1,), {}))
    table = rings.table(process.taken().records)
    assert 8 in table[table["head"] & 0xFF == kinds.OUT]["d"]


def test_many_large_messages_are_all_recorded(process: Worker) -> None:
    """However fast they come: what they cost hides what noting them does."""
    for _ in range(2_000):
        process.writes(Message(None, 70_000))
    table = rings.table(process.taken().records)
    assert (table["head"] & 0xFF == kinds.OUT).sum() >= 1_999


def test_large_tasks_that_may_not_end_the_passing_any_more_are_timed(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1_000):
        worker.does(number, MS)
    monkeypatch.setattr(bursts, "_early", 0)
    assert bursts.hot[0] > 0
    worker.reads((7, 1_000, work, (1,), {}), size=100_000)
    worker.clock.time += 500 * MS
    worker._dumps(None, (7, 1_000, (True, bytes(100_000))))
    found = rings.current_of(bytes(ring.buffer[: kinds.HEAD]))
    assert found is not None
    assert (found.number, found.running) == (1_001, False)
    assert found.took == pytest.approx(1_500 * MS, rel=0.01)


def test_a_pause_ends_the_passing_of_who_hands_out_tasks(process: Worker) -> None:
    for number in range(1_000):
        process.writes((7, number, work, (1,), {}))
    assert bursts.hot[0] > 0
    process.clock.time += SECOND
    process.writes((7, 1_000, work, (1,), {}))
    assert bursts.hot[0] == 0
    table = rings.table(process.taken().records)
    passed = table[table["head"] & 0xFF == kinds.BURST]
    assert int((passed["t0"] + passed["c"]).max()) < process.clock.time - SECOND // 2


def test_a_pause_does_not_end_that_of_a_worker(worker: Worker) -> None:
    """It waits for tasks as a matter of course; that it did is known from its tasks' ends."""
    for number in range(1_000):
        worker.does(number, MS)
    before = bursts.hot[0]
    worker.clock.time += SECOND
    worker.reads((7, 1_000, work, (1,), {}))
    assert bursts.hot[0] == before


def test_passing_ends_early_only_so_many_times(process: Worker) -> None:
    """Each change of hooks costs the classes their caches."""
    changes = []
    for turn in range(400):
        for number in range(300):
            process.writes((turn, number, work, (1,), {}))
        changes.append(bursts.since)
        process.clock.time += 60 * MS
    assert len(set(changes)) > 100
    assert len(set(changes[-50:])) < 10, "in the end its pieces have their full length"


def short(*, last: int, straggler: int = 0, wall: float = 3.0, passed_until: int = 0) -> Made:
    """A pool of two for tasks of a millisecond, of which the first 100 of each worker were recorded, and
    the others up to ``last`` passed through, by the parent too."""
    made = Made(wall=wall)
    pool = made.pool(2)
    for number in range(200):
        begin = 10 * MS + number // 2 * MS
        made.task(pool[number % 2], number, sent=5 * MS + number, begin=begin, took=990_000)
    each = (last - 110 * MS) // MS
    made.main.passed(110 * MS, (passed_until or last) - 110 * MS, each * 2, each * 2)
    for process in pool:
        process.passed(110 * MS, last - 110 * MS, each, each)
        end = last - 10_000
        process.current(
            100 + each, 2_900, begin=end - 990_000, ended=end, took=(100 + each) * 990_000
        )
    if straggler:
        late = pool[0]
        end = last + straggler
        late.note(
            kinds.IN | kinds.TASK << 8, last, 0, 0, 0, 2_990, 0, 0, TASKS, 0, late.name("work")
        )
        late.note(
            *(kinds.OUT | kinds.RESULT << 8, end, 0, 0, 60, 2_990, 0, 0, RESULTS, straggler, last)
        )
        took = (100 + each) * 990_000 + straggler
        late.current(101 + each, 2_990, begin=last, ended=end, took=took)
    return made


def test_tasks_that_were_passed_through_are_counted_and_timed() -> None:
    made = short(last=1_000 * MS)
    [pool] = joined.find(history.History(made.recording()))
    assert pool.sampled
    assert pool.count == 2 * 990
    assert pool.parts.compute == pytest.approx(1.98, rel=0.02)
    assert pool.overlap == pytest.approx(2.0, rel=0.05)
    assert pool.work == pytest.approx(1.98, rel=0.02)
    assert made.findings() == {}


def test_a_pause_between_batches_that_were_passed_through() -> None:
    """The workers passed all through, and do not know of it."""
    made = short(last=1_300 * MS, passed_until=500 * MS)
    made.main.passed(900 * MS, 400 * MS, 400, 400)
    [pool] = joined.find(history.History(made.recording()))
    assert pool.pauses == [(500 * MS, 900 * MS)]
    assert pool.wall == pytest.approx(0.9, rel=0.02)


def test_messages_of_other_pools_make_no_pause_in_this_one() -> None:
    made = short(last=1_000 * MS)
    made.main.passed(2_000 * MS, 500 * MS, 900, 900)
    [pool] = joined.find(history.History(made.recording()))
    assert pool.pauses == []
    assert pool.wall == pytest.approx(1.0, rel=0.02)


def test_the_report_counts_them_too() -> None:
    recorded = history.History(short(last=1_000 * MS).recording())
    [pool] = joined.find(recorded)
    run = runs.of(recorded, pool)
    assert run.tasks == 2 * 990
    assert run.totals["compute"].sum() / 1e9 == pytest.approx(1.98, rel=0.02)
    assert len(run.spans) == 200
    assert "200 of 1,980 tasks are drawn" in run.machine["pool"]


def test_a_straggler_among_tasks_that_were_passed_through() -> None:
    found = short(last=1_000 * MS, straggler=600 * MS).findings()
    assert list(found) == ["straggler"]
    assert "One piece (work) took 600 ms" in found["straggler"].evidence
    assert found["straggler"].figures["idle"] == pytest.approx(0.6, rel=0.02)
    assert found["straggler"].saving == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize(
    "make", [lambda: short(last=1_000 * MS, straggler=600 * MS), lambda: stuck()]
)
def test_workers_that_do_not_say_what_they_were_at_make_no_finding(
    make: Callable[[], Made],
) -> None:
    """A recording of an earlier version, or a ring that could not be read."""
    made = make()
    for process in made.processes:
        process._current = ()
    assert not {"straggler", "stuck-task"} & set(made.findings())


def test_a_parent_that_waited_for_a_cpu_before_the_straggler_makes_no_difference() -> None:
    """Nothing was sent for 60 ms, and no message came: that is no phase of the program's."""
    made = short(last=1_000 * MS, passed_until=930 * MS, straggler=600 * MS)
    made.main.passed(990 * MS, 10 * MS, 10, 10)
    assert made.findings()["straggler"].saving == pytest.approx(0.3, rel=0.05)


def test_a_long_task_that_kept_nobody_waiting_is_no_straggler() -> None:
    """Both workers ended at the same time: the long one came first."""
    made = short(last=1_600 * MS)
    late = made.processes[1]
    late.note(kinds.IN | kinds.TASK << 8, 300 * MS, 0, 0, 0, 50, 0, 0, TASKS, 0, late.name("work"))
    words = (60, 50, 0, 0, RESULTS, 600 * MS, 300 * MS)
    late.note(kinds.OUT | kinds.RESULT << 8, 900 * MS, 0, 0, *words)
    assert made.findings() == {}


def stuck(*, others_until: int = 1_500 * MS, again: int = 0) -> Made:
    """A worker is at a task from 1 s on, the other until another time; the end is at 6 s."""
    made = short(last=1_000 * MS, wall=6.0)
    made.changes["interrupted"] = 6 * SECOND
    first, second = made.processes[1:]
    first.current(
        *(991, 2_950), begin=SECOND, ended=SECOND - 10_000, took=990 * 990_000, again=again
    )
    end = others_until
    second.current(1_500, 2_999, begin=end - 990_000, ended=end, took=1_490 * 990_000)
    return made


def test_a_task_that_does_not_end_among_those_that_were_passed_through() -> None:
    found = stuck().findings()
    assert "stuck-task" in found
    assert found["stuck-task"].title.startswith(
        "A task does not end: work ran for 5 s in Process-11"
    )
    assert found["stuck-task"].figures["alone"] == pytest.approx(4.5)


def test_a_task_that_ctrl_c_ended_and_whose_result_was_never_written_hung_before() -> None:
    made = stuck()
    first = made.processes[1]
    words = (1000, 1000, 60, 2_950, 0, 0, TASKS, 0, first.name("work"))
    first.note(kinds.IN | kinds.TASK << 8, SECOND, *words)
    first.current(991, 2_950, begin=SECOND, ended=6 * SECOND + MS, took=6 * SECOND)
    assert made.findings()["stuck-task"].figures["age"] == pytest.approx(5.0, rel=0.01)


def test_others_that_were_passed_through_are_no_silence() -> None:
    """The last that was recorded is long ago; the last that ended is not."""
    assert "stuck-task" not in stuck(others_until=5_900 * MS).findings()


def test_a_half_written_task_makes_no_finding() -> None:
    assert "stuck-task" not in stuck(again=990).findings()


def test_a_recorded_begin_whose_end_was_passed_through_is_no_task_that_hangs() -> None:
    made = short(last=1_000 * MS, wall=6.0)
    made.changes["interrupted"] = 6 * SECOND
    worker = made.processes[1]
    worker.note(
        *(kinds.IN | kinds.TASK << 8, 110 * MS, 1000, 1000, 60, 300, 0, 0, TASKS, 0),
        worker.name("work"),
    )
    assert "stuck-task" not in made.findings()
    assert "worker-killed" not in made.findings()


def one_by_one(in_turn: bool) -> Made:
    """Short tasks of which the parent noted some in bursts: each was sent when the one before had come
    back, or long before that."""
    made = Made(wall=3.0)
    pool = made.pool(2)
    back = 10 * MS
    for number in range(300):
        sent = back + 50_000 if in_turn else 5 * MS + number
        back = made.task(pool[number % 2], number, sent=sent, begin=sent + 100_000, took=990_000)
        if number % 32 == 31:
            made.main.passed(back, 500 * MS // 9, 60, 60)
            back += 500 * MS // 9
    for process in pool:
        process.passed(back, 900 * MS, 400, 400)
        end = back + 900 * MS
        process.current(550, 299, begin=end - 990_000, ended=end, took=550 * 990_000)
    return made


def test_short_tasks_one_by_one() -> None:
    found = one_by_one(in_turn=True).findings()
    assert "not-parallel" in found
    assert found["not-parallel"].figures["tasks"] == 1_100
    assert found["not-parallel"].saving == pytest.approx(0.545, rel=0.05)


def test_short_tasks_that_were_all_sent_at_once_are_not_one_by_one() -> None:
    assert "not-parallel" not in one_by_one(in_turn=False).findings()


def test_long_tasks_stay_when_a_long_run_is_thinned(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the task that a worker may be at."""
    monkeypatch.setattr(bursts, "recorded", lambda size: None)
    found = rings.Rings(Path(ring.session))
    found._most = 5_000
    for number in range(9_000):
        worker.does(number, 30 * MS if number in (7, 4_001) else MS)
        if number % 1_000 == 0:
            found.empty()
    worker.reads((7, 9_000, work, (1,), {}))
    found.empty(last=True)
    [taken] = found.taken()
    assert taken.thinned > 1
    assert set(long_tasks(taken)) == {7, 4_001}
    table = rings.table(taken.records)
    begun = table[table["head"] & 0xFFFF == kinds.IN | kinds.TASK << 8]["e"]
    assert {7, 4_001, 9_000} <= set(begun.tolist())
    assert len(begun) < 9_000


@pytest.mark.parametrize(("took", "known"), [(0, True), (500 * MS, True), (MS, False)])
def test_a_task_is_known_though_its_worker_was_killed_before_it_recorded_its_end(
    worker: Worker, took: int, known: bool
) -> None:
    """The head of its ring says of it, running (0) or ended; a short one is one of many."""
    for number in range(2_000):
        worker.does(number, MS)
    assert bursts.hot[0] > 0
    worker.reads((7, 2_000, work, (1,), {}))
    last = rings.current_of(worker.taken().head)
    assert last is not None
    if took:
        last = last._replace(ended=last.begin + took)
    killed: Any = SimpleNamespace(current=last)
    of_it = joined._with_last(killed, TASKS, rings.table(b""))
    assert [int(row["e"]) for row in of_it] == ([2_000] if known else [])
    assert len(joined._with_last(killed, TASKS, of_it)) == len(of_it)
