"""``logging`` handlers that a program sets up in a worker, and the rule for calling them.

The rule: a handler that an initializer or a task sets up is called in its worker, unless one of the
owner's handlers writes the record to the same place. A place is a file, or the terminal (standard
output and error count as one), or, for a handler that writes elsewhere, its class. A
``QueueHandler`` sends records to the owner, which has them already: it is called only if the owner
has no handler for the record.

Handlers that existed when the worker began are the owner's, inherited by a fork or created by the
same lines of the program: they are never called here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from typing import Any

_TERMINAL = "the terminal"

Places = dict[str, tuple[bool, list[tuple[str, int]]]]
"""By the name of a logger that has handlers, or does not propagate: True if it propagates, and the
place and the level of each of its handlers. The root's name is empty."""


def places(logging: Any) -> Places:
    """Return the places that this process's handlers write to."""
    found: Places = {}
    loggers = [("", logging.root), *logging.root.manager.loggerDict.items()]
    for name, logger in loggers:
        if isinstance(logger, logging.Logger) and (logger.handlers or not logger.propagate):
            handlers = [each for each in logger.handlers if type(each) is not logging.NullHandler]
            found[name] = bool(logger.propagate), [(place_of(h), h.level) for h in handlers]
    return found


def place_of(handler: Any) -> str:
    """See the module."""
    name = getattr(handler, "baseFilename", None)
    if isinstance(name, str):
        return os.path.realpath(name)
    stream = getattr(handler, "stream", None)
    if stream is None:
        stream = getattr(getattr(handler, "console", None), "file", None)
    if stream is not None:
        if getattr(getattr(stream, "buffer", None), "redirected", False):
            return "a redirected stream"
        if any(stream is each for each in (sys.stdout, sys.stderr)) or _number(stream) in (1, 2):
            return _TERMINAL
        name = getattr(stream, "name", None)
        if isinstance(name, str):
            return os.path.realpath(name)
    kind = type(handler)
    return f"{kind.__module__}.{kind.__qualname__}"


def _number(stream: Any) -> int:
    with contextlib.suppress(Exception):  # closed, or a custom stream that has none
        return int(stream.fileno())
    return -1


class OwnHandlers:
    """The worker's side.

    Handlers that existed at ``begin`` are kept alive, so that no later one gets the same ``id``.
    """

    def __init__(self) -> None:
        self._inherited: dict[int, Any] = {}
        self._owners: Places = {}
        self._chains: dict[str, list[tuple[str, int]]] = {}  # of ``_owners``, by logger
        self._files: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def begin(self, logging: Any) -> None:
        """Note the existing handlers, which are the owner's: the worker begins."""
        for logger in (logging.root, *logging.root.manager.loggerDict.values()):
            if isinstance(logger, logging.Logger):
                for each in (*logger.handlers, *logger.filters):
                    self._inherited[id(each)] = each

    def apply(self, owners: Places) -> None:
        """Set the owner's handlers."""
        if owners != self._owners:
            self._owners = owners
            self._chains = {}

    def passed(self, logger: Any, record: Any) -> Any:
        """Apply the filters that the worker itself has put on its logger. Returns the record, or
        something false if one rejects it. The owner applies the others."""
        for each in logger.filters:
            if id(each) in self._inherited:
                continue
            said = each.filter(record) if hasattr(each, "filter") else each(record)
            if not said:
                return None
            if said is not True and hasattr(said, "levelno"):
                record = said
        return record

    def taking(self, logger: Any, record: Any) -> list[Any]:
        """Return the handlers to call."""
        found = []
        at = logger
        while at is not None:
            found += [
                each
                for each in at.handlers
                if id(each) not in self._inherited
                and record.levelno >= each.level
                and self._is_new(each, logger.name, record.levelno)
            ]
            at = at.parent if at.propagate else None
        return found

    def _is_new(self, handler: Any, name: str, level: int) -> bool:
        """Return True if the handler writes to a place that no handler of the owner writes to."""
        if any(kind.__name__ == "NullHandler" for kind in type(handler).__mro__):
            return False
        chain = self._chains.get(name)
        if chain is None:
            chain = self._chains[name] = self._chain(name)
        owners = [place for place, least in chain if level >= least]
        if not owners:
            return True
        if any(kind.__name__ == "QueueHandler" for kind in type(handler).__mro__):
            return False
        return self._place(handler) not in owners

    def _chain(self, name: str) -> list[tuple[str, int]]:
        """Return the owner's handlers for this logger."""
        found: list[tuple[str, int]] = []
        name = "" if name == "root" else name
        while True:
            propagates, handlers = self._owners.get(name, (True, []))
            found += handlers
            if not name or not propagates:
                return found
            name = name.rpartition(".")[0]

    def _place(self, handler: Any) -> str:
        if not hasattr(handler, "baseFilename"):
            return place_of(handler)  # its stream may have been replaced
        place = self._files.get(handler)
        if place is None:
            place = self._files[handler] = place_of(handler)
        return place
