"""The owner's log levels, warning filters and handlers' destinations, as sent to workers.

A worker itself decides whether a record or a warning is wanted, so that an unwanted one costs what
it costs in a single process. For that it gets the level of each logger that has its own and the
warning filters, before any of the program's code is called in it and again after each change. It
also gets the destinations of records; see ``handlers``. What a worker has set itself stays until
the owner's own value changes. Calling the owner's handlers, its loggers' filters and propagation
are left to the owner.

A filter's category may be a class of a module that the worker has not imported. scipy, for one,
sets such a filter when it is imported. The worker does not import the module for it: a stand-in
matches the class by its name until then.

The owner's side is asked before each batch of tasks and must be cheap. It notices a change of a
level by a mark in the root logger's cache of answers, which ``logging`` empties whenever a level,
or ``logging.disable``, changes (``Manager._clear_cache`` since Python 3.7). If there is no such
cache, the levels are collected each time. It notices a handler when it is created, or added to or
removed from the root logger.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import threading
from typing import Any

from .._system.imports import on_import
from .handlers import Places, places

Levels = tuple[int, int, dict[str, tuple[int, bool]]]
"""The root's level, the disabled level, and the level and disabled flag of other loggers."""

Filter = tuple[bytes, str, str]
"""Action, message, module and line, pickled; the category's module and its qualified name."""

_MARK = "onecopy"


class Settings:
    """The owner's settings as bytes, with a number that changes when they do.

    Any thread. A forked child goes on with the last settings.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._body = b""
        self._relayed = False
        self._filters: list[Any] = []
        self._handlers: tuple[int, list[Any]] | None = None

    def relay(self, body: bytes) -> None:
        """Pass on another process's settings from here on, instead of this one's."""
        with self._lock:
            self._relayed = True
            self._version += 1
            self._body = body

    def now(self) -> tuple[int, bytes]:
        """Return the number and the bytes for ``apply``."""
        if self._relayed:
            return self._version, self._body
        if not self._unchanged() and self._lock.acquire(blocking=False):
            # If another thread is refreshing them, use the previous settings.
            try:
                self._collect()
            finally:
                self._lock.release()
        return self._version, self._body

    def _unchanged(self) -> bool:
        logging: Any = sys.modules.get("logging")
        root = getattr(logging, "root", None)
        if not self._version or (logging is not None and _MARK not in getattr(root, "_cache", ())):
            return False
        # Handlers are appended; filters are put in front or removed, or the list is replaced. Lists
        # compare their elements by identity first, which takes no time.
        if root is not None and self._handlers != (len(logging._handlerList), root.handlers):
            return False
        return self._filters == _in_force()

    def _collect(self) -> None:
        logging = sys.modules.get("logging")
        # Marked first: a change during the collection causes another collection.
        cache = getattr(getattr(logging, "root", None), "_cache", None)
        if cache is not None:
            cache[_MARK] = True
        self._filters = list(_in_force())
        number, handlers = _handlers_in_force(logging)
        self._handlers = number, list(handlers)
        there = places(logging) if hasattr(logging, "root") else {}
        body = pickle.dumps((_levels(logging), _filters(), there))
        if body != self._body:
            self._version += 1
            self._body = body

    def after_fork(self) -> None:
        """Replace the lock in a forked child: the thread that held it does not exist there."""
        self._lock = threading.Lock()


settings = Settings()


def _levels(logging: Any) -> Levels | None:
    if logging is None:
        return None
    own: dict[str, tuple[int, bool]] = {}
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and (logger.level or logger.disabled):
            own[name] = (logger.level, bool(logger.disabled))
    return logging.root.level, logging.root.manager.disable, own


def _handlers_in_force(logging: Any) -> tuple[int, list[Any]]:
    """Return the number of handlers, and the list of the root's itself. The number is in a private
    list, which every handler has entered since ``logging`` exists."""
    if not hasattr(logging, "root"):
        return 0, []
    return len(getattr(logging, "_handlerList", ())), logging.root.handlers


def _in_force() -> list[Any]:
    """Return the list of filters itself."""
    warnings = sys.modules.get("warnings")
    if warnings is None:
        return []
    get = getattr(warnings, "_get_filters", None)  # Python 3.14: the filters may be a context's
    found: list[Any] = get() if get is not None else warnings.filters
    return found


def _filters() -> list[Filter]:
    """Return the filters, each pickled by itself: one that cannot be pickled spoils no other."""
    pickled = []
    for action, message, category, module, line in _in_force():
        with contextlib.suppress(Exception):
            rest = pickle.dumps((action, message, module, line))
            pickled.append((rest, category.__module__, category.__qualname__))
    return pickled


class _NamedCategory(type):
    """The class of stand-ins for warning categories whose modules are not imported here."""

    def __subclasscheck__(cls, sub: type) -> bool:
        named = (cls.__module__, cls.__qualname__)
        return any((each.__module__, each.__qualname__) == named for each in sub.__mro__)


def _category(module: str, name: str) -> type:
    """Return the category, or its stand-in if its module is not imported or does not have it."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type):
        return found
    last = name.rpartition(".")[2]
    return _NamedCategory(last, (Warning,), {"__module__": module, "__qualname__": name})


class Applied:
    """The worker's side: the settings that it got last."""

    def __init__(self) -> None:
        self._levels: Levels | None = None
        self._in_effect: Levels | None = None  # the last that ``logging`` was given
        self._filters: list[Filter] | None = None

    def apply(self, body: bytes) -> Places:
        """Apply what ``Settings.now`` has returned; return where the owner's handlers write."""
        self._levels, filters, there = pickle.loads(body)
        self.apply_levels()
        if filters != self._filters:
            self._filters = filters
            if filters != _filters():  # a fork has the owner's: nothing is unpickled
                _apply_filters(filters)
        return there  # type: ignore[no-any-return]

    def apply_levels(self) -> None:
        """Set the loggers' levels where the owner's have changed; called again when ``logging`` is
        imported later."""
        logging: Any = sys.modules.get("logging")
        if logging is None or self._levels is None or not hasattr(logging, "disable"):
            return
        root, disabled, own = self._levels
        before = self._in_effect
        known = before[2] if before is not None else {}
        for name in {**known, **own}:
            level, off = own.get(name, (logging.NOTSET, False))
            if before is None or (level, off) != known.get(name, (logging.NOTSET, False)):
                logger = logging.getLogger(name)
                logger.setLevel(level)
                logger.disabled = off
        if before is None or root != before[0]:
            logging.root.setLevel(root)
        if before is None or disabled != before[1]:
            logging.disable(disabled)
        self._in_effect = self._levels


def _apply_filters(pickled: list[Filter]) -> None:
    filters = []
    awaited: set[str] = set()
    for rest, home, name in pickled:
        category = _category(home, name)
        if isinstance(category, _NamedCategory):
            parts = home.split(".")
            awaited.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
        with contextlib.suppress(Exception):  # a class of the message's, not in this process
            action, message, module, line = pickle.loads(rest)
            filters.append((action, message, category, module, line))
    if filters == _in_force():
        return
    _put(filters)
    for name in awaited:
        if name not in sys.modules:
            on_import(name, lambda _: _settle())


def _settle() -> None:
    """Replace the stand-ins whose classes exist by now.

    A module that sets a filter for its category when it is imported puts it in front. If that is
    one of the owner's filters, it keeps its place among those: the owner may have set another one
    since.
    """
    now = _in_force()
    ready = [_resolved(each) for each in now]
    found = [new for old, new in zip(now, ready, strict=True) if new is not old]
    _put([new for old, new in zip(now, ready, strict=True) if new is not old or new not in found])


def _resolved(entry: Any) -> Any:
    """Return the filter with its category in place of a stand-in, or the same if that is not
    imported."""
    action, message, category, module, line = entry
    if isinstance(category, _NamedCategory):
        real = _category(category.__module__, category.__qualname__)
        if not isinstance(real, _NamedCategory):
            return action, message, real, module, line
    return entry


def _put(filters: list[Any]) -> None:
    import warnings

    warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever its stub says
    warnings._filters_mutated()  # type: ignore[attr-defined]
