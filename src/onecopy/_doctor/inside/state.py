"""Globals of the main module that a worker changes, large ones, and NumPy's random numbers.

Names, types and sizes; of plain numbers the value. Nothing else of the user's data is kept.
"""

from __future__ import annotations

import sys

from . import kinds, ring
from .guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIZED = ("deque", "defaultdict", "Counter", "OrderedDict")
_MANY = 20_000
_LARGE = 1_000_000

_seen: dict[str, Any] | None = None
_told: set[str] = set()
_states = 0
_last_state = 0
_large_told = False
_noted = ""
# Globals that every process has which runs the main module.
_CODE = (
    "module",
    "function",
    "type",
    "builtin_function_or_method",
    "ABCMeta",
    "EnumType",
    "Logger",
)
_MOST = 300


def _main() -> dict[str, Any]:
    """The globals that the main module's functions see.

    In a worker that ran the module again they are not the module's: ``runpy`` makes a copy of them.
    """
    main = sys.modules.get("__main__")
    if main is None:
        return {}
    found = vars(main)
    if "__mp_main__" in sys.modules:
        for value in list(found.values()):
            theirs = getattr(value, "__globals__", None) if type(value) is type(_main) else None
            if theirs is not None and theirs.get("__name__") == "__mp_main__":
                return dict(theirs)
    return dict(found)


def _containers() -> dict[str, Any]:
    found = {}
    for title, value in _main().items():
        if title[:2] == "__":
            continue
        kind = type(value)
        if kind in (list, dict, set) or kind.__name__ in _SIZED:
            found[title] = (kind.__name__, len(value))
        elif kind in (int, float, bool):
            found[title] = (kind.__name__, value)
    return found


@guarded
def note_main(worker: int) -> None:
    """Note names, types and sizes of main's globals: in a worker that ran it again, and in who
    starts such workers, when they have changed."""
    global _noted
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if not file or (worker and "__mp_main__" not in sys.modules):
        return
    lines = [str(file)]
    for title, value in list(_main().items())[:_MOST]:
        kind = type(value)
        if title[:2] != "__" and kind.__name__ not in _CODE:
            size = ""
            if kind in (list, dict, set, tuple, str, bytes) or kind.__name__ in _SIZED:
                size = str(len(value))
            elif kind in (int, float, bool):
                size = repr(value) if kind is not int or value.bit_length() < 64 else "large"
            lines.append("%s\t%s\t%s" % (title, kind.__name__, size))  # noqa: UP031
    text = "\n".join(lines)
    if text != _noted:
        _noted = text
        ring.note(kinds.MAIN, ring.now(), worker, 0, 0, ring.name(text))


@guarded
def look(task: int) -> None:
    """Compare with the last time; 0: from here on."""
    global _seen
    if not ring.worker:
        return
    if not task:
        note_main(1)
    found = _containers()
    if _seen is not None and task:
        for title, (kind, size) in found.items():
            before = _seen.get(title)
            if before is not None and before != (kind, size) and title not in _told:
                _told.add(title)
                told = "%s\t%s\t%s\t%s" % (title, kind, before[1], size)  # noqa: UP031
                ring.note(kinds.GLOBALS, ring.now(), task, 0, 0, ring.name(told))
    _seen = found
    _random(task)


def _random(task: int) -> None:
    """The first two states of NumPy's global generator, when it is used: at the beginning, and after
    the first task that has drawn from it, or seeded it."""
    global _states, _last_state
    random: Any = sys.modules.get("numpy.random")
    if random is None or (_states >= 2 and task):
        return
    import zlib

    kind, keys, at, *_ = random.get_state()
    digest = zlib.crc32(keys.tobytes()) ^ at
    if task and digest == _last_state:
        return
    _states, _last_state = (1 if not task else _states + 1), digest
    text = "%s\t%d\t%s" % (kind, at, keys.tobytes().hex())  # noqa: UP031
    ring.note(kinds.RNG, ring.now(), task, digest, 0, ring.name(text))


@guarded
def large_globals() -> None:
    """Note which of main's globals are large, before the first fork."""
    global _large_told
    if _large_told or ring.buffer is None:
        return
    _large_told = True
    for title, value in _main().items():
        size = getattr(value, "nbytes", None) if type(value).__name__ == "ndarray" else None
        if type(size) is int and size > _LARGE:
            ring.count("big\t%s\t%s\t%d\tbytes" % (title, type(value).__name__, size))  # noqa: UP031
        elif type(value) in (list, dict, set, tuple) and len(value) > _MANY:
            inner = type(next(iter(value))).__name__
            words = (title, type(value).__name__, inner, len(value))
            ring.count("big\t%s\t%s of %s\t%d\titems" % words)  # noqa: UP031


def _forget() -> None:
    global _seen, _large_told, _states, _noted
    _seen, _large_told, _states, _noted = None, False, 0, ""
    _told.clear()


ring.on_fork.append(_forget)
