"""What the kernel refuses, who may write, and when memory is given back; real workers."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._memory.registry import registry
from onecopy.errors import FileTruncated, NotShared, WorkerDied
from tests.arrays import Array
from tests.conftest import PROCESS_METHODS, MakePool
from tests.scripts import assert_clean, run, until

MB = 1 << 20
KEPT: list[Any] = []


def address_of(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def native_write(array: Array) -> None:
    ctypes.memset(address_of(array), 1, 1)


def make_writable(array: Array) -> bool:
    """Does the kernel let the pages of a shared mapping be made writable?"""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = address_of(array) // mmap.PAGESIZE * mmap.PAGESIZE
    return bool(libc.mprotect(page, 1, mmap.PROT_READ | mmap.PROT_WRITE) == 0)


def descriptor_of(array: Array) -> int:
    found = registry.find(address_of(array))
    assert found is not None
    return found[0].descriptor()


def system_writes(array: Array) -> list[str]:
    """The names of the system calls that could change a shared array."""
    fd = descriptor_of(array)
    size = os.fstat(fd).st_size
    attempts: dict[str, Any] = {
        "pwrite": lambda: os.pwrite(fd, b"x", 0),
        "shrink": lambda: os.ftruncate(fd, 0),
        "grow": lambda: os.ftruncate(fd, 2 * size),
        "mmap": lambda: mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
    }
    done = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        done.append(name)
    return done


def set_flag(array: Array) -> None:
    array.flags.writeable = True


def write(array: Array, at: int, value: float) -> float:
    array[at] = value
    return float(array[at])


def write_own_index(item: tuple[Array, int]) -> None:
    array, at = item
    array[at] += at


def total(array: Array) -> float:
    return float(array.sum())


def keep(array: Array) -> None:
    KEPT.append(array)


def drop_kept() -> None:
    KEPT.clear()


def write_to_kept(value: float) -> None:
    KEPT[0][0] = value


def native_write_to_kept() -> None:
    native_write(KEPT[0])


def wait_then_write(array: Array, fifo: str) -> None:
    array[0] = 1
    with open(fifo, "rb") as opened:
        opened.read()
    array[1] = 2


def use_private(array: Array) -> tuple[float, float, float]:
    mine = oc.private(array)
    mine[...] = 7
    return float(mine[0]), float(array[0]), float(mine.sum())


def try_to_freeze(array: Array) -> None:
    oc.freeze(array)


def standing_here() -> int:
    return len(registry.by_id)


def descriptors_here() -> int:
    return len(os.listdir("/proc/self/fd"))


def kill_me(_: Array) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def shared() -> Array:
    array: Array = oc.share(np.arange(float(MB)))
    return array


@pytest.fixture
def small() -> Array:
    array: Array = oc.share(np.arange(100.0))
    return array


# What is shared cannot be written.


def test_kernel_refuses_a_native_write_in_a_worker(
    make_pool: MakePool, process_method: str, shared: Array, small: Array
) -> None:
    pool = make_pool(process_method, 1)
    for array in (shared, small):
        with pytest.raises(WorkerDied, match="SIGSEGV") as caught:
            pool.apply(native_write, (array,))
        assert caught.value.signal == signal.SIGSEGV
        assert array[0] == 0
        assert pool.apply(total, (array,)) == array.sum()


def test_worker_cannot_make_it_writable(
    make_pool: MakePool, process_method: str, shared: Array, small: Array
) -> None:
    pool = make_pool(process_method, 1)
    for array in (shared, small):
        assert pool.apply(system_writes, (array,)) == []
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            pool.apply(set_flag, (array,))
        # Before Linux 6.7 a sealed memfd is mapped privately: nobody else sees a write.
        if pool.apply(make_writable, (array,)):
            pool.apply(native_write, (array,))
        assert array[0] == 0


NATIVE_WRITE = """
import ctypes, sys
import numpy as np, onecopy as oc
made = {
    "shared": lambda: oc.share(np.arange(1e6)),
    "small": lambda: oc.share(np.arange(10.0)),
    "frozen": lambda: oc.freeze(oc.zeros(10)),
    "file": lambda: oc.load(sys.argv[2]),
}
array = made[sys.argv[1]]()
address = array.__array_interface__["data"][0]
print("made", flush=True)
ctypes.memset(address, 1, 1)
print("written")
"""


@pytest.mark.parametrize("kind", ["shared", "small", "frozen", "file"])
def test_kernel_refuses_a_native_write_in_the_owner(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "x.npy", np.arange(10.0))
    done = run(tmp_path, NATIVE_WRITE, kind, str(tmp_path / "x.npy"))
    assert done.stdout == "made\n"
    assert done.returncode == -signal.SIGSEGV


def test_owner_cannot_write_by_system_call(shared: Array, small: Array) -> None:
    assert system_writes(shared) == []
    assert system_writes(small) == []


def test_loaded_file_cannot_be_written_by_workers(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(1000.0))
    before = path.read_bytes()
    array = oc.load(path)
    pool = make_pool(process_method, 1)
    stats = pool.stats()
    assert pool.apply(total, (array[10:],)) == array[10:].sum()
    assert pool.stats().bytes_copied == stats.bytes_copied
    assert not pool.apply(make_writable, (array,))
    assert pool.apply(system_writes, (array,)) == []
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        pool.apply(native_write, (array,))
    assert path.read_bytes() == before


# Writable by everybody, until it is frozen.


def test_every_worker_writes_in_place(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    array = oc.empty(1000)
    before = pool.stats()
    pool.map(write_own_index, [(array, at) for at in range(1000)], chunksize=7)
    assert (array == np.arange(1000)).all()
    assert pool.stats().bytes_copied - before.bytes_copied < MB
    assert pool.apply(total, (array[::2],)) == np.arange(0, 1000, 2).sum()


def test_full_is_seen_by_workers(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method)
    array = oc.full((10, 10), 3.0)
    assert pool.apply(total, (array,)) == 300
    assert pool.apply(write, (array[2], 5, 8.0)) == 8
    assert array[2, 5] == 8


def test_frozen_refuses_owner_and_workers(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    array = oc.zeros(1000)
    pool.apply(keep, (array,))
    pool.apply(write_to_kept, (5.0,))
    assert array[0] == 5
    frozen = oc.freeze(array)
    assert system_writes(frozen) == []
    for view in (array, frozen):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        pool.apply(write, (frozen, 0, 1.0))
    assert pool.apply(total, (frozen,)) == 5
    # A view from before: NumPy knows nothing of it, the kernel does.
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        pool.apply(native_write_to_kept)
    assert frozen[0] == 5
    assert pool.apply(total, (frozen,)) == 5


def test_frozen_in_every_worker(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 3)
    array = oc.zeros(1000)
    pool.map(write_own_index, [(array, at) for at in range(60)], chunksize=1)
    frozen = oc.freeze(array)
    for _ in range(10):
        with pytest.raises(ValueError, match="read-only"):
            pool.map(write_own_index, [(frozen, at) for at in range(6)], chunksize=1)
    assert frozen[:60].tolist() == list(range(60))


def test_freeze_waits_for_a_worker_that_writes(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    pool = make_pool(process_method, 1)
    array = oc.zeros(1000)
    task = pool.submit(wait_then_write, array, str(fifo))
    until(lambda: array[0] == 1, "the task has begun")
    done: list[Array] = []
    freezer = threading.Thread(target=lambda: done.append(oc.freeze(array)))
    freezer.start()
    engine: Any = pool._engine  # nothing outside of it tells that a freeze has begun
    until(lambda: bool(engine._freezes), "the freeze has begun")
    assert done == []
    with open(fifo, "wb"):
        pass
    freezer.join()
    task.result()
    assert done[0][:2].tolist() == [1, 2]


def test_frozen_refuses_workers_that_inherited_the_array(make_pool: MakePool) -> None:
    array = oc.zeros(10)
    KEPT.append(array)
    try:
        pool = make_pool("fork", 1)
        oc.freeze(array)
        with pytest.raises(WorkerDied, match="SIGSEGV"):
            pool.apply(native_write_to_kept)
    finally:
        KEPT.clear()


def test_worker_may_not_freeze_what_is_not_its_own(
    make_pool: MakePool, process_method: str
) -> None:
    pool = make_pool(process_method, 1)
    array = oc.zeros(10)
    with pytest.raises(NotShared, match="not in a worker"):
        pool.apply(try_to_freeze, (array,))
    array[0] = 1


def test_private_leaves_the_shared_alone(
    make_pool: MakePool, process_method: str, shared: Array
) -> None:
    pool = make_pool(process_method)
    for _ in range(4):
        assert pool.apply(use_private, (shared,)) == (7, 0, 7 * MB)
    mine = oc.private(shared)
    mine[0] = -1
    assert pool.apply(total, (shared,)) == shared.sum()
    assert pool.apply(total, (mine,)) == shared.sum() - 1


# A file that somebody cuts.


def test_file_that_was_cut_before_it_is_sent(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(MB))
    size = path.stat().st_size
    array = oc.load(path)
    pool = make_pool(process_method, 1)
    os.truncate(path, 5000)
    with pytest.raises(FileTruncated, match=r"x\.npy' was truncated from \d+ to 5000") as caught:
        pool.apply(total, (array,))
    assert (caught.value.path, caught.value.was, caught.value.now) == (str(path), size, 5000)
    assert pool.apply(abs, (-3,)) == 3


def test_file_that_is_cut_while_a_worker_reads_it(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    path, fifo = tmp_path / "x.npy", tmp_path / "fifo"
    np.save(path, np.zeros(MB))
    os.mkfifo(fifo)
    array = oc.load(path)
    pool = make_pool(process_method)
    begun = oc.zeros(1)
    task = pool.submit(wait_then_sum, array, begun, str(fifo))
    until(lambda: begun[0] == 1, "the task has begun")
    os.truncate(path, 5000)
    with open(fifo, "wb"):
        pass
    with pytest.raises(FileTruncated, match=r"SIGBUS.*x\.npy' was truncated") as caught:
        task.result()
    assert caught.value.pid > 0
    assert caught.value.now == 5000
    assert "wait_then_sum" in str(caught.value)
    assert pool.map(abs, range(-4, 0)) == [4, 3, 2, 1]


def wait_then_sum(array: Array, begun: Array, fifo: str) -> float:
    begun[0] = 1
    with open(fifo, "rb") as opened:
        opened.read()
    return float(array.sum())


# What is no longer used is given back.


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
    assert_clean(run(tmp_path, EXIT.replace("ORDER", ORDERS[order]), method), "5 5")


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
