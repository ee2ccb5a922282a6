"""The places in the user's program that something is called from, and the variables there."""

from __future__ import annotations

import os
import sys

from . import kinds, ring
from .guard import guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STDLIB = os.path.dirname(os.__file__) + os.sep
_PASSED = ("/joblib/", "/loky/", "/sklearn/")
# By identities of code objects, for hashing one hashes all that it consists of; ``_known`` keeps
# them alive, so that an identity does not come again. A program that makes code without end
# does not grow by it.
_known: dict[int, tuple[Any, bool]] = {}
_sites: dict[tuple[int, int], tuple[int, int]] = {}
_MOST = 10_000
_told: set[int] = set()
# Variables smaller than this are not what makes a message large.
_LARGE = 100_000
_SMALL = (int, float, bool, type(None), type, type(os), type(os.fspath), type(lambda: 0))


def frame_of_caller() -> Any:
    """The innermost frame that is the program's own: no library's, and none of ours."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        known = _known.get(id(frame.f_code)) or _judge(frame)
        if known[1]:
            return frame
        frame = frame.f_back
    return None


def _judge(frame: Any) -> tuple[Any, bool]:
    """A frame's code, and whether it is the program's own."""
    if len(_known) >= _MOST:
        _known.clear()
        _sites.clear()
    code = frame.f_code
    file = code.co_filename
    own = False
    if file[:1] != "<" or frame.f_globals.get("__name__") == "__main__":
        inside = file.startswith(_STDLIB) and "site-packages" not in file
        own = not inside and not any(part in file for part in _PASSED)
    known = _known[id(code)] = (code, own)
    return known


def site() -> int:
    """The number of the place from which the program has called; 0 when there is none."""
    frame = frame_of_caller()
    if frame is None:
        return 0
    key = (id(frame.f_code), frame.f_lasti)
    told = _sites.get(key)
    if told is None or told[0] != ring.pid:
        code = frame.f_code
        text = "%s:%d %s" % (code.co_filename, frame.f_lineno or 0, code.co_name)  # noqa: UP031
        told = _sites[key] = (ring.pid, ring.name(text))
    return told[1]


_NAMED = 5_000


@guarded
def variables(where: int) -> None:
    """Notes, once for each place, which large variables can be seen from it, attributes too.

    Names, types, sizes and identities: so what is large in a message can be given its name later.
    """
    if where in _told:
        return
    _told.add(where)
    frame = frame_of_caller()
    if frame is None:
        return
    from .weigh import named  # not before something is asked about

    if len(named) > _NAMED:
        named.clear()
    seen: set[int] = set()
    for is_global, found in ((0, frame.f_locals), (1, frame.f_globals)):
        for title, value in list(found.items())[:500]:
            if title[:2] != "__" and id(value) not in seen:
                seen.add(id(value))
                _variable(title, value, where, is_global)


def _variable(title: str, value: Any, where: int, is_global: int) -> None:
    from .weigh import attributes, named, size_of

    kind = type(value)
    if kind in _SMALL:
        return
    found = [(title, value)]
    module = (kind.__module__ or "").partition(".")[0]
    if module not in getattr(sys, "stdlib_module_names", ()) and not issubclass(kind, type):
        parts = list(attributes(value).items())[:50]
        found += [(".".join((title, name)), part) for name, part in parts]
    for name, part in found:
        if type(part) not in _SMALL:
            named.setdefault(id(part), name)
            size = size_of(part)
            if size >= _LARGE:
                told = ring.name(name), ring.name(type(part).__name__), where, is_global
                ring.note(kinds.NAMED, ring.now(), size, id(part), 0, *told)


def _forget() -> None:
    _told.clear()


ring.on_fork.append(_forget)
