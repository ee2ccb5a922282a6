"""The writes that the kernel refuses, and those that it allows; real workers."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy.errors import FileTruncated, NotShared, WorkerDied
from tests.arrays import Array, address_of, descriptor_of
from tests.conftest import MakePool
from tests.scripts import run, until

pytestmark = [pytest.mark.door, pytest.mark.memory, pytest.mark.beside]

MB = 1 << 20
KEPT: list[Any] = []


def native_write(array: Array) -> None:
    ctypes.memset(address_of(array), 1, 1)


def make_writable(array: Array) -> bool:
    """True if the kernel lets the pages of a shared mapping be made writable."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = address_of(array) // mmap.PAGESIZE * mmap.PAGESIZE
    return bool(libc.mprotect(page, 1, mmap.PROT_READ | mmap.PROT_WRITE) == 0)


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
        # Before Linux 6.7 a sealed memfd is mapped privately: no other process sees a write.
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


class Writing:
    """A worker that has begun to write to an array, and goes on when it is told to."""

    def __init__(self, pool: oc.Pool, folder: Path) -> None:
        self.array = oc.zeros(1000)
        self._fifo = folder / "fifo"
        os.mkfifo(self._fifo)
        self._engine: Any = pool._engine
        self._task = pool.submit(wait_then_write, self.array, str(self._fifo))
        until(lambda: self.array[0] == 1, "the task has begun")

    def until_a_freeze_has_begun(self) -> None:
        # Nothing outside of the engine tells it.
        until(lambda: bool(self._engine._parts.freezes._under_way), "the freeze has begun")

    def go_on(self) -> None:
        with open(self._fifo, "wb"):
            pass
        self._task.result()


def test_freeze_waits_for_a_worker_that_writes(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    writing = Writing(make_pool(process_method, 1), tmp_path)
    done: list[Array] = []
    freezer = threading.Thread(target=lambda: done.append(oc.freeze(writing.array)))
    freezer.start()
    writing.until_a_freeze_has_begun()
    assert done == []
    writing.go_on()
    freezer.join()
    assert done[0][:2].tolist() == [1, 2]


def test_a_freeze_that_was_interrupted_is_done_again(
    make_pool: MakePool, process_method: str, tmp_path: Path
) -> None:
    """The first has left the array read-only here, but not in the worker that writes."""
    writing = Writing(make_pool(process_method, 1), tmp_path)
    main = threading.get_ident()

    def interrupt() -> None:
        writing.until_a_freeze_has_begun()
        signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        oc.freeze(writing.array)
    interrupter.join()
    done: list[Array] = []
    freezer = threading.Thread(target=lambda: done.append(oc.freeze(writing.array)))
    freezer.start()
    freezer.join(0.2)
    assert not done, "the worker can still write"
    writing.go_on()
    freezer.join()
    assert done[0][:2].tolist() == [1, 2]
    assert system_writes(done[0]) == []
    assert oc.freeze(writing.array) is writing.array


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


# A file that another program cuts.


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
