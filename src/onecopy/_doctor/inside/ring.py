"""Records into one mapped file per process, which another process empties.

What is recorded lies in the page cache at once: SIGKILL and ``os._exit`` lose at most the record
that is being written. There is no lock: a record's number comes from ``itertools.count``, which
is atomic under the GIL, and one call packs it into its place. Three things are on purpose:

- Space is asked for before it is touched (``posix_fallocate``), since writing to a page that a
  full tmpfs has no room for would be SIGBUS, in the program.
- Maps are never closed. A map holds a duplicate of its descriptor; after the program's own
  ``closerange`` that number may be a file of the program's, which closing the map would close.
- A forked child makes a file of its own at once, and never writes to its parent's.
"""

from __future__ import annotations

import itertools
import mmap
import os
import sys
import time
from _thread import _local, get_ident
from struct import Struct
from struct import error as StructError

from . import kinds
from .guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

now = time.perf_counter_ns  # CLOCK_MONOTONIC on Linux: one clock for all processes
cpu_now = time.process_time_ns

_RECORD = Struct("<12Q")
_PAIR = Struct("<QQ")
pack = _RECORD.pack_into
_FIRST = 85  # records that are set aside at first: a process that does little takes 16 KB
_CHUNK = 2730  # and then at a time: a quarter of a megabyte
_MASK = (1 << 64) - 1

session = ""
buffer: Any = None
pid = 0
forked = False
inherited = 0
"""Resident anonymous bytes at this process's birth."""
worker = False
"""True when multiprocessing, or loky, has started this process."""
_file = ""
_names_file = ""
_limit = 0
_left_out = 0
_kept: list[Any] = []
_counter: Any = None
_names: dict[str, int] = {}
_slots: dict[str, list[int]] = {}
_threads: Any = itertools.count(1)


_NOTHING = (None, 0, None, 0, 0, 0)


class _Mine(_local):
    """The state of each thread between two hooks, in one list; see ``messages``.

    0: what was pickled and not yet written; 1: when a message's head was there; 2: its
    connection; 3: when waiting for it began; 4: tasks done; 5: the thread's number.
    """

    def __init__(self) -> None:
        self.state: list[Any] = list(_NOTHING)
        self.executor: Any = None


me = _Mine()


def open_ring(way: int, born: int = 0) -> None:
    """Begin the record of this process; OSError when that is not possible."""
    global buffer, pid, _file, _names_file, _limit, _counter, _names, _slots, _threads, _left_out
    global inherited
    buffer = None
    pid = os.getpid()
    # Pids come again: the name has the time too.
    base = "%s/%d-%d" % (session, pid, now())  # noqa: UP031 - a tenth of an f-string's imports
    file = os.open(base + ".ring", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(file, kinds.HEAD + kinds.ROOM * kinds.SIZE)
        os.posix_fallocate(file, 0, kinds.HEAD + _FIRST * kinds.SIZE)
        mapped = _map(file, kinds.HEAD + kinds.ROOM * kinds.SIZE)
    finally:
        os.close(file)
    _kept.append(mapped)
    _file, _names_file, _limit = base + ".ring", base + ".names", _FIRST
    _counter = itertools.count()
    _names, _slots = {}, {}
    _threads = itertools.count(1)
    _left_out = 0
    me.state[:] = _NOTHING
    buffer = mapped
    argv = " ".join(getattr(sys, "orig_argv", ()))[:300]
    version = sys.version_info[0] * 100 + sys.version_info[1]
    where = sys.executable or ""
    _add_names(argv, where)
    inherited = anonymous()
    told = name(argv), version, name(where)
    note(kinds.BORN, born or now(), way, os.getppid(), inherited, *told)


def _map(file: int, size: int) -> Any:
    if sys.version_info >= (3, 13):
        return mmap.mmap(file, size, trackfd=False)  # no descriptor is kept
    return mmap.mmap(file, size)


def anonymous() -> int:
    """Resident bytes that are no file's."""
    try:
        # os.read: a file object would take another 60 us of each fork.
        file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            words = os.read(file, 200).split()
        finally:
            os.close(file)
        return (int(words[1]) - int(words[2])) * mmap.PAGESIZE
    except OSError:
        return 0


def _grow(at: int) -> bool:
    """Make the file system reserve the piece with record ``at``; return False if it has no room.

    What is left out is counted in the file's first word. Where there was no room it is not asked
    for again with every record.
    """
    global _limit, _left_out
    if _left_out & 1023:
        _left_out += 1
        _PAIR.pack_into(buffer, 0, _left_out, 0)
        return False
    while at >= _limit:
        size = min(_CHUNK, kinds.ROOM - _limit)
        if size <= 0:
            return True
        try:
            file = os.open(_file, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.posix_fallocate(file, kinds.HEAD + _limit * kinds.SIZE, size * kinds.SIZE)
            finally:
                os.close(file)
        except OSError:
            _left_out += 1
            _PAIR.pack_into(buffer, 0, _left_out, 0)
            return False
        _limit += size
    return True


def note(  # noqa: PLR0913  # the fields of a record
    kind: int,
    t0: int,
    a: int = 0,
    b: int = 0,
    c: int = 0,
    d: int = 0,
    e: int = 0,
    f: int = 0,
    g: int = 0,
    h: int = 0,
    i: int = 0,
) -> None:
    """Write a record, if there is room; see ``kinds``. It raises nothing."""
    if buffer is None:
        return
    number = next(_counter)
    at = number % kinds.ROOM
    if at >= _limit and not _grow(at):
        return
    tid = me.state[5] or _thread()
    head = kind | tid << 32
    try:
        pack(buffer, kinds.HEAD + at * 96, t0, head, a, b, c, d, e, f, g, h, i, number + 1)
    except StructError:
        # Identities and codes of other processes may be anything: what fits is kept.
        words = [word & _MASK for word in (t0, head, a, b, c, d, e, f, g, h, i)]
        pack(buffer, kinds.HEAD + at * 96, *words, number + 1)


def _thread() -> int:
    tid: int = next(_threads)
    me.state[5] = tid
    threading = sys.modules.get("threading")
    current = threading._active.get(get_ident()) if threading is not None else None
    told = current.name if current is not None else "?"
    native = getattr(current, "native_id", 0) or 0
    note(kinds.THREAD, now(), get_ident(), tid, native, name(told))
    return tid


def name(text: str) -> int:
    """The number of a text in this process's table."""
    number = _names.get(text)
    if number is None:
        _add_names(text)
        number = _names[text]
    return number


def _add_names(*texts: str) -> None:
    lines = []
    for text in texts:
        if text not in _names:
            number = _names[text] = len(_names) + 1
            told = text.replace("\\", "\\\\").replace("\n", "\\n")
            lines.append("%d\t%s\n" % (number, told))  # noqa: UP031
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(_names_file, flags, 0o600)
        try:
            os.write(file, "".join(lines).encode("utf-8", "replace"))
        finally:
            os.close(file)
    except OSError:
        pass  # the process has given up its rights, or has no descriptor left: a name less


@guarded
def count(text: str, more: int = 1) -> None:
    """Add to a counter with a name; in place, so that it is never lost."""
    slot = _slots.get(text)
    if slot is None:
        if len(_slots) >= kinds.SLOTS:
            return
        slot = _slots[text] = [len(_slots), 0, name(text)]
    slot[1] += more
    if buffer is not None:
        _PAIR.pack_into(buffer, kinds.COUNTERS + slot[0] * 16, slot[2], slot[1])


on_fork: list[Callable[[], None]] = []
"""What modules forget in a forked child."""
