"""The things that a test left behind: processes, threads, descriptors, files, segments.

Take a snapshot before, ask `settle` afterwards: it gives what is there now and
was not there then, once that has had a few seconds to go by itself. The
fixture that does so for every test is in `conftest.py`; this module knows
nothing of pytest, so that it can be tested like any other.

Of what other programs can make as well (files, entries in /dev/shm, processes that
have lost their parent) it looks at this run's alone: see `this_run.py`.

Not covered: memory that no segment and no descriptor stands for, a child that moved
to a session of its own and was then orphaned, and entries in /dev/shm other than those
of multiprocessing and loky.
"""

from __future__ import annotations

import gc
import os
import select
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.process import current_process
from pathlib import Path

import psutil

from tests.this_run import this_run

_DESCRIPTORS = Path("/proc/self/fd")
_SHM = Path("/dev/shm")

# Belong to the test tools, come and go as they like, and are named by them.
_TOOL_THREADS = ("pytest_timeout",)
_TOOL_FILES = ("/.coverage", "/.hypothesis/")

# How long to wait before asking again for a state that no descriptor and no
# lock tells of: a zombie that is being reaped, a file that is being removed.
_ASK_AGAIN = 0.01


class Kind(StrEnum):
    """The kinds of thing that a test can leave behind."""

    PROCESS = "process"
    THREAD = "thread"
    DESCRIPTOR = "descriptor"
    FILE = "temporary file"
    SHM = "entry in /dev/shm"
    SEGMENT = "shared segment"


@dataclass(frozen=True)
class Leak:
    """One thing left behind.

    Attributes:
        kind: What it is.
        what: A line that tells a reader which one it is.
        process: The process, when it is a living one: it can be waited for.
        thread: The thread, when it is one: it can be waited for.
    """

    kind: Kind
    what: str
    process: psutil.Process | None = None
    thread: threading.Thread | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass(frozen=True)
class Snapshot:
    """The things that exist at one instant, by kind."""

    processes: frozenset[psutil.Process] = field(default_factory=lambda: frozenset(_processes()))
    threads: frozenset[threading.Thread] = field(default_factory=lambda: frozenset(_threads()))
    descriptors: frozenset[tuple[int, str]] = field(
        default_factory=lambda: frozenset(_descriptors())
    )
    files: frozenset[str] = field(default_factory=lambda: frozenset(_files()))
    shm: frozenset[str] = field(default_factory=lambda: frozenset(_shm()))
    segments: frozenset[str] = field(default_factory=lambda: frozenset(_segments()))


def settle(
    before: Snapshot, *, patience: float = 5.0, allowed: Collection[Kind] = ()
) -> list[Leak]:
    """Wait until nothing is left behind, and give what still is.

    Blocks while something is left, for `patience` at most; returns at once
    when nothing is.

    Args:
        before: What was there before, and may stay.
        patience: Seconds to wait for what ends by itself.
        allowed: Kinds that are not looked at.

    Returns:
        What is left after that time, processes first.
    """
    give_up = time.monotonic() + patience
    found = find(before, allowed)
    while found:
        # Cycles hold descriptors and segments until they are collected. Asked
        # for only here because a collection takes tens of milliseconds once
        # the larger libraries are imported, and most tests leave nothing.
        gc.collect()
        found = find(before, allowed)
        left = give_up - time.monotonic()
        if left <= 0:
            break
        if found:
            _wait_for_a_change(found, left)
    return found


def find(before: Snapshot, allowed: Collection[Kind] = ()) -> list[Leak]:
    """Give what is there now and was not `before`, without waiting."""
    now = Snapshot()
    leaks = [
        *(leak for process in now.processes - before.processes for leak in _describe(process)),
        *(
            Leak(Kind.THREAD, f"{thread.name} (daemon={thread.daemon})", thread=thread)
            for thread in now.threads - before.threads
        ),
        *(
            Leak(Kind.DESCRIPTOR, f"{number} -> {target}")
            for number, target in sorted(now.descriptors - before.descriptors)
        ),
        *(Leak(Kind.FILE, name) for name in sorted(now.files - before.files)),
        *(Leak(Kind.SHM, name) for name in sorted(now.shm - before.shm)),
        *(Leak(Kind.SEGMENT, name) for name in sorted(now.segments - before.segments)),
    ]
    return [leak for leak in leaks if leak.kind not in allowed]


def kill(leaks: Collection[Leak]) -> None:
    """Kill the processes among `leaks`, so that one test's cannot disturb the next."""
    for leak in leaks:
        if leak.process is not None:
            with suppress(psutil.NoSuchProcess):
                leak.process.kill()


def explain(leaks: Collection[Leak]) -> str:
    """Give the message of a test that failed because of `leaks`."""
    return "\n".join(["the test left behind:", *(f"  - {leak}" for leak in leaks)])


def _wait_for_a_change(leaks: Collection[Leak], left: float) -> None:
    """Block until one of `leaks` may have gone, for `left` seconds at most."""
    processes = [leak.process for leak in leaks if leak.process is not None]
    # One that is about to start cannot be waited for.
    threads = [leak.thread for leak in leaks if leak.thread is not None and leak.thread.is_alive()]
    if processes and hasattr(os, "pidfd_open"):
        # Not psutil.wait_procs: it reaps, and so would hide a child that its
        # owner never waited for.
        _wait_for_an_end(processes, left)
    elif threads:
        threads[0].join(left)
    else:
        select.select([], [], [], min(left, _ASK_AGAIN))


def _wait_for_an_end(processes: Collection[psutil.Process], left: float) -> None:
    """Block until one of `processes` has ended, without reaping it."""
    with ExitStack() as stack:
        poll = select.poll()
        for process in processes:
            try:
                descriptor = os.pidfd_open(process.pid)
            except ProcessLookupError:
                return
            stack.callback(os.close, descriptor)
            poll.register(descriptor, select.POLLIN)
        poll.poll(left * 1000)


def _processes() -> Iterator[psutil.Process]:
    """Descendants of this process, and orphans that were so once."""
    yield from psutil.Process().children(recursive=True)
    yield from _orphans()


def _orphans() -> Iterator[psutil.Process]:
    """Living processes of this session that init adopted and that this run has started.

    A worker whose zygote has gone is no descendant of the test any more.
    """
    session = os.getsid(0)
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if pid == os.getpid() or os.getsid(pid) != session:
                continue
            process = psutil.Process(pid)
            parent = process.ppid()
            adopted = parent == 1 or os.getsid(parent) != session
            # A dead orphan is for init to reap.
            dead = process.status() == psutil.STATUS_ZOMBIE
            if adopted and not dead and this_run().started(process):
                yield process


def _describe(process: psutil.Process) -> Iterator[Leak]:
    """Give the leak that `process` is, or nothing when it went while we looked."""
    with suppress(psutil.NoSuchProcess):
        try:
            command = " ".join(process.cmdline())
            status = process.status()
        except psutil.ZombieProcess:
            command, status = "", psutil.STATUS_ZOMBIE
        if status == psutil.STATUS_ZOMBIE:
            yield Leak(Kind.PROCESS, f"{process.pid}, a zombie: it ended and was not waited for")
        else:
            line = f"{process.pid} {status}, child of {process.ppid()}: {command[:120]}"
            yield Leak(Kind.PROCESS, line, process=process)


def _threads() -> Iterator[threading.Thread]:
    for thread in threading.enumerate():
        # A dummy stands for a thread that C code made: Python cannot tell
        # whether it still runs, so it stays listed for ever.
        dummy = isinstance(thread, threading._DummyThread)
        if not dummy and not thread.name.startswith(_TOOL_THREADS):
            yield thread


def _descriptors() -> Iterator[tuple[int, str]]:
    if not _DESCRIPTORS.is_dir():
        return
    for name in os.listdir(_DESCRIPTORS):
        # The descriptor of the listing itself has gone by now.
        with suppress(FileNotFoundError):
            target = os.readlink(_DESCRIPTORS / name)
            if not any(part in target for part in _TOOL_FILES):
                yield int(name), target


def _files() -> Iterator[str]:
    """All in the run's own folder but the one that multiprocessing keeps for this process."""
    folder = this_run().folder
    kept = current_process()._config.get("tempdir")  # type: ignore[attr-defined]  # not in typeshed
    for name in os.listdir(folder):
        if (path := os.path.join(folder, name)) != kept:
            yield path


def _shm() -> Iterator[str]:
    if _SHM.is_dir():
        yield from filter(this_run().made, os.listdir(_SHM))


def _segments() -> Iterator[str]:
    """The library's own list; nothing where it is not imported, or not that far.

    An entry is known by its identifier where it has one: the rest of it may
    tell how much is in use, which is no new segment when it changes.
    """
    segments = getattr(sys.modules.get("onecopy"), "segments", None)
    for entry in segments() if segments is not None else ():
        identifiers = (getattr(entry, name, None) for name in ("id", "ident", "name"))
        yield str(next((it for it in identifiers if it is not None), entry))
