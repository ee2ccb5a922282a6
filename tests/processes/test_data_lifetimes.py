"""The times at which shared memory is freed, and ends in every order; real workers."""

from __future__ import annotations

import gc
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._memory.segment import registry
from onecopy.errors import WorkerDied
from tests.arrays import Array, descriptor_of
from tests.conftest import PROCESS_METHODS, MakePool
from tests.scripts import assert_clean, run, until

pytestmark = [pytest.mark.door, pytest.mark.memory, pytest.mark.beside]

MB = 1 << 20
KEPT: list[Any] = []


def total(array: Array) -> float:
    return float(array.sum())


def keep(array: Array) -> None:
    KEPT.append(array)


def drop_kept() -> None:
    KEPT.clear()


def standing_here() -> int:
    return len(registry.by_id)


def descriptors_here() -> int:
    return len(os.listdir("/proc/self/fd"))


def kill_me(_: Array) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_segment_goes_with_the_last_view_and_workers_let_go(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    pool.apply(total, (np.zeros(10),))
    before = pool.apply(standing_here), pool.apply(descriptors_here)
    owner = len(os.listdir("/proc/self/fd"))
    shared, writable = oc.share(np.zeros(4 * MB)), oc.zeros(MB)
    pool.apply(total, (shared,))
    pool.apply(total, (writable,))
    assert pool.apply(standing_here) == before[0] + 2
    fd = os.dup(descriptor_of(shared))
    del shared, writable
    gc.collect()
    assert oc.segments() == []
    until(lambda: pool.apply(standing_here) == before[0], "the worker has let go")
    assert pool.apply(descriptors_here) == before[1]
    until(lambda: len(os.listdir("/proc/self/fd")) == owner + 1, "the owner has closed it")
    os.close(fd)


def test_view_in_a_worker_keeps_the_memory(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    shared = oc.share(np.full(MB, 2.0))
    pool.apply(keep, (shared[5:],))
    del shared
    gc.collect()
    assert pool.apply(total_of_kept) == 2.0 * (MB - 5)
    pool.apply(drop_kept)


def total_of_kept() -> float:
    return total(KEPT[0])


def test_views_die_in_whatever_thread(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 2)
    box = [oc.share(np.zeros(MB)) for _ in range(8)]
    pool.map(total, box, chunksize=1)
    threads = [threading.Thread(target=box.pop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del thread, threads
    gc.collect()
    assert [s.kind for s in oc.segments() if s.kind != "message"] == []


def message_segments() -> int:
    return sum(s.kind == "message" for s in oc.segments())


def test_blocks_of_arguments_and_results_are_used_again(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    array = np.ones(3 * MB)
    for _ in range(3):
        pool.apply(double, (array,))
    before = message_segments(), pool.apply(standing_here)
    for _ in range(20):
        pool.apply(double, (array,))
    assert (message_segments(), pool.apply(standing_here)) == before
    # One or two of each direction: a block may be on its way back when the next is taken.
    assert message_segments() <= 4


def double(array: Array) -> Array:
    array *= 2
    return array


def test_memory_that_dead_workers_held_does_not_pile_up(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 2)
    array = np.ones(MB)
    assert pool.map(total, [array] * 4, chunksize=1) == [MB] * 4
    seen: set[int] = set()
    for _ in range(4):
        seen |= {s.id for s in oc.segments() if s.kind == "message"}
        with pytest.raises(WorkerDied):
            pool.apply(kill_me, (array,))
        assert pool.map(total, [array] * 4, chunksize=1) == [MB] * 4
    assert len(seen) >= 4  # what a dead worker held is not used again
    until(lambda: message_segments() <= 2, "segments with abandoned blocks are gone")


def test_mapped_files_of_others_are_let_go(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    """A loop over many files keeps none of them open."""
    pool = make_pool(process_method, 1)
    pool.apply(total, (np.zeros(3),))
    before = len(os.listdir("/proc/self/fd")), pool.apply(descriptors_here)
    for number in range(30):
        path = tmp_path / f"{number}.npy"
        np.save(path, np.full(100, number))
        assert pool.apply(total, (np.load(path, mmap_mode="r"),)) == 100 * number
        assert pool.apply(total, (oc.load(path),)) == 100 * number
    gc.collect()
    until(lambda: len(os.listdir("/proc/self/fd")) <= before[0], "the owner has closed them")
    until(lambda: pool.apply(descriptors_here) <= before[1], "the worker has closed them")


# Ends, in every order.

ORDERS = {
    "pool first": "pool.terminate(); pool.join(); print(int(kept[5]), int(result[5]))",
    "array first": "del kept, data; pool.terminate(); pool.join(); print(5, int(result[5]))",
    "nothing is ended": "print(int(kept[5]), int(result[5]))",
    "closed and not joined": "pool.close(); print(int(kept[5]), int(result[5]))",
    "pool is collected": "del pool; print(int(kept[5]), int(result[5]))",
    "pool in a cycle": "x = [pool, kept]; x.append(x); del pool, x; print(5, int(result[5]))",
    "at exit": "import atexit; atexit.register(lambda: print(int(kept[5]), int(result[5])))",
    "held by a module": "import sys; sys.onecopy_kept = kept, result, pool; print(5, 5)",
    "held by a thread": (
        "import threading; t = threading.local(); t.x = kept, result, pool; print(5, 5)"
    ),
    "by an exception": "print(5, 5); raise SystemExit(0)",
    "work is waiting": "pool.submit(sum, data); print(5, int(result[5]))",
}

EXIT = """
import sys
import numpy as np
import onecopy as oc

def view(a):
    return a[::1]

def made(n):
    return np.arange(float(n))

data = oc.share(np.arange(1e6))
out = oc.zeros(1000)
pool = oc.Pool(2, method=sys.argv[1])
kept = pool.apply(view, (data,))
result = pool.apply(made, (1_000_000,))
private = oc.private(data)
small = oc.share(np.arange(10))
ORDER
"""


# What differs between the methods is the pool's end, not the arrays'.
@pytest.mark.parametrize(
    ("method", "order"),
    [("fork", order) for order in ORDERS]
    + [(method, "nothing is ended") for method in PROCESS_METHODS[1:]]
    + [(method, "array first") for method in PROCESS_METHODS[1:]],
)
def test_arrays_outlive_everything(tmp_path: Path, method: str, order: str) -> None:
    """Neither a crash, nor a warning, nor a word on standard error."""
    done = run(tmp_path, EXIT.replace("ORDER", ORDERS[order]), method)
    if order == "work is waiting":  # which is said, in one line
        assert done.stderr.startswith("onecopy: ")
        assert "of a pool had not ended" in done.stderr
        assert done.stderr.count("\n") == 1
        done.stderr = ""
    assert_clean(done, "5 5")


RESULT_AFTER_THE_POOL = """
import gc, os, sys
import numpy as np
import onecopy as oc

def made(n):
    return {"plain": np.full(n, 3.0), "shared": oc.share(np.full(n, 4.0)), "open": oc.zeros(n)}

def begin():
    with oc.Pool(2, method=sys.argv[1]) as pool:
        return pool.apply(made, (1_000_000,))

result = begin()
gc.collect()
result["plain"] += 1
result["open"][:] = 2
assert result["plain"].sum() == 4e6 and result["shared"].sum() == 4e6, result
assert result["open"].sum() == 2e6
kinds = sorted(s.kind for s in oc.segments())
assert kinds == ["message", "open", "shared"], kinds
view = result["shared"][3:5]
del result
gc.collect()
assert [s.kind for s in oc.segments()] == ["shared"], oc.segments()
del view
gc.collect()
assert oc.segments() == []
print("done")
"""


@pytest.mark.parametrize("method", PROCESS_METHODS)
def test_results_outlive_their_pool(tmp_path: Path, method: str) -> None:
    assert_clean(run(tmp_path, RESULT_AFTER_THE_POOL, method), "done")


FORKED = """
import os
import numpy as np
import onecopy as oc

data = oc.share(np.arange(1e6))
small = [oc.share(np.arange(10.0) + i) for i in range(20)]
out = oc.zeros(3)
pid = os.fork()
if pid == 0:
    assert data.sum() == sum(range(1_000_000))
    assert small[7][0] == 7
    out[1] = 1
    mine = oc.share(np.arange(10.0))
    assert oc.is_shared(mine) and oc.is_shared(data)
    small.clear()
    del data
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert out.tolist() == [0, 1, 0]
more = oc.share(np.arange(10.0))
assert all(array[0] == i for i, array in enumerate(small))
assert data[5] == 5 and more[5] == 5
print("done")
"""


def test_forked_child_has_them_too(tmp_path: Path) -> None:
    assert_clean(run(tmp_path, FORKED), "done")
