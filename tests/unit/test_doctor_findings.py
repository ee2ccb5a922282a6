"""Each finding from records that were made up for it, and the case beside it that is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onecopy._doctor import cures, diagnosis, explain
from onecopy._doctor.history import Site
from onecopy._doctor.inside import kinds
from onecopy._doctor.recording import Room, Stuck
from tests.doctor.made import MS, SECOND, Made


def sliced(megabytes: int = 40) -> Made:
    """A pool of four whose parent pickles most of the time."""
    made = Made(wall=2.0, cpus=4)
    workers = made.pool(4)
    at = 10 * MS
    for number in range(4):
        pickle = write = 200 * MS
        begin = at + pickle + write + 50 * MS
        size = megabytes * 1_000_000
        made.task(
            workers[number],
            number,
            sent=at,
            begin=begin,
            took=50 * MS,
            pickle=pickle,
            write=write,
            size=size,
            read=150 * MS,
            unpickle=50 * MS,
        )
        kind = made.main.name("ndarray")
        made.main.note(
            kinds.BIG, at, size, 900, size, kind, number, 0, kinds.TASK, 5000 + number, 4 * size
        )
        at += pickle + write
    title = made.main.name("data"), made.main.name("ndarray"), made.main.name("prog.py:6 <module>")
    made.main.note(kinds.NAMED, MS, 4 * size, 900, 0, *title)
    return made


def test_a_serial_sender_names_what_is_sent_and_what_it_would_save() -> None:
    found = sliced().findings()
    assert list(found) == ["serial-sender"], "its consequences are not told besides"
    finding = found["serial-sender"]
    assert "4 slices of one ndarray ('data')" in finding.evidence
    assert "data = oc.share(data)" in [line.text for line in finding.change]
    assert finding.saving is not None
    # 1.7 s of pool, of which 50 ms of work, 89 ms of sharing and 100 ms for the change remain.
    assert 1.2 < finding.saving < 1.5


@pytest.mark.parametrize("imported", ["import multiprocessing", "from multiprocessing import Pool"])
def test_sharing_comes_before_the_pool(tmp_path: Path, imported: str) -> None:
    program = tmp_path / "prog.py"
    call = "multiprocessing.Pool" if imported.startswith("import") else "Pool"
    program.write_text(
        f"{imported}\ndata = load()\nwith {call}(4) as pool:\n    pool.map(f, data)\n"
    )
    place = str(program)
    made: Any = SimpleNamespace(
        kind="Pool", site=Site(place, 3, "<module>"), submit=(Site(place, 4, "<module>"), 1)
    )
    change = cures.share(made, cures.Heavy("ndarray", "data", 4, 4, 1e8, ""))
    texts = [line.text for line in change]
    assert texts[0] == "import onecopy as oc"
    shared = texts.index("data = oc.share(data)")
    pools = [at for at, text in enumerate(texts) if text.startswith("with")]
    assert all(shared < at for at in pools)
    assert bool(pools) == imported.startswith("import")


def test_small_arguments_are_none() -> None:
    assert "serial-sender" not in sliced(megabytes=0).findings()


def test_on_a_busy_machine_nothing_is_promised() -> None:
    made = sliced()
    made.foreign = 0.6
    found = made.findings()
    assert found["serial-sender"].saving is None
    assert "not promised" in found["serial-sender"].gain
    assert "machine-busy" in found


def test_results_that_are_pickled() -> None:
    made = Made(wall=2.0)
    workers = made.pool(2)
    at = 10 * MS
    for number in range(8):
        at = made.task(
            workers[number % 2],
            number,
            sent=5 * MS + number,
            begin=at,
            took=20 * MS,
            result=30_000_000,
            result_pickle=40 * MS,
            result_read=60 * MS,
            result_unpickle=40 * MS,
        )
    found = made.findings()
    assert next(iter(found)) == "results-pickled"
    assert found["results-pickled"].figures["bytes"] == 240_000_000


@pytest.mark.parametrize(("took", "is_tiny"), [(1_000, True), (2 * MS, False)])
def test_tiny_tasks(took: int, is_tiny: bool) -> None:
    made = Made(wall=3.0)
    workers = made.pool(2)
    at = 10 * MS
    for number in range(1000):
        made.task(workers[number % 2], number, sent=at, begin=at + 20_000, took=took)
        at += took + 200_000 if is_tiny else took // 2
    found = made.findings()
    assert ("tiny-tasks" in found) == is_tiny
    if is_tiny:
        assert found["tiny-tasks"].figures["chunksize"] >= 100


@pytest.mark.parametrize("late", [True, False])
def test_stragglers(late: bool) -> None:
    made = Made(wall=1.2)
    workers = made.pool(2)
    for number in range(20):
        begin = 10 * MS + number // 2 * 20 * MS
        made.task(workers[number % 2], number, sent=5 * MS, begin=begin, took=19 * MS)
    if late:
        made.task(workers[0], 20, sent=6 * MS, begin=220 * MS, took=800 * MS, items=4)
    found = made.findings()
    assert ("straggler" in found) == late
    if late:
        assert found["straggler"].figures["longest"] == pytest.approx(0.8, rel=0.01)


def test_one_by_one_in_a_pool() -> None:
    made = Made(wall=1.2)
    workers = made.pool(2)
    at = 10 * MS
    for number in range(10):
        at = made.task(workers[number % 2], number, sent=at, begin=at + MS, took=100 * MS) + MS
    assert "not-parallel" in made.findings()


@pytest.mark.parametrize("joined", [True, False])
def test_processes_joined_one_by_one(joined: bool) -> None:
    made = Made(wall=1.5)
    for number in range(3):
        begin = number * 400 * MS if joined else number * MS
        made.process(20 + number, begin=begin, end=begin + 390 * MS)
    assert ("not-parallel" in made.findings()) == joined


def test_pools_in_a_loop_and_the_start_of_one() -> None:
    made = Made(wall=4.0)
    site = made.main.name("prog.py:5 <module>")
    for number in range(4):
        begin, channel = number * SECOND, 600 + number
        made.main.note(kinds.POOL, begin, MS, 1, kinds.A_POOL, site, 0, 70 + number, channel, 700)
        worker = made.process(30 + number, begin=begin, end=begin + 700 * MS)
        ready = begin + 500 * MS
        worker.note(kinds.READY, ready - MS, MS)
        made.main.note(kinds.OUT | 1 << 8, begin + MS, 9, 9, 9, number, 0, 1 << 32, channel)
        worker.note(kinds.IN | 1 << 8, ready + MS, 9, 9, 9, number, 0, 0, channel)
        done = ready + 100 * MS
        worker.note(kinds.OUT | 2 << 8, done, 9, 9, 9, number, 0, 0, 700, MS, ready + 2 * MS)
        made.main.note(kinds.IN | 2 << 8, done + MS, 9, 9, 9, number, 0, 0, 700)
    found = made.findings()
    assert next(iter(found)) == "pool-in-loop"
    assert "start-up" not in found
    assert found["pool-in-loop"].saving == pytest.approx(1.5, abs=0.01)


def test_a_main_module_that_is_run_again() -> None:
    made = Made(wall=3.0)
    workers = made.pool(2)
    for number, worker in enumerate(workers):
        packages = worker.name("pandas (400)")
        worker.note(kinds.PREPARE, 10 * MS, 1200 * MS, 1100 * MS, 400, packages)
        worker.note(kinds.READY, 1300 * MS, MS)
        made.task(worker, number, sent=20 * MS, begin=1310 * MS, took=200 * MS)
    found = made.findings()["start-up"]
    assert "pandas (400)" in found.evidence
    assert found.saving == pytest.approx(1.2, abs=0.01)


@pytest.mark.parametrize(("delay", "switches", "is_gil"), [(0, 150, True), (700, 2, False)])
def test_the_gil(delay: int, switches: int, is_gil: bool) -> None:
    """The same CPU time: what the threads waited for says which it is."""
    made = Made(wall=2.0)
    name, site = made.main.name("count"), made.main.name("prog.py:4 <module>")
    for _ in range(4):
        made.main.note(
            *(kinds.THREADTASK, 10 * MS, 1000 * MS, 250 * MS, 0, name, site, delay * MS, switches)
        )
    assert ("gil" in made.findings()) == is_gil


def test_round_trips_to_a_manager() -> None:
    made = Made(wall=1.0)
    worker = made.process(20, begin=10 * MS, end=900 * MS)
    title, site = worker.name("list.__getitem__"), worker.name("prog.py:2 work")
    for number in range(100):
        worker.note(kinds.PROXY, (20 + number) * MS, 80_000, title, site, 50)
    found = made.findings()["manager-chatter"]
    assert found.figures["calls"] == 5000
    assert str(found.where) == "prog.py:2"


def test_large_objects_through_a_queue() -> None:
    made = Made(wall=1.0)
    site = made.main.name("prog.py:9 <module>")
    made.main.note(kinds.QUEUE, MS, 333, 4, 0, site, made.main.name("Queue"))
    for number in range(10):
        made.main.note(kinds.OUT, number * 50 * MS, 20 * MS, 20 * MS, 8_000_000, 0, 0, 0, 333)
    found = made.findings()["queue-pickled"]
    assert found.figures["messages"] == 10
    assert str(found.where) == "prog.py:9"


@pytest.mark.parametrize(("dirty", "is_copied"), [(190_000_000, True), (12_000_000, False)])
def test_pages_that_are_copied(dirty: int, is_copied: bool) -> None:
    made = Made(wall=2.0)
    for pid in (20, 21):
        child = made.process(pid, begin=10 * MS, end=1900 * MS)
        child.born(10 * MS, kinds.FORKED, 1, 200_000_000)
        faults = 60_000 if is_copied else 20_000
        made.look(pid, 1800 * MS, faults=faults)
        made.roll(pid, 1800 * MS, dirty=dirty, anonymous=205_000_000, faults=faults)
    assert ("copy-on-write" in made.findings()) == is_copied


def test_totals_that_mislead_are_a_note_and_nothing_is_to_do() -> None:
    made = Made()
    for pid in (1, 20, 21):
        made.roll(pid, SECOND, rss=400_000_000, pss=140_000_000)
    found = made.findings()["rss-misleads"]
    assert (found.level, found.saving, found.change) == ("note", None, ())


@pytest.mark.parametrize("unlinked", [True, False])
def test_segments_without_an_end(unlinked: bool) -> None:
    made = Made()
    name, site = made.main.name("/psm_1"), made.main.name("prog.py:4 <module>")
    made.main.note(kinds.SHM, MS, kinds.MADE, 8_000_000, 0, name, site)
    if unlinked:
        made.main.note(kinds.SHM, 2 * MS, kinds.UNLINKED, 8_000_000, 0, name)
    assert ("leaked-shared-memory" in made.findings()) != unlinked


@pytest.mark.parametrize("status", [-2, -9])
def test_a_program_that_was_killed_since_it_hung_leaks_nothing_of_its_own(status: int) -> None:
    made = Made()
    name, site = made.main.name("/psm_1"), made.main.name("prog.py:4 <module>")
    made.main.note(kinds.SHM, MS, kinds.MADE, 8_000_000, 0, name, site)
    made.main.note(kinds.SHM, MS, kinds.SEMAPHORE, 0, 0, made.main.name("/mp-1"))
    left = ("psm_1", "sem.mp-1")
    made.changes = {"interrupted": SECOND, "status": status, "shared_memory_left": left}
    leaks = {"leaked-shared-memory", "leaked-semaphores"}
    assert set(made.findings()) & leaks == (leaks if status == -2 else set())


LOGGING = "[('', 10, [('StreamHandler', 0)], 1), ('quiet', 40, [], 1), ('\\x00disabled', 0, [], 0)]"


@pytest.mark.parametrize(
    ("counter", "finding"),
    [
        ("dropped\tmain\t10", "logs-lost"),
        ("dropped\tquiet\t10", ""),
        ("log\tmain\t20\t0\t0\t0", "logs-lost"),
        ("log\tmain\t30\t0\t0\t1", "logs-unformatted"),
        ("log\tmain\t20\t2\t1\t0", "logs-doubled"),
        ("log\tmain\t20\t2\t2\t0", ""),
        ("log\tmain\t20\t1\t1\t0", ""),
    ],
)
def test_log_records(counter: str, finding: str) -> None:
    made = Made()
    made.main.note(kinds.LOGCONF, MS, 0, 0, 0, made.main.name(LOGGING))
    worker = made.process(20, begin=2 * MS, end=SECOND, way=kinds.FRESH)
    worker.count(counter, 7)
    found = made.findings()
    assert list(found) == ([finding] if finding else [])


@pytest.mark.parametrize(("signal", "by_parent"), [(9, False), (9, True), (15, True)])
def test_workers_that_die(signal: int, by_parent: bool) -> None:
    made = Made(wall=3.0)
    workers = made.pool(2)
    victim = made.process(50, begin=MS, end=0)
    del workers
    made.main.note(kinds.EXIT, SECOND, 0, 50, (-signal) & 0xFFFFFFFF)
    if by_parent:
        made.main.note(kinds.ENDED, SECOND - MS, signal, 50)
    del victim
    assert ("worker-killed" in made.findings()) != by_parent


def test_forks_beside_threads() -> None:
    made = Made()
    site = made.main.name("prog.py:8 <module>")
    for told in ("beat|Thread|beat", "Thread-1 (_handle_tasks)|Thread|Pool._handle_tasks"):
        made.main.note(kinds.FORK, MS, MS, 2, 1, made.main.name(told), site)
    found = made.findings()["fork-with-threads"]
    assert found.figures["forks"] == 1, "the library's own thread is none"


def test_a_join_before_the_queue_is_drained() -> None:
    made = Made(wall=8.0)
    made.process(20, begin=MS, end=0)
    made.readings.stuck += [Stuck(1, 1, "wait", 20), Stuck(20, 21, "write", 333)]
    made.readings.idle = 5.0
    assert list(made.findings()) == ["join-before-drain"]


@pytest.mark.parametrize("joined", [20, 21, 0])
def test_a_join_before_the_queue_is_drained_under_a_fork_server(joined: int) -> None:
    """The parent waits for a pipe; which child it waits for was noted when it began to."""
    made = Made(wall=8.0)
    made.process(20, begin=MS, end=0, method="forkserver")
    if joined:
        made.main.note(kinds.JOINS, 2 * MS, 0, joined)
    made.readings.stuck += [Stuck(1, 1, "poll", 0), Stuck(20, 21, "write", 333)]
    made.readings.idle = 5.0
    assert ("join-before-drain" in made.findings()) == (joined == 20)


def test_globals_that_nobody_reads_are_a_note() -> None:
    made = Made()
    worker = made.process(20, begin=MS, end=SECOND)
    worker.note(kinds.GLOBALS, 10 * MS, 1, 0, 0, worker.name("calls\tint\t0\t1\tprog.py"))
    assert made.findings()["global-changed"].level == "note"


@pytest.mark.parametrize("seeded", [True, False])
def test_the_same_random_numbers(seeded: bool) -> None:
    """Workers that begin alike draw the same, unless their tasks seed."""
    made = Made()
    for pid in (20, 21):
        worker = made.process(pid, begin=MS, end=SECOND)
        generator = np.random.RandomState(1)
        for task in (0, 1):
            state: Any = generator.get_state(legacy=True)
            kind, keys, at, *_ = state
            text = f"{kind}\t{at}\t{keys.tobytes().hex()}"
            worker.note(kinds.RNG, (10 + task) * MS, task, 5 + task, 0, worker.name(text))
            if seeded:
                generator.seed(pid)
            generator.random_sample(5_000)
    assert ("same-random-numbers" in made.findings()) != seeded


def test_a_program_without_faults_has_no_finding() -> None:
    made = Made(wall=1.1)
    workers = made.pool(2)
    for number in range(40):
        begin = 10 * MS + number // 2 * 51 * MS
        made.task(workers[number % 2], number, sent=5 * MS, begin=begin, took=50 * MS)
    found = diagnosis.of(made.recording())
    assert found.findings == []
    assert found.well
    [pool] = found.pools
    assert pool.parts.known() == pytest.approx(pool.total, rel=0.05)
    assert pool.overlap == pytest.approx(2, rel=0.02)


def test_every_finding_is_explained() -> None:
    import re

    from onecopy._doctor import findings

    told = set()
    for file in Path(findings.__file__).parent.glob("*.py"):
        told |= set(re.findall(r'\bid="([a-z-]+)"', file.read_text("utf-8")))
    told |= {"serial-sender", "arguments-pickled"}
    assert told == set(explain.NAMES)


def held(since_last: int, *, others: int = 10, came_back: bool = False) -> Made:
    """A pool of two of which one task is at work when Ctrl-C comes, ``since_last`` after the rest."""
    made = Made(wall=6.0)
    first, second = made.pool(2)
    interrupted = 5 * SECOND
    made.changes["interrupted"] = interrupted
    begin = interrupted - since_last - others * 10 * MS
    for number in range(others):
        made.task(first, number, sent=MS, begin=begin + number * 10 * MS, took=9 * MS)
    made.task(second, others, sent=MS, begin=begin, took=5 * SECOND - begin + 100 * MS)
    for pid in (1, 11, 12):
        made.look(pid, interrupted + SECOND)
    if came_back:
        made.changes["interrupted"] = 0
    return made


def test_a_task_that_does_not_end_while_all_others_have() -> None:
    found = held(4 * SECOND).findings()
    assert list(found) == ["stuck-task"]
    finding = found["stuck-task"]
    assert "Process-12 (pid 12)" in finding.title
    assert finding.figures["task"] == 10
    assert finding.figures["median"] == pytest.approx(0.009)
    assert "pool.options(timeout=1).map(...)" in [line.text for line in finding.change]


@pytest.mark.parametrize(
    "made",
    [held(SECOND // 2), held(4 * SECOND, others=2), held(4 * SECOND, came_back=True)],
    ids=["others ended just before", "nothing to compare with", "it came back"],
)
def test_a_task_that_is_not_stuck(made: Made) -> None:
    assert "stuck-task" not in made.findings()


def struck(signal: int = 7, size: int = 40_000_000, least: int = 0) -> Made:
    """A child that is killed after its parent has made a segment; /dev/shm has 16 MB."""
    made = Made()
    child = made.process(20, begin=MS, end=0)
    main = made.main
    where = main.name("seg"), main.name("prog.py:4 <module>")
    main.note(kinds.SHM, MS, kinds.MADE, size, 0, *where)
    main.note(kinds.SHM, 2 * MS, kinds.UNLINKED, size, 0, where[0])
    main.note(kinds.EXIT, SECOND, 0, child.pid, (1 << 32) - signal)
    made.readings.shared_memory = Room(16_000_000, 16_000_000, least)
    return made


def test_a_full_shared_memory() -> None:
    found = struck().findings()
    assert list(found) == ["full-shared-memory"], "the death is its consequence"
    assert "Process-20" in found["full-shared-memory"].title
    assert str(found["full-shared-memory"].where) == "prog.py:4"
    # It filled between two looks: what was asked for says enough.
    assert "full-shared-memory" in struck(least=16_000_000).findings()


def test_other_deaths_beside_a_full_or_an_empty_shared_memory() -> None:
    assert list(struck(signal=11).findings()) == ["worker-killed"]
    assert list(struck(size=1_000_000, least=15_000_000).findings()) == ["worker-killed"]


def test_a_segment_that_could_not_be_made() -> None:
    made = Made()
    text = made.main.name("OSError: [Errno 28] No space left on device")
    where = made.main.name("prog.py:4 <module>")
    made.main.note(kinds.ERROR, MS, kinds.NO_ROOM, 0, 0, text, where)
    assert "Errno 28" in made.findings()["full-shared-memory"].evidence


def eager(
    made_in: int, *, grown: int = 0, sort: int = kinds.A_POOL, computes: bool = False
) -> Made:
    """A pool of two that is given an iterator, and then 200 ms of work for each worker."""
    made = Made(wall=2.0)
    workers = made.pool(2, sort)
    main = made.main
    where = main.name("prog.py:6 <module>"), main.name("generator")
    main.note(
        kinds.EAGER, 10 * MS, made_in, 40, grown, *where, 77, sort, made_in if computes else 0
    )
    at = 11 * MS + made_in
    for number in range(40):
        begin = at + number // 2 * 10 * MS
        made.task(workers[number % 2], number, sent=at, begin=begin + MS, took=9 * MS)
    return made


def test_an_iterator_that_is_consumed_before_the_work_begins() -> None:
    found = eager(SECOND).findings()
    assert list(found) == ["eager-input"]
    finding = found["eager-input"]
    assert finding.figures["items"] == 40
    # Of the 180 ms of work all but the last piece is done meanwhile.
    assert finding.saving == pytest.approx(0.18, abs=0.015)


def test_an_iterator_that_is_made_in_no_time_or_held_by_little() -> None:
    assert "eager-input" not in eager(20 * MS, grown=1_000_000).findings()
    assert "eager-input" not in eager(SECOND, sort=kinds.EXECUTOR).findings()


def test_an_iterator_whose_items_are_all_in_memory() -> None:
    for sort in (kinds.A_POOL, kinds.EXECUTOR):
        finding = eager(20 * MS, grown=200_000_000, sort=sort).findings()["eager-input"]
        assert (finding.level, finding.memory) == ("memory", 200_000_000)


def test_items_that_keep_the_only_cpu_busy_while_they_are_made() -> None:
    made = eager(SECOND, computes=True)
    made.cpus = 1
    assert "eager-input" not in made.findings(), "nothing is to be gained"


def test_an_executor_of_which_only_one_worker_was_ever_needed() -> None:
    made = Made(wall=1.2)
    worker, _ = made.pool(2)
    at = 10 * MS
    for number in range(10):
        at = made.task(worker, number, sent=at, begin=at + MS, took=100 * MS) + MS
    assert "not-parallel" in made.findings()


@pytest.mark.parametrize("foreign", [0.0, 0.6])
def test_forked_workers_that_wait_for_a_cpu_have_no_slow_start(foreign: float) -> None:
    made = Made(wall=2.0, foreign=foreign)
    for number, worker in enumerate(made.pool(2)):
        worker.note(kinds.READY, 900 * MS, MS)
        made.task(worker, number, sent=20 * MS, begin=910 * MS, took=200 * MS)
    assert ("start-up" in made.findings()) == (not foreign)


@pytest.mark.parametrize(
    ("version", "chosen", "is_said"), [(314, False, True), (314, True, False), (313, False, False)]
)
def test_a_fork_server_that_nobody_chose(version: int, chosen: bool, is_said: bool) -> None:
    made = Made(wall=3.0)
    made.main.born(0, kinds.FRESH, 0, 0, 0, version)
    if chosen:
        made.main.count("start method chosen", 1)
    made.method = "forkserver"
    for number, worker in enumerate(made.pool(2)):
        worker.note(kinds.READY, 1300 * MS, MS)
        made.task(worker, number, sent=20 * MS, begin=1310 * MS, took=200 * MS)
    advice = made.findings()["start-up"].advice
    assert ('set_start_method("fork")' in advice) == is_said


@pytest.mark.parametrize(
    ("foreign", "cpu", "is_found"), [(0.6, 20, False), (0.6, 700, True), (0.0, 20, True)]
)
def test_a_last_task_that_waited_for_a_cpu_is_no_straggler(
    foreign: float, cpu: int, is_found: bool
) -> None:
    made = Made(wall=1.2, foreign=foreign)
    workers = made.pool(2)
    for number in range(20):
        begin = 10 * MS + number // 2 * 20 * MS
        made.task(workers[number % 2], number, sent=5 * MS, begin=begin, took=19 * MS)
    made.task(workers[0], 20, sent=6 * MS, begin=220 * MS, took=800 * MS, cpu=cpu * MS)
    made.look(11, SECOND, cpu=0.2, delay=0.9)
    assert ("straggler" in made.findings()) == is_found
