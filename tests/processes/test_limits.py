"""At the limits: too little memory, disk, descriptors. Errors say so, and nothing is lost.

Real limits where this machine lets them be set: a process's own (setrlimit), a memory
control group, a small file system for the backing files.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import onecopy as oc
from onecopy._system import memory
from onecopy.errors import NotEnoughMemory
from tests.arrays import Array
from tests.conftest import MakePool
from tests.limited import memory_group
from tests.scripts import assert_clean, run, until

pytestmark = [pytest.mark.memory, pytest.mark.beside]

TOO_MUCH = 1 << 43  # 8 TB: a sparse file may be so large, memory is not


@pytest.fixture
def huge(tmp_path: Path) -> Array:
    """A plain array of 8 TB, none of which is in memory or on the disk."""
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        file.truncate(TOO_MUCH)
    return np.asarray(np.memmap(path, "u1", mode="r"))


def first(array: Array) -> int:
    return int(array[0])


def huge_result(path: str) -> Array:
    return np.asarray(np.memmap(path, "u1", mode="r"))


def open_file(path: str) -> Array:
    """As a memory-mapped array that is passed on as the file that it is."""
    return np.memmap(path, "u1", mode="r")


def assert_says_so(error: NotEnoughMemory) -> None:
    assert error.wanted == TOO_MUCH
    assert 0 < error.available < TOO_MUCH
    assert str(error.wanted) in str(error)
    assert str(error.available) in str(error)


def test_share_and_empty_of_too_much(huge: Array) -> None:
    before = memory.available()
    makers: list[Callable[[], Array]] = [
        lambda: oc.share(huge),
        lambda: oc.empty(TOO_MUCH, "u1"),
    ]
    for make in makers:
        with pytest.raises(MemoryError) as caught:
            make()
        assert isinstance(caught.value, NotEnoughMemory)
        assert_says_so(caught.value)
    assert oc.segments() == []
    assert memory.available() > before - (1 << 30)


def test_argument_of_too_much(make_pool: MakePool, process_method: str, huge: Array) -> None:
    pool = make_pool(process_method, 1)
    with pytest.raises(NotEnoughMemory) as caught:
        pool.apply(first, (huge,))
    assert_says_so(caught.value)
    assert pool.apply(first, (huge[:10],)) == 0
    future = pool.submit(first, huge)
    with pytest.raises(NotEnoughMemory):
        future.result()
    assert pool.map(abs, [-1, -2]) == [1, 2]


def test_result_of_too_much(make_pool: MakePool, process_method: str, huge: Array) -> None:
    pool = make_pool(process_method, 1)
    path = str(huge.base.filename)  # type: ignore[union-attr]
    with pytest.raises(NotEnoughMemory) as caught:
        pool.apply(huge_result, (path,))
    assert_says_so(caught.value)
    # As the file that it is, it moves nothing.
    assert pool.apply(open_file, (path,)).nbytes == TOO_MUCH


# Limits of the process.

FILE_SIZE = """
import numpy as np, onecopy as oc

def double(a):
    return a * 2

pool = oc.Pool(1, method="fork")
for make in (lambda: oc.share(np.ones(1 << 24)), lambda: oc.zeros(1 << 24)):
    try:
        make()
    except oc.NotEnoughMemory as error:
        assert "ulimit -f" in str(error), error
        assert error.available == 100 << 20, error
    else:
        raise AssertionError
assert oc.share(np.ones(1 << 20)).sum() == 1 << 20
assert pool.apply(double, (np.ones(1 << 20),)).sum() == 2 << 20
try:
    pool.apply(double, (np.ones(1 << 24),))
except oc.NotEnoughMemory as error:
    assert "ulimit -f" in str(error), error
else:
    raise AssertionError
assert pool.apply(abs, (-5,)) == 5
pool.terminate()
pool.join()
print("done")
"""


def test_limit_on_the_size_of_files(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100 << 20, 100 << 20))

    assert_clean(run(tmp_path, FILE_SIZE, preexec=limit), "done")


DESCRIPTORS = """
import sys
import numpy as np, onecopy as oc

def total(a):
    return float(a.sum())

def share_many(n):
    return [oc.zeros(10) for _ in range(n)]

pool = oc.Pool(1, method=sys.argv[1])
assert pool.apply(total, (np.ones(100_000),)) == 100_000
arrays = []
try:
    while True:
        arrays.append(oc.zeros(10))
except OSError as error:
    assert "ulimit -n" in str(error), error
assert len(arrays) > 20, len(arrays)
# The pool has what it needs.
assert pool.apply(total, (np.ones(100_000),)) == 100_000
assert pool.map(abs, [-1, -2]) == [1, 2]
# A few go to the worker, which has room for them.
assert pool.apply(len, (arrays[:5],)) == 5
del arrays
assert oc.zeros(3).sum() == 0
pool.terminate()
pool.join()
print("done")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_limit_on_open_files(tmp_path: Path, method: str) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    assert_clean(run(tmp_path, DESCRIPTORS, method, preexec=limit), "done")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def descriptors_with(arrays: list[Array]) -> tuple[int, int]:
    return descriptors(), sum(int(array[0]) for array in arrays)


def test_a_hundred_thousand_small_arrays(make_pool: MakePool) -> None:
    pool = make_pool("forkserver", 1)
    arrays = [oc.share(np.array([number])) for number in range(100_000)]
    assert pool.apply(descriptors_with, (arrays,))[1] == sum(range(100_000))
    assert descriptors() < 100
    assert pool.apply(descriptors_with, (arrays[:9],))[0] < 100


def test_one_descriptor_per_worker(make_pool: MakePool, process_method: str) -> None:
    before = descriptors()
    pool = make_pool(process_method, 24)
    assert pool.apply(abs, (-1,)) == 1
    until(lambda: len(pool.pids()) == 24 and all(pool.pids()), "all have started")
    assert descriptors() - before <= 24 + 12


def test_many_segments_in_one_message(make_pool: MakePool, process_method: str) -> None:
    """The kernel passes 253 descriptors with one call: the rest go with others."""
    pool = make_pool(process_method, 1)
    arrays = [oc.full(1, number) for number in range(600)]
    assert pool.apply(descriptors_with, (arrays,))[1] == sum(range(600))
    back = pool.apply(full_ones, (600,))
    assert [int(array[0]) for array in back] == list(range(600))


def full_ones(count: int) -> list[Array]:
    return [oc.full(1, number) for number in range(count)]


# A memory control group.


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory group of 200 MB, or a skip where none can be made."""
    with memory_group(200 << 20) as folder:
        yield folder


GROUP = """
import sys
import numpy as np, onecopy as oc

def double(a):
    a *= 2
    return a

pool = oc.Pool(1, method=sys.argv[1])
assert pool.apply(abs, (-1,)) == 1
small = oc.share(np.ones(1 << 20))
huge = np.memmap(sys.argv[2], "u1", mode="r", shape=1 << 30)
plain = np.asarray(huge)
for attempt in (
    lambda: oc.zeros(1 << 30, "u1"),
    lambda: oc.share(plain),
    lambda: pool.apply(len, (plain,)),
):
    try:
        attempt()
    except oc.NotEnoughMemory as error:
        assert error.wanted == 1 << 30, error
        assert error.available < 200 << 20, error
    else:
        raise AssertionError
assert pool.apply(double, (np.ones(1 << 20),)).sum() == 2 << 20
assert small.sum() == 1 << 20
pool.terminate()
pool.join()
print("done")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_memory_control_group(tmp_path: Path, group: Path, method: str) -> None:
    if oc_backing() == "file":
        pytest.skip("the disk is not limited by a memory group")

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 30)
    assert_clean(run(tmp_path, GROUP, method, str(tmp_path / "huge"), preexec=join), "done")


def oc_backing() -> str:
    array = oc.zeros(1)
    (segment,) = [s for s in oc.segments() if s.kind == "open"]
    del array
    return segment.backing


# A small file system for the backing files.


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MB, or a skip where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip(f"needs to mount a file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


DISK = """
import os, sys, tempfile
import numpy as np, onecopy as oc

def double(a):
    a *= 2
    return a

pool = oc.Pool(1, method="fork")
folder = tempfile.gettempdir()
for make in (lambda: oc.zeros(200 << 20, "u1"), lambda: oc.share(np.ones(200 << 20, "u1"))):
    try:
        make()
    except oc.NotEnoughMemory as error:
        assert error.where == folder and folder in str(error), error
        assert error.wanted == 200 << 20 and error.available <= 100 << 20, error
    else:
        raise AssertionError
kept = [oc.share(np.full(1 << 22, i)) for i in range(2)]   # 64 MB of 100
try:
    pool.apply(double, (np.ones(1 << 23),))
except oc.NotEnoughMemory as error:
    assert error.wanted == 64 << 20 and error.available < 64 << 20, error
else:
    raise AssertionError
assert pool.apply(double, (np.ones(1 << 18),)).sum() == 1 << 19
assert [int(a[-1]) for a in kept] == [0, 1]
assert os.listdir(folder) == [], os.listdir(folder)
pool.terminate()
pool.join()
print("done")
"""


def test_full_disk_under_the_backing_files(tmp_path: Path, small_folder: Path) -> None:
    env = {**os.environ, "ONECOPY_BACKING": "file", "TMPDIR": str(small_folder)}
    assert_clean(run(tmp_path, DISK, env=env), "done")


def test_folder_for_backing_files_is_missing(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        old, tempfile.tempdir = tempfile.tempdir, str(tmp_path / "gone")
        stack.callback(setattr, tempfile, "tempdir", old)
        if oc_backing_forced():
            with pytest.raises(FileNotFoundError):
                oc.zeros(5)
        else:
            assert oc.zeros(5).sum() == 0


def oc_backing_forced() -> bool:
    return os.environ.get("ONECOPY_BACKING") == "file" or not hasattr(os, "memfd_create")
