"""Hooks of ``logging``: records of workers, and how many times each is written."""

from __future__ import annotations

import os
import sys

from . import kinds, ring
from .guard import guarded, put_around, unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_configuration: str | None = None


def _target(handler: Any) -> str:
    """The target that a handler writes to: two handlers for one file have the same."""
    stream = getattr(handler, "stream", None)
    if stream is not None:
        try:
            found = os.fstat(stream.fileno())
            return "%d:%d" % (found.st_dev, found.st_ino)  # noqa: UP031
        except (OSError, ValueError, AttributeError):
            return "stream %d" % id(stream)  # noqa: UP031
    file = getattr(handler, "baseFilename", None)
    return str(file or "%s %d" % (type(handler).__name__, id(handler)))  # noqa: UP031


def _is_queued(handler: Any) -> bool:
    return any(each.__name__ == "QueueHandler" for each in type(handler).__mro__)


@guarded
def note_configuration() -> None:
    """Note the settings of this process's loggers, if they have changed."""
    global _configuration
    logging: Any = sys.modules.get("logging")
    if logging is None or ring.buffer is None or not hasattr(logging, "root"):
        return

    def handlers(logger: Any) -> list[Any]:
        return [(type(each).__name__, each.level) for each in logger.handlers]

    found: list[Any] = [("", logging.root.level, handlers(logging.root), 1)]
    for title, logger in list(logging.root.manager.loggerDict.items()):
        if getattr(logger, "level", 0) or getattr(logger, "handlers", None):
            found.append((title, logger.level, handlers(logger), int(logger.propagate)))
    found.append(("\0disabled", logging.root.manager.disable, [], 0))
    text = repr(found[:100])
    if text != _configuration:
        _configuration = text
        ring.note(kinds.LOGCONF, ring.now(), 0, 0, 0, ring.name(text))


def hook_logging(module: Any) -> None:
    call = module.Logger.callHandlers

    def callHandlers(self: Any, record: Any) -> None:
        if ring.worker:
            _count(module, self, record)
        try:
            call(self, record)
        except BaseException as error:
            unseen(error)
            raise

    module.Logger.callHandlers = callHandlers
    if ring.worker:
        begin_worker()


def hook_rotating(module: Any) -> None:
    """``logging.handlers``: the processes that write to a file, and rename it; what is written of the
    records in a queue."""

    def wrote(_: Any, __: Any, self: Any, record: Any) -> None:
        ring.count("rotating\t%s" % self.baseFilename)  # noqa: UP031

    def renamed(_: Any, __: Any, self: Any) -> None:
        ring.note(kinds.ROTATED, ring.now(), 0, 0, 0, ring.name(str(self.baseFilename)))

    put_around(module.BaseRotatingHandler, "emit", None, wrote)

    def listens(_: Any, __: Any, self: Any) -> None:
        for each in self.handlers:
            ring.count("listener\t%s" % _target(each))  # noqa: UP031

    put_around(module.QueueListener, "start", None, listens)
    for name in ("RotatingFileHandler", "TimedRotatingFileHandler"):
        put_around(getattr(module, name), "doRollover", None, renamed)


@guarded
def _count(module: Any, logger: Any, record: Any) -> None:
    name = logger.name
    handlers: list[Any] = []
    while logger:
        handlers += [each for each in logger.handlers if record.levelno >= each.level]
        logger = logger.parent if logger.propagate else None
    targets = [_target(each) for each in handlers]
    if len(handlers) > 1 and any(map(_is_queued, handlers)):
        # The listener that reads the queue may write it there once more.
        for handler, target in zip(handlers, targets):  # noqa: B905
            if not _is_queued(handler):
                ring.count("queued\t%s\t%s" % (name, target))  # noqa: UP031
    last = module.lastResort
    bare = bool(not targets and last and record.levelno >= last.level)
    words = (name, record.levelno, len(targets), len(set(targets)), bare)
    ring.count("log\t%s\t%d\t%d\t%d\t%d" % words)  # noqa: UP031


@guarded
def begin_worker() -> None:
    """In workers, records that the level keeps out are counted as well."""
    logging: Any = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "Logger"):
        return
    note_configuration()
    enabled = logging.Logger.isEnabledFor
    if getattr(enabled, "_onecopy_doctor", False):
        return

    def isEnabledFor(self: Any, level: Any) -> Any:
        found = enabled(self, level)
        if not found:
            ring.count("dropped\t%s\t%s" % (self.name, level))  # noqa: UP031
        return found

    isEnabledFor._onecopy_doctor = True  # type: ignore[attr-defined]
    logging.Logger.isEnabledFor = isEnabledFor


def _forget() -> None:
    global _configuration
    _configuration = None


ring.on_fork.append(_forget)
