"""Forks of every kind that Python makes: who was alive then, and a ring for the child."""

from __future__ import annotations

import os
import sys
from _thread import get_ident

from . import kinds, ring
from .guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_fork: Any = None


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
    _fork = (ring.now(), native, len(alive), told, site())


def _target(thread: Any) -> str:
    target = getattr(thread, "_target", None)
    return str(getattr(target, "__qualname__", ""))


@guarded
def after_in_parent() -> None:
    if ring.buffer is not None and _fork is not None:
        t0, native, alive, told, where = _fork
        ring.note(kinds.FORK, t0, ring.now() - t0, native, alive, told, where)


def after_in_child() -> None:
    global _fork
    t0 = _fork[0] if _fork else ring.now()
    _fork = None
    ring.worker = False
    ring.forked = True
    try:
        ring.open_ring(kinds.FORKED, t0)
    except Exception:
        ring.buffer = None  # no rights, no room, no descriptor: this process is not looked into
    for each in ring.on_fork:
        each()


def watch() -> None:
    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )
