"""Memory that no other process can reach or change: nothing listens and nothing has a name, sealed bytes stay
as they are whatever a process tries, and loading a file runs nothing that is in it.

That fresh workers hold nothing of the caller is shown in ``test_ends``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import onecopy as oc
from onecopy._memory.segment import Segment, registry
from onecopy.errors import BadFile, WorkerDied
from tests.arrays import Array
from tests.conftest import MakePool
from tests.faults import named_files
from tests.pooled import double

pytestmark = pytest.mark.memory

MADV_REMOVE, MREMAP_MAYMOVE = 9, 1
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16


# Nothing listens, nothing has a name.


def sockets_of(pids: set[int]) -> set[str]:
    """The inodes of all sockets that these processes have."""
    found = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found


def named_sockets(inodes: set[str]) -> list[str]:
    """Those of them that have an address: a path, an abstract name, or a port."""
    found = []
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, _, _, _, inode, *path = line.split(maxsplit=7)
        if inode in inodes and path:
            found.append(path[0])
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        path_of_table = Path(f"/proc/net/{table}")
        if path_of_table.exists():
            lines = path_of_table.read_text().splitlines()[1:]
            found += [line for line in lines if line.split()[9] in inodes]
    return found


def descendants() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


def test_nothing_listens_and_nothing_has_a_name(make_pool: MakePool, process_method: str) -> None:
    before, others = named_files(os.getpid()), descendants()
    data = oc.share(np.arange(100_000.0))
    out = oc.zeros(100)
    pool = make_pool(process_method)
    plain = np.ones(100_000)
    result = pool.apply(np.add, (data, plain))
    # The standard library's fork server, where a test has used it, listens on a named socket.
    pids = set(pool.pids())  # all have started
    family = descendants() - others
    assert pids <= family
    for pid in (*family, os.getpid()):
        assert named_files(pid) <= before
    mine = sockets_of({*family, os.getpid()})
    assert len(mine) >= 2 * len(pool.pids()), "these are the pool's own"
    assert named_sockets(mine) == []
    assert result[0] == 1 + out[0]


def test_the_search_for_names_finds_one(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening, socket.socket() as port:
        listening.bind(str(tmp_path / "name"))
        port.bind(("127.0.0.1", 0))
        port.listen()
        found = named_sockets(sockets_of({os.getpid()}))
    assert len(found) == 2
    assert str(tmp_path / "name") in found
    with tempfile.NamedTemporaryFile() as file:
        assert file.name in named_files(os.getpid())


def opened() -> list[tuple[str, int, int]]:
    """Target, mode and number of names of each file of ours that this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
            status = os.stat(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        if "onecopy" in target and stat.S_ISREG(status.st_mode):
            found.append((target, stat.S_IMODE(status.st_mode), status.st_nlink))
    return found


def test_files_are_private_and_have_no_name(make_pool: MakePool, process_method: str) -> None:
    data, out = oc.share(np.arange(100_000.0)), oc.zeros(10)
    pool = make_pool(process_method, 1)
    in_worker = pool.apply(lambda *_: opened(), (data, out, np.ones(100_000)))
    for found in (opened(), in_worker):
        assert len(found) >= 3
        for target, mode, links in found:
            assert links == 0
            if target.startswith("/memfd:"):
                continue  # no other user can come by it: it has no path
            assert not mode & 0o177, "no other user's"


# Sealed.


def segment_of(array: Array) -> tuple[Segment, int]:
    found = registry.find(array.__array_interface__["data"][0])
    assert found is not None
    return found


def attempts(array: Array) -> dict[str, Callable[[], bool]]:
    """Ways to change shared bytes by system call, and whether each one went through."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    segment, offset = segment_of(array)
    fd, size = segment.descriptor(), segment.size
    address = array.__array_interface__["data"][0] - offset
    failed = ctypes.c_void_p(-1).value
    page = mmap.PAGESIZE

    def again(flags: int) -> int:
        return os.open(f"/proc/self/fd/{fd}", flags)

    def closing(flags: int, act: Callable[[int], object]) -> bool:
        mine = again(flags)
        try:
            return act(mine) is not False
        finally:
            os.close(mine)

    def c(function: Any, *args: Any) -> bool:
        kinds = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
        result = function(*kinds)
        return bool(result not in (-1, failed))

    def map_shared(mine: int) -> bool:
        mmap.mmap(mine, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
        return True

    def upgrade(mine: int) -> bool:
        """A mapping for reading that is made writable afterwards."""
        at = libc.mmap(None, ctypes.c_size_t(page), mmap.PROT_READ, mmap.MAP_SHARED, mine, 0)
        if at == failed:
            raise OSError
        return writable(at)

    def writable(at: int) -> bool:
        """True if these pages can be made writable. They are unmapped."""
        done = libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(page), 3)
        libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(page))
        return bool(done == 0)

    def moved() -> bool:
        """A second mapping made of the first, which is then made writable."""
        length = ctypes.c_size_t(page)
        at = libc.mremap(ctypes.c_void_p(address), ctypes.c_size_t(0), length, MREMAP_MAYMOVE)
        return at != failed and writable(at)

    def memory(_: int = 0) -> bool:
        """A debugger's write: it may get a private copy, which no other process sees."""
        with open("/proc/self/mem", "r+b", 0) as file:
            file.seek(address)
            file.write(b"x")
        return bool(array.view("u1")[0] == ord("x")) and shared_byte() == ord("x")

    def shared_byte() -> int:
        return os.pread(fd, 1, 0)[0]

    falloc = libc.fallocate
    ways: dict[str, Callable[[], bool]] = {
        "write": lambda: os.write(fd, b"x") > 0,
        "pwrite": lambda: os.pwrite(fd, b"x", 0) > 0,
        "pwritev": lambda: os.pwritev(fd, [b"x"], 0) > 0,
        "shrink": lambda: c(libc.ftruncate, fd, 0),
        "grow": lambda: c(libc.ftruncate, fd, 2 * size),
        "punch a hole": lambda: c(falloc, fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 0, page),
        "zero a range": lambda: c(falloc, fd, FALLOC_ZERO_RANGE, 0, page),
        "map": lambda: map_shared(fd),
        "map, then mprotect": lambda: upgrade(fd),
        "madvise remove": lambda: c(libc.madvise, address, page, MADV_REMOVE),
        "mremap": moved,
        "/proc/self/mem": memory,
    }
    if segment.file.backing == "memfd":  # there are no seals on files: what is opened counts
        ways |= {
            "truncate when opened": lambda: closing(os.O_RDWR | os.O_TRUNC, lambda _: None),
            "opened again": lambda: closing(os.O_RDWR, lambda mine: os.pwrite(mine, b"x", 0)),
            "opened again, mapped": lambda: closing(os.O_RDWR, map_shared),
            "opened again, mprotect": lambda: closing(os.O_RDWR, upgrade),
        }
    return ways


def succeeded(array: Array) -> list[str]:
    done = []
    for name, attempt in attempts(array).items():
        try:
            if attempt():
                done.append(name)
        except OSError:
            continue
    return done


def test_sealed_bytes_do_not_change(make_pool: MakePool, process_method: str) -> None:
    pool = make_pool(process_method, 1)
    opened = oc.empty(100_000)
    opened[:] = np.arange(100_000.0)
    kinds = {
        "large": oc.share(np.arange(100_000.0)),
        "small": oc.share(np.arange(50.0)),
        "frozen": oc.freeze(opened),
    }
    for kind, array in kinds.items():
        assert succeeded(array) == [], kind
        assert pool.apply(succeeded, (array,)) == [], kind
        np.testing.assert_array_equal(array, np.arange(len(array)))
        assert pool.apply(np.array_equal, (array, np.arange(len(array))))


def test_the_attempts_succeed_where_they_may() -> None:
    """On memory that everybody may write, most go through: the test above can fail."""
    array = oc.zeros(100_000)
    done = succeeded(array)
    assert {"write", "pwrite", "pwritev", "map", "map, then mprotect", "mremap"} <= {*done}
    assert {"punch a hole", "/proc/self/mem"} <= {*done}
    assert "shrink" not in done or segment_of(array)[0].file.backing == "file"


def overwrite(array: Array, at: int) -> None:
    ctypes.memset(array.__array_interface__["data"][0] + at, 1, 1)


def test_the_last_byte_is_as_safe_as_the_first(make_pool: MakePool, process_method: str) -> None:
    array = oc.share(np.zeros(100_000, "u1"))
    pool = make_pool(process_method, 1)
    with pytest.raises(WorkerDied) as caught:
        pool.apply(overwrite, (array, array.nbytes - 1))
    assert caught.value.signal == signal.SIGSEGV
    assert not array.any()
    assert pool.apply(double, (1,)) == 2


# Files that come from elsewhere.


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_load_unpickles_nothing(tmp_path: Path, suffix: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / f"evil.{suffix}"
    array = np.array([Payload(mark)], dtype=object)
    with open(path, "wb") as file:
        if suffix == "npy":
            np.save(file, array, allow_pickle=True)
        else:
            np.savez(file, array)

    def read(**options: Any) -> None:
        loaded = oc.load(path, **options)
        for name in getattr(loaded, "files", ()):
            loaded[name]

    with pytest.raises((BadFile, ValueError)):
        read()
    assert not mark.exists()
    loaded = np.load(path, allow_pickle=True)
    if suffix == "npz":
        with loaded:
            loaded["arr_0"]
    assert mark.exists(), "it is dangerous indeed"
