"""Python objects in shared memory, read and written by real workers under every start method."""

from __future__ import annotations

import collections
import os
import pickle
import signal
import subprocess
import sys
from typing import Any

import pytest

import onecopy as oc
from onecopy._objects import appending
from tests import scripts
from tests.conftest import MakePool
from tests.tasks import meet

pytestmark = [pytest.mark.door, pytest.mark.memory, pytest.mark.beside]

MB = 1 << 20
COUNT = 60_000


def records(count: int = COUNT) -> list[dict[str, Any]]:
    return [
        {"id": at, "box": [at / 2, at / 3, 1.0, 2.0], "name": f"thing {at}", "crowd": None}
        for at in range(count)
    ]


def read(data: Any, at: Any) -> Any:
    return data[at]


def kind_of(data: Any) -> str:
    return type(data).__name__


def contains(data: Any, value: Any) -> bool:
    return value in data


def add_ids(data: Any) -> int:
    return int(data.column("id").sum())


def read_all(data: Any) -> int:
    return sum(len(record["box"]) for record in data)


def volume(data: Any) -> int:
    return sum(len(record["data"]) for record in data)


def made_there(count: int) -> Any:
    return oc.share(records(count))


@pytest.fixture
def pool(make_pool: MakePool, process_method: str) -> Any:
    return make_pool(process_method)


def test_workers_read_where_it_stands(pool: Any) -> None:
    sent = records()
    shared: Any = oc.share(sent)
    pool.apply(kind_of, (shared,))
    before = pool.stats()
    assert pool.apply(read, (shared, 777)) == sent[777]
    assert pool.apply(read_all, (shared,)) == 4 * COUNT
    assert pool.apply(add_ids, (shared[1000:],)) == sum(range(1000, COUNT))
    assert pool.map(lambda at: shared[at]["name"], [5, -1]) == ["thing 5", f"thing {COUNT - 1}"]
    after = pool.stats()
    assert after.bytes_copied == before.bytes_copied
    assert after.bytes_sent - before.bytes_sent < 30_000
    assert pool.apply(kind_of, (shared[3:9],)) == "SharedList"


def test_keys_are_found_whatever_the_seed(pool: Any) -> None:
    sent: dict[Any, int] = {f"key {at}": at for at in range(5000)}
    sent |= {at: at for at in range(100)} | {("pair", at): at for at in range(100)}
    shared = oc.share(sent)
    assert pool.apply(kind_of, (shared,)) == "SharedDict"
    for key, value in [("key 77", 77), (5, 5), (5.0, 5), (("pair", 9), 9)]:
        assert pool.apply(read, (shared, key)) == value
    assert not pool.apply(contains, (shared, "key 5000"))
    assert pool.apply(contains, (oc.share(set(sent)), "key 4999"))


SEEDED = """
import onecopy as oc, pickle, sys
shared = pickle.loads(sys.stdin.buffer.read())
assert all(shared[f"key {at}"] == at for at in range(2000))
assert ("a", 5) in shared and "missing" not in shared
print(hash("key 1"))
"""


def test_seeds_differ_and_nothing_else() -> None:
    sent: dict[Any, int] = {f"key {at}": at for at in range(2000)} | {("a", 5): 1}
    data = pickle.dumps(oc.share(sent), 5)
    hashes = {
        subprocess.run(
            [sys.executable, "-c", SEEDED],
            input=data,
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 2


def test_a_structure_from_a_worker(pool: Any) -> None:
    got = pool.apply(made_there, (1000,))
    assert type(got) is oc.SharedList
    assert got == records(1000)


def volume_by_both(data: Any, signs: Any, mine: int) -> int:
    """The volume, once the other worker has begun too: one worker may take two quick tasks."""
    meet(signs, mine, 1 - mine)
    return volume(data)


def test_reading_costs_workers_no_memory(pool: Any) -> None:
    """Each of two workers decodes every record of 24 MB, and holds none of it."""
    shared: Any = oc.share([{"at": at, "data": bytes([at % 256]) * 4000} for at in range(6000)])
    warm: Any = oc.share([{"at": 1, "data": b"x"}] * 300)

    def by_both(data: Any) -> Any:
        signs = oc.zeros(2, "i8")
        return pool.starmap(volume_by_both, [(data, signs, mine) for mine in (0, 1)], chunksize=1)

    assert by_both(warm) == [300, 300]
    assert volume(shared) == 24_000_000, "the owner maps it, so it is no worker's own"
    before = own_memory(pool)
    assert by_both(shared) == [24_000_000] * 2
    assert own_memory(pool) - before < 8 * MB


def own_memory(pool: Any) -> int:
    """Return what the workers share with no other process, in bytes."""
    workers = pool.pids()
    return sum(each.uss for each in oc.memory().processes if each.pid in workers)


# What many write.


def count(counter: oc.Counter, number: int) -> int:
    counter.add("odd" if number % 2 else "even")
    return os.getpid()


def test_workers_count(pool: Any) -> None:
    counter = oc.Counter("odd", "even")
    pids = pool.starmap(count, [(counter, number) for number in range(1001)], chunksize=10)
    assert dict(counter) == {"odd": 500, "even": 501}
    rows = (appending.size_of(counter._segment) - appending.START) // 64
    assert rows == len(set(pids)), "a row for each process that has counted"


def test_a_counter_takes_whole_numbers() -> None:
    counter = oc.Counter()
    counter.add(n=True + 1)
    with pytest.raises(TypeError, match="interpreted as an integer"):
        counter.add(n=1.5)  # type: ignore[arg-type]
    assert dict(counter) == {"value": 2}


def count_and_die(counter: oc.Counter, found: oc.AppendLog, number: int) -> None:
    counter.add()
    found.append(number)
    if number % 5 == 4:
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_worker_has_written_stays(pool: Any) -> None:
    counter, found = oc.Counter(), oc.append_log()
    futures = [pool.submit(count_and_die, counter, found, number) for number in range(10)]
    died = [future for future in futures if future.exception() is not None]
    assert len(died) == 2
    assert counter.value == 10
    assert sorted(found) == list(range(10))


def append_many(found: oc.AppendLog, task: int) -> None:
    for number in range(200):
        found.append((task, number, b"x" * (number * 37 % 9000)))


def test_workers_append_and_none_is_lost_or_out_of_order(pool: Any) -> None:
    found, read = oc.append_log(), []
    result = pool.starmap_async(append_many, [(found, task) for task in range(8)], chunksize=1)
    while not result.ready():
        read += found.read()
    result.get()
    read += found.read()
    assert len(read) == 1600
    in_order = collections.defaultdict(list)
    for task, number, _ in read:
        in_order[task].append(number)
    assert all(numbers == list(range(200)) for numbers in in_order.values())


def append_until_killed(found: oc.AppendLog, started: Any, worker: int) -> None:
    number = 0
    while True:
        found.append((worker, number, b"x" * 30_000))
        started[worker] = number = number + 1


def test_a_kill_in_the_middle_of_appending(make_pool: MakePool, process_method: str) -> None:
    """Writers of several pages each are killed again and again; what each says to have
    written before is there, and so is what comes after a record that was cut off."""
    found, started = oc.append_log(), oc.zeros(6, "i8")
    pool = make_pool(process_method, 2)
    for worker in range(0, 6, 2):
        futures = [
            pool.submit(append_until_killed, found, started, one) for one in (worker, worker + 1)
        ]
        scripts.until(lambda at=worker: bool(started[at] > 5 and started[at + 1] > 5))  # type: ignore[misc]
        for pid in pool._engine.pids():
            os.kill(pid, signal.SIGKILL)
        assert all(isinstance(future.exception(), oc.WorkerDied) for future in futures)
    found.append("the end")
    numbers = collections.defaultdict(list)
    *written, last = found.read()
    for worker, number, data in written:
        numbers[worker].append(number)
        assert len(data) == 30_000
    assert last == "the end"
    for worker in range(6):
        assert numbers[worker][: int(started[worker])] == list(range(int(started[worker])))


def test_a_child_that_the_user_forks_counts_for_itself() -> None:
    counter = oc.Counter()
    counter.add(n=5)
    pid = os.fork()
    if not pid:
        counter.add(n=7)
        os._exit(0 if counter.value == 12 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    counter.add(n=1)
    assert counter.value == 13
