"""Globals of the program's modules that a worker changes, large ones, and NumPy's random numbers.

Names, types and sizes; of plain numbers the value. Nothing else of the user's data is kept.
"""

from __future__ import annotations

import os
import sys

from . import kinds, ring
from .guard import alike, guarded

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


_own: tuple[int, list[Any]] = (0, [])
_PLACES = ("site-packages", "dist-packages")
# Names that are looked at; bytes of an array, and entries of a container, of which all are.
_LOOKED_AT, _ALL_BYTES, _ALL_ENTRIES = 2000, 2_000_000, 100
_PLAIN = (int, float, bool, str, type(None))


def _own_modules() -> list[Any]:
    """The program's own modules: no library's, and not the main one."""
    global _own
    if _own[0] != len(sys.modules):
        found = []
        library = os.path.dirname(os.__file__) + os.sep
        for title, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) if type(module) is type(sys) else None
            if type(file) is not str or not file.endswith(".py") or file.startswith(library):
                continue
            if title in ("__main__", "__mp_main__") or title.partition(".")[0] == "onecopy":
                continue
            if not any(part in file for part in _PLACES):
                found.append(module)
        _own = len(sys.modules), found[:50]
    return _own[1]


def _state() -> dict[str, tuple[str, Any, str, Any]]:
    """The variables that can be changed in place, by name: type, size or value, file, and a checksum of each.

    Globals of the program's modules, and the attributes of their classes and of the objects there.
    """
    main = sys.modules.get("__main__")
    found: dict[str, tuple[str, Any, str, Any]] = {}
    seen: set[int] = set()
    file = str(getattr(main, "__file__", "") or "")
    _add_all(found, seen, "", _main(), file, ("__main__", "__mp_main__"))
    for module in _own_modules():
        title = module.__name__
        _add_all(
            found, seen, title.rpartition(".")[2] + ".", vars(module), module.__file__, (title,)
        )
    return found


def _add_all(found: Any, seen: set[int], before: str, parts: Any, file: str, modules: Any) -> None:
    """Add these variables, and the attributes of classes of these modules, and of their objects."""
    for title, value in list(parts.items()):
        if type(title) is not str or title[:2] == "__" or len(found) > _LOOKED_AT:
            continue
        kind = type(value)
        if kind in (int, float, bool):
            found[before + title] = kind.__name__, value, file, None
        elif id(value) in seen:
            continue  # it has another name, in a module that has imported it
        elif kind in (list, dict, set) or _is_sized(kind):
            seen.add(id(value))
            found[before + title] = kind.__name__, len(value), file, _signed(value)
        elif kind.__name__ == "ndarray" and kind.__module__ == "numpy":
            found[before + title] = kind.__name__, "", file, _signed_array(value)
        elif modules:
            owner = value if issubclass(kind, type) else kind
            if owner.__module__ in modules:
                seen.add(id(value))
                _add_all(found, seen, before + title + ".", _attributes(value, owner), file, ())


def _is_sized(kind: Any) -> bool:
    return kind.__name__ in _SIZED and kind.__module__ == "collections"


def _attributes(value: Any, owner: Any) -> Any:
    """Of a class, or an object, past whatever its class makes of attributes."""
    if value is owner:
        return type.__getattribute__(value, "__dict__")
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}  # it has slots


def _signed(value: Any) -> Any:
    """A checksum of few and plain entries; None of others."""
    if len(value) > _ALL_ENTRIES:
        return None
    entries = list(value.values()) if isinstance(value, dict) else list(value)
    if all(type(each) in _PLAIN for each in entries):
        return hash(tuple(entries)) if type(value) is not set else None
    return None


def _signed_array(value: Any) -> Any:
    """That of an array whose memory is its own; what several processes map is written to on purpose."""
    from .weigh import sample

    if not value.flags.owndata or value.dtype.hasobject:
        return None
    if value.nbytes <= _ALL_BYTES and value.flags.c_contiguous:
        import zlib

        return zlib.crc32(value.data.cast("B") if value.nbytes else b"")
    return sample(value)


@guarded
def note_main(worker: int) -> None:
    """Note names, types and sizes of the globals of main and of the program's other modules: in a
    worker that ran main again, and in who starts such workers, when they have changed."""
    global _noted
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if not file or (worker and "__mp_main__" not in sys.modules):
        return
    lines = [str(file), *_listed("", _main())]
    for module in _own_modules():
        name = module.__name__.rpartition(".")[2]
        lines.append("%s\t%s" % (name, module.__file__))  # noqa: UP031
        lines += _listed(name + ".", vars(module))
    text = "\n".join(lines[: 3 * _MOST])
    if text != _noted:
        _noted = text
        ring.note(kinds.MAIN, ring.now(), worker, 0, 0, ring.name(text))


def _listed(before: str, found: dict[str, Any]) -> list[str]:
    """A line for each of a module's variables: name, type and size."""
    lines = []
    for title, value in list(found.items())[:_MOST]:
        kind = type(value)
        if title[:2] != "__" and kind.__name__ not in _CODE:
            size = ""
            if kind in (list, dict, set, tuple, str, bytes) or _is_sized(kind):
                size = str(len(value))
            elif kind in (int, float, bool):
                size = repr(value) if kind is not int or value.bit_length() < 64 else "large"
            lines.append("%s%s\t%s\t%s" % (before, title, kind.__name__, size))  # noqa: UP031
    return lines


@guarded
def look(task: int) -> None:
    """Compare with the last time; 0: from here on."""
    global _seen
    if not ring.worker:
        return
    if not task:
        note_main(1)
    found = _state()
    if _seen is not None and task:
        for title, value in found.items():
            before = _seen.get(title)
            if before is not None and before != value and title not in _told:
                _told.add(title)
                words = title, value[0], before[1], value[1], value[2]
                told = "%s\t%s\t%s\t%s\t%s" % words  # noqa: UP031
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
    _last_state, told = _random_state(random.get_state(), task, _last_state)
    if told:
        _states = 1 if not task else _states + 1


def _random_state(state: Any, task: int, before: int, where: int = 0) -> tuple[int, bool]:
    import zlib

    kind, keys, at, *_ = state
    digest = zlib.crc32(keys.tobytes()) ^ at
    if task and digest == before:
        return digest, False
    text = "%s\t%d\t%s" % (kind, at, keys.tobytes().hex())  # noqa: UP031
    ring.note(kinds.RNG, ring.now(), task, digest, 0, ring.name(text), where)
    return digest, True


@guarded
def watch_random() -> None:
    """In a process that ``os.fork`` has made: NumPy's generator now, and at its end."""
    random: Any = sys.modules.get("numpy.random")
    if random is None:
        return
    import atexit

    from .sites import site

    first, where, leave = random.get_state(), site(), os._exit

    @guarded
    def ends() -> None:
        digest, _ = _random_state(first, 0, 0, where)
        _random_state(random.get_state(), 1, digest, where)

    def _exit(status: int) -> None:
        ends()
        leave(status)

    atexit.register(ends)
    os._exit = alike(_exit, leave)


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
