"""The two backings of anonymous memory keep one contract; mappings; descriptors."""

from __future__ import annotations

import ctypes
import errno
import gc
import itertools
import mmap
import os
import resource
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onecopy._system import anonymous, descriptors, mapping, memory
from onecopy._system.anonymous import AnonymousFile
from onecopy._system.unlinked import UnlinkedFile
from onecopy.errors import NotEnoughMemory

SIZE = 4 * mapping.PAGE

needs_memfd = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd")


@pytest.fixture(params=["file", pytest.param("memfd", marks=needs_memfd)])
def backing(request: pytest.FixtureRequest) -> type[AnonymousFile]:
    if request.param == "memfd":
        from onecopy._system.memfd import Memfd

        return Memfd
    return UnlinkedFile


@pytest.fixture
def file(backing: type[AnonymousFile]) -> Iterator[AnonymousFile]:
    made = backing(SIZE)  # type: ignore[call-arg]
    yield made
    made.close()


def written(file: AnonymousFile) -> bytes:
    return os.pread(file.descriptor(write=False), file.size, 0)


def test_new_one_is_zeros_and_not_reserved(file: AnonymousFile) -> None:
    assert os.fstat(file.fd).st_size == SIZE
    assert os.fstat(file.fd).st_blocks == 0
    assert written(file) == bytes(SIZE)


def test_descriptors_are_closed_on_exec(file: AnonymousFile) -> None:
    assert not os.get_inheritable(file.descriptor(write=True))
    assert not os.get_inheritable(file.descriptor(write=False))


def test_nobody_else_may_open_it(file: AnonymousFile) -> None:
    if file.backing == "file":  # a memfd has no name to open it by
        assert os.fstat(file.fd).st_mode & 0o077 == 0
    assert os.fstat(file.fd).st_nlink == 0


def test_reserved_pages_exist(file: AnonymousFile) -> None:
    file.reserve(mapping.PAGE, 2 * mapping.PAGE)
    assert os.fstat(file.fd).st_blocks * 512 >= 2 * mapping.PAGE
    assert written(file) == bytes(SIZE)


def test_write_at_any_place(file: AnonymousFile) -> None:
    file.write(mapping.PAGE - 3, memoryview(b"abcdef"))
    assert written(file)[mapping.PAGE - 3 :][:6] == b"abcdef"


def test_write_in_several_pieces(file: AnonymousFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """One system call takes 2 GB at most; here it takes seven bytes."""
    import onecopy._system.unlinked

    monkeypatch.setattr(onecopy._system.unlinked, "_MOST", 7)
    if hasattr(os, "memfd_create"):
        import onecopy._system.memfd

        monkeypatch.setattr(onecopy._system.memfd, "_MOST", 7)
    data = bytes(range(100))
    file.write(5, memoryview(data))
    assert written(file)[5:105] == data


def test_mappings_see_what_is_written(file: AnonymousFile) -> None:
    address = mapping.map_shared(file.descriptor(write=True), SIZE, write=True)
    file.write(0, memoryview(b"by call"))
    assert ctypes.string_at(address, 7) == b"by call"
    ctypes.memmove(address, b"by page", 7)
    assert written(file)[:7] == b"by page"
    mapping.unmap(address, SIZE)


def test_sealed_to_new_mappings_keeps_the_old_one(file: AnonymousFile) -> None:
    """The mapping by which a common segment of small objects is filled."""
    address = mapping.map_shared(file.descriptor(write=True), SIZE, write=True)
    file.seal_mappings()
    with pytest.raises(OSError, match="mmap"):
        mapping.map_shared(file.descriptor(write=False), SIZE, write=True)
    with pytest.raises(OSError, match=r"Operation not permitted|Bad file descriptor"):
        os.pwrite(file.descriptor(write=False), b"x", 0)
    reader = mapping.map_shared(file.descriptor(write=False), SIZE, write=False)
    ctypes.memmove(address, b"later", 5)
    assert ctypes.string_at(reader, 5) == b"later"
    mapping.unmap(address, SIZE)
    mapping.unmap(reader, SIZE)


def test_sealed_refuses_every_writer(file: AnonymousFile) -> None:
    file.write(0, memoryview(b"before"))
    file.seal_mappings()
    assert file.seal()
    fd = file.descriptor(write=False)
    refused = {"memfd": {errno.EPERM}, "file": {errno.EBADF, errno.EINVAL, errno.EACCES}}
    for attempt in (
        lambda: os.pwrite(fd, b"x", 0),
        lambda: os.ftruncate(fd, 0),
        lambda: os.ftruncate(fd, 2 * SIZE),
        lambda: os.posix_fallocate(fd, 0, 2 * SIZE),
        lambda: mmap.mmap(fd, SIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
    ):
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            attempt()
        assert caught.value.errno in refused[file.backing]
    assert written(file)[:6] == b"before"


def mprotect(address: int, size: int) -> bool:
    """True if the kernel makes it writable."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return bool(libc.mprotect(address, size, mmap.PROT_READ | mmap.PROT_WRITE) == 0)


def test_mapping_of_a_sealed_one_never_becomes_writable_to_others(file: AnonymousFile) -> None:
    file.write(0, memoryview(b"before"))
    file.seal_mappings()
    assert file.seal()
    address = mapping.map_shared(file.descriptor(write=False), SIZE, write=False)
    assert ctypes.string_at(address, 6) == b"before"
    if mprotect(address, SIZE):
        # Before Linux 6.7 a sealed memfd is mapped privately: the write stays here.
        ctypes.memmove(address, b"change", 6)
    assert written(file)[:6] == b"before"
    mapping.unmap(address, SIZE)


def test_private_mapping_keeps_its_writes(file: AnonymousFile) -> None:
    file.write(mapping.PAGE, memoryview(b"theirs"))
    file.seal_mappings()
    file.seal()
    fd = file.descriptor(write=False)
    view = mapping.private(fd, mapping.PAGE, mapping.PAGE)
    assert bytes(view[:6]) == b"theirs"
    view[:6] = b"mine  "
    assert written(file)[mapping.PAGE :][:6] == b"theirs"
    assert bytes(view[:6]) == b"mine  "


def test_remapped_in_place(file: AnonymousFile) -> None:
    address = mapping.map_shared(file.descriptor(write=True), SIZE, write=True)
    ctypes.memmove(address, b"mine", 4)
    file.seal_mappings()
    mapping.remap_readonly(address, file.descriptor(write=False), SIZE)
    assert file.seal()
    assert ctypes.string_at(address, 4) == b"mine"
    assert not mprotect(address, SIZE)
    mapping.unmap(address, SIZE)


@needs_memfd
def test_memfd_cannot_be_sealed_while_somebody_may_write() -> None:
    from onecopy._system.memfd import Memfd

    file = Memfd(SIZE)
    address = mapping.map_shared(file.fd, SIZE, write=True)
    assert not file.seal()
    mapping.unmap(address, SIZE)
    assert file.seal()
    file.close()


def test_punched_pages_are_given_back_and_read_as_zeros(file: AnonymousFile) -> None:
    file.write(0, memoryview(b"x" * SIZE))
    address = mapping.map_shared(file.descriptor(write=True), SIZE, write=True)
    full = os.fstat(file.fd).st_blocks
    assert full * 512 >= SIZE
    if mapping.punch(address, 2 * mapping.PAGE):
        assert os.fstat(file.fd).st_blocks == full // 2
        assert written(file) == bytes(2 * mapping.PAGE) + b"x" * 2 * mapping.PAGE
    else:
        assert file.backing == "file"
        assert written(file) == b"x" * SIZE
    mapping.unmap(address, SIZE)


def test_memory_goes_with_the_last_descriptor_and_mapping(backing: type[AnonymousFile]) -> None:
    """A mapping outlives the descriptors."""
    file = backing(SIZE)  # type: ignore[call-arg]
    address = mapping.map_shared(file.descriptor(write=True), SIZE, write=True)
    file.close()
    ctypes.memmove(address, b"still", 5)
    assert ctypes.string_at(address, 5) == b"still"
    mapping.unmap(address, SIZE)


def test_closing_twice_is_once(file: AnonymousFile) -> None:
    file.close()
    file.close()


def test_more_than_there_is(file: AnonymousFile) -> None:
    with pytest.raises(NotEnoughMemory) as caught:
        file.require(1 << 60)
    assert caught.value.wanted == 1 << 60
    assert caught.value.available < 1 << 60
    with pytest.raises(NotEnoughMemory):
        file.reserve(0, 1 << 60)
    assert os.fstat(file.fd).st_blocks == 0


def test_larger_than_any_file_may_be(backing: type[AnonymousFile]) -> None:
    def make() -> None:
        file = backing(1 << 62)  # type: ignore[call-arg]
        try:
            file.reserve(0, 1 << 62)  # a memfd may be made, and then have no pages
        finally:
            file.close()

    with pytest.raises(NotEnoughMemory):
        make()


def test_limit_on_the_size_of_files(backing: type[AnonymousFile]) -> None:
    """`ulimit -f` counts for a memfd too: the error names that limit, not the memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(NotEnoughMemory, match="ulimit -f") as caught:
            backing(2 << 20)  # type: ignore[call-arg]
        backing(1 << 20).close()  # type: ignore[call-arg]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.wanted == 2 << 20
    assert caught.value.available == 1 << 20


def test_unlinked_file_leaves_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = UnlinkedFile(SIZE)
    file.write(0, memoryview(b"x"))
    assert os.listdir(tmp_path) == []
    file.close()


def test_unlinked_file_needs_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        UnlinkedFile(SIZE)


# The choice.


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anonymous, "_chosen", None)


@pytest.mark.usefixtures("undecided")
@pytest.mark.parametrize(
    "forced",
    ["file", pytest.param("memfd", marks=needs_memfd), pytest.param("", marks=needs_memfd)],
)
def test_backing_can_be_forced(monkeypatch: pytest.MonkeyPatch, forced: str) -> None:
    monkeypatch.setenv("ONECOPY_BACKING", forced)
    file = anonymous.anonymous_file(SIZE)
    assert file.backing == (forced or "memfd")
    file.close()


@pytest.mark.usefixtures("undecided")
def test_backing_of_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECOPY_BACKING", "tape")
    with pytest.raises(ValueError, match="'tape'; it may be 'memfd' or 'file'"):
        anonymous.anonymous_file(SIZE)


@pytest.mark.usefixtures("undecided")
def test_without_memfd_a_file_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECOPY_BACKING", "")
    monkeypatch.delattr(os, "memfd_create", raising=False)
    file = anonymous.anonymous_file(SIZE)
    assert file.backing == "file"
    file.close()


# Exporters.


def test_exporter_tells_of_its_death_once_after_the_last_view() -> None:
    memory_ = ctypes.create_string_buffer(b"0123456789", 10)
    deaths: list[int] = []
    exported = mapping.exporter(ctypes.addressof(memory_), 10, lambda: deaths.append(1))
    view = mapping.bytes_of(exported, write=True)
    array = np.frombuffer(view, "u1")[3:5]
    del exported, view
    gc.collect()
    assert deaths == []
    assert array.tolist() == list(b"34")
    del array
    gc.collect()
    assert deaths == [1]


def test_exporter_dies_in_the_thread_that_drops_it() -> None:
    memory_ = ctypes.create_string_buffer(8)
    died: list[int] = []
    box = [
        mapping.exporter(ctypes.addressof(memory_), 8, lambda: died.append(threading.get_ident()))
    ]
    thread = threading.Thread(target=box.clear)
    thread.start()
    thread.join()
    assert died == [thread.ident]


def test_read_only_bytes_of_an_exporter_stay_so() -> None:
    memory_ = ctypes.create_string_buffer(8)
    exported = mapping.exporter(ctypes.addressof(memory_), 8, lambda: None)
    assert not mapping.bytes_of(exported, write=True).readonly
    view = mapping.bytes_of(exported, write=False)
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 1


def test_address_of_a_view() -> None:
    array = np.arange(10, dtype="u1")
    start = array.__array_interface__["data"][0]
    assert mapping.address_of(memoryview(array.data)) == start
    assert mapping.address_of(memoryview(array[3:].data)) == start + 3
    array.flags.writeable = False
    assert mapping.address_of(memoryview(array.data)) == start


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc/self/maps")
def test_file_at_an_address(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(3 * mapping.PAGE))
    with open(path, "rb") as opened:
        status = os.fstat(opened.fileno())
        address = mapping.map_shared(opened.fileno(), 3 * mapping.PAGE, write=False)
    at = mapping.PAGE + 17
    assert mapping.file_at(address + at) == (status.st_dev, status.st_ino, at)
    mapping.unmap(address, 3 * mapping.PAGE)
    assert mapping.file_at(8) is None


def test_refused_mapping_is_an_error(tmp_path: Path) -> None:
    with open(tmp_path / "x", "wb") as opened:
        with pytest.raises(OSError, match="mmap of 4096 bytes") as caught:
            mapping.map_shared(opened.fileno(), 4096, write=False)
        assert caught.value.errno == errno.EACCES
        with pytest.raises(OSError, match="private mmap"):
            mapping.private(opened.fileno(), 0, 4096)


# Descriptors on their way.


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


@pytest.mark.parametrize("count", [0, 1, descriptors.MOST])
def test_descriptors_arrive(pair: tuple[socket.socket, socket.socket], count: int) -> None:
    one, other = pair
    read, write = os.pipe()
    one.sendmsg([b"hello"], descriptors.rights([write] * count))
    room = bytearray(100)
    size, fds = descriptors.receive(other, memoryview(room))
    assert room[:size] == b"hello"
    assert len(fds) == len(set(fds)) == count
    assert write not in fds
    for fd in fds:
        assert not os.get_inheritable(fd)
        assert os.path.sameopenfile(fd, write)
        os.close(fd)
    os.close(read)
    os.close(write)


def test_descriptors_that_do_not_fit_are_missed(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = pair
    one.sendmsg([b"x"], descriptors.rights([0] * 20))
    before = set(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # So low that four numbers are free.
    free = (number for number in itertools.count() if str(number) not in before)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, 4, None)), hard))
    try:
        with pytest.raises(OSError, match=r"ulimit -n") as caught:
            descriptors.receive(other, memoryview(bytearray(9)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert set(os.listdir("/proc/self/fd")) == before


def test_small_wishes_are_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: pytest.fail("looked"))
    memory.require((1 << 20) - 1)
