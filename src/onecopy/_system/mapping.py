"""Memory mappings that live as long as the buffers on them.

Covers ``mmap`` and related calls through the C library, and the exporter object that keeps a
mapping alive as long as there is a view of it. ``_memory`` decides what is mapped and why.

The standard library's ``mmap`` is not used: up to Python 3.12 it keeps a duplicate of the
descriptor for every mapping, it cannot map over an address (which ``freeze`` needs), and its
``close`` refuses while views exist, whereas this mapping should end with the last view
(numpy#18294, cpython#102349).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from .interrupts import Uninterrupted

PAGE = os.sysconf("SC_PAGESIZE") if hasattr(os, "sysconf") else 4096

_PROT_READ, _PROT_WRITE = 1, 2
_MAP_SHARED, _MAP_PRIVATE, _MAP_FIXED = 1, 2, 16
_MADV_REMOVE = 9
_FAILED = ctypes.c_void_p(-1).value

_libc: Any = None


def _c() -> Any:
    """Return the C library with the signatures that we use, bound at first use."""
    global _libc
    if _libc is None:
        libc = ctypes.CDLL(None, use_errno=True)
        size, number, pointer = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
        libc.mmap.restype = pointer
        libc.mmap.argtypes = [pointer, size, number, number, number, ctypes.c_long]
        libc.munmap.argtypes = [pointer, size]
        libc.madvise.argtypes = [pointer, size, number]
        _libc = libc
    return _libc


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def map_shared(fd: int, size: int, *, write: bool) -> int:
    """Map ``size`` bytes of ``fd``; every process that maps it sees the same pages.

    Linux before 6.7 refuses a shared mapping of a write-sealed memfd even for reading; a private
    read-only mapping shows the very same pages, so that is used then.

    Returns:
        The address. Raises OSError if the kernel refuses.
    """
    prot = _PROT_READ | _PROT_WRITE if write else _PROT_READ
    address = _c().mmap(None, size, prot, _MAP_SHARED, fd, 0)
    if address == _FAILED and not write:
        address = _c().mmap(None, size, prot, _MAP_PRIVATE, fd, 0)
    if address == _FAILED:
        raise _error(f"mmap of {size} bytes")
    return int(address)


def remap_readonly(address: int, fd: int, size: int) -> None:
    """Replace the mapping at ``address`` by a read-only one of ``fd``, atomically.

    Buffers on it stay valid; from now on a write through them is refused by the MMU.
    """
    got = _c().mmap(address, size, _PROT_READ, _MAP_SHARED | _MAP_FIXED, fd, 0)
    if got == _FAILED:
        raise _error(f"read-only mmap of {size} bytes")


def unmap(address: int, size: int) -> None:
    """End a mapping; there must be no buffer on it any more."""
    if _c().munmap(address, size):
        raise _error("munmap")


def punch(address: int, size: int) -> bool:
    """Return the pages under a shared writable mapping to the system.

    Every process sees zeros there afterwards. Returns False if the backing cannot do it.
    """
    return bool(_c().madvise(address, size, _MADV_REMOVE) == 0)


def copy_in(destination: int, source: int, size: int) -> None:
    """Copy ``size`` bytes between addresses, without the GIL."""
    ctypes.memmove(destination, source, size)


class _Keeper:
    """Calls ``on_death`` when the exporter that carries it dies."""

    __slots__ = ("on_death",)

    def __init__(self, on_death: Callable[[], None]) -> None:
        self.on_death = on_death

    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        # While the interpreter ends, modules lose their globals, those of ``on_death`` too; and the
        # system takes back everything.
        if not ending():
            with Uninterrupted(later=True):
                self.on_death()


def exporter(address: int, size: int, on_death: Callable[[], None]) -> ctypes.Array[Any]:
    """Return an object that exports ``size`` bytes at ``address`` through the buffer protocol.

    Every view of it (memoryview, ndarray, Arrow buffer) keeps it alive, in whatever order pool,
    handle and interpreter end. ``on_death`` runs once, after the last view has gone, in the thread
    that dropped it: it must neither block nor raise.
    """
    array = (ctypes.c_ubyte * size).from_address(address)
    array._keeper = _Keeper(on_death)  # type: ignore[attr-defined]
    return array


def private(fd: int, offset: int, size: int) -> memoryview:
    """Return a view of a copy-on-write mapping: writes go to pages of this process alone. It ends
    with its last view; the descriptor may be closed before."""
    with Uninterrupted():  # else a mapping may be left that has no exporter
        address = _c().mmap(None, size, _PROT_READ | _PROT_WRITE, _MAP_PRIVATE, fd, offset)
        if address == _FAILED:
            raise _error(f"private mmap of {size} bytes")
        made = exporter(address, size, partial(unmap, address, size))
    return bytes_of(made, write=True)


def borrowed(address: int, size: int, *, write: bool) -> memoryview:
    """Return a view of memory that the caller keeps alive for as long as the view is used."""
    return bytes_of(exporter(address, size, _nothing), write=write)


def _nothing() -> None:
    """Nothing to do: the exporter of borrowed memory owns nothing."""


def start_of(array: ctypes.Array[Any]) -> int:
    """Return the address at which an exporter begins."""
    return ctypes.addressof(array)


def bytes_of(array: ctypes.Array[Any], *, write: bool) -> memoryview:
    """Return the whole of an exporter as a flat view of bytes."""
    view = memoryview(array).cast("B")
    return view if write else view.toreadonly()


def address_of(view: memoryview) -> int:
    """Return the address of a C-contiguous buffer, writable or not."""
    buffer = _PyBuffer()
    pointer = ctypes.byref(buffer)
    try:
        if ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), pointer, 0):
            raise BufferError("no simple buffer")  # pragma: no cover (the call itself raises)
        return int(buffer.buf or 0)
    finally:  # does nothing if there is no buffer, as when Ctrl-C has come before the call
        ctypes.pythonapi.PyBuffer_Release(pointer)


class _PyBuffer(ctypes.Structure):
    """``Py_buffer``, laid out as in PEP 3118."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


def file_at(address: int) -> tuple[int, int, int] | None:
    """Return device, inode and file offset of the mapping at ``address`` (proc(5), maps)."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            for line in maps:
                span, _, offset, device, inode, *_ = line.split(maxsplit=5)
                start, end = (int(part, 16) for part in span.split(b"-"))
                if start <= address < end:
                    major, minor = (int(part, 16) for part in device.split(b":"))
                    at = int(offset, 16) + address - start
                    return os.makedev(major, minor), int(inode), at
    except OSError:
        return None  # no such file: not Linux
    return None
