"""Forks of every kind that Python makes: who was alive then, and a ring for the child."""

from __future__ import annotations

import gc
import os
import sys
from _thread import get_ident

from . import kinds, ring
from .guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_fork: Any = None
_MUCH = 50_000_000
"""Bytes that a child has from its parent, from which on it matters what is copied of them."""


@guarded
def before() -> None:
    global _fork
    _fork = None
    if ring.buffer is None:
        return
    alive: list[str] = []
    threading: Any = sys.modules.get("threading")
    if threading is not None and len(threading._active) > 1:
        here = get_ident()
        alive = [
            "%s|%s|%s" % (each.name, type(each).__name__, _target(each))  # noqa: UP031
            for identity, each in list(threading._active.items())
            if identity != here
        ]
    try:
        native = len(os.listdir("/proc/self/task"))
    except OSError:
        native = 1
    from . import logs, state
    from .sites import site

    logs.note_configuration()
    state.large_globals()
    told = ring.name("; ".join(alive)[:300]) if alive else 0
    _fork = (ring.now(), native, len(alive), told, site(), _unwritten(sys.stdout))


def _unwritten(stream: Any) -> int:
    """The characters that a text stream keeps for later; multiprocessing has them written before it forks.

    The collector of garbage alone sees the strings that the stream holds.
    What has gone on to the stream's buffer is not seen, nor is a single end of a line.
    """
    if type(stream).__name__ != "TextIOWrapper":
        return 0
    settings = (stream.encoding, stream.errors, "", "\n", "\r", "\r\n")
    found = 0
    for each in gc.get_referents(stream):
        if type(each) is list:
            found += sum(map(len, each))
        elif type(each) in (str, bytes) and each not in settings:
            found += len(each)
    return found


def _target(thread: Any) -> str:
    target = getattr(thread, "_target", None)
    return str(getattr(target, "__qualname__", ""))


@guarded
def after_in_parent() -> None:
    if ring.buffer is not None and _fork is not None:
        t0, native, alive, told, where, _ = _fork
        ring.note(kinds.FORK, t0, ring.now() - t0, native, alive, told, where)


def after_in_child() -> None:
    global _fork
    t0, unwritten = (_fork[0], _fork[5]) if _fork else (ring.now(), 0)
    _fork = None
    ring.worker = False
    ring.forked = True
    try:
        ring.open_ring(kinds.FORKED, t0)
    except Exception:
        ring.buffer = None  # no rights, no room, no descriptor: this process is not looked into
    for each in ring.on_fork:
        each()
    if ring.buffer is not None:
        _watch_child(unwritten)


@guarded
def _watch_child(unwritten: int) -> None:
    """Watch the collector, where there is much to copy, and the end, where output may come twice."""
    if ring.inherited >= _MUCH:
        from . import garbage

        garbage.watch()
    if not _by_multiprocessing():
        from . import state

        state.watch_random()
    if unwritten:
        import atexit

        from .sites import site

        # It is called at a normal end alone, which is when standard output is written: os._exit and
        # a program that is executed in this one's place write nothing.
        atexit.register(_repeats, unwritten, site())


def _by_multiprocessing() -> bool:
    frame: Any = sys._getframe(2)
    for _ in range(4):
        if frame is not None:
            if frame.f_globals.get("__name__", "").startswith("multiprocessing."):
                return True
            frame = frame.f_back
    return False


@guarded
def _repeats(unwritten: int, where: int) -> None:
    ring.note(kinds.REPEATED, ring.now(), unwritten, 0, 0, where)


def watch() -> None:
    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )
