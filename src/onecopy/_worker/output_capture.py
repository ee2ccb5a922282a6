"""Captures a worker's output: log records, warnings, printed lines.

``OutputCapture.install`` makes this process send every record, warning and printed line to the
owner at once. Handlers that existed when the worker began are not called: a record reaches the
owner's handlers once, and two processes never write into one file. Handlers that the program sets
up in the worker are called as well, by the rule in ``handlers``.

Everything leaves the process before the call that made it returns. A kill loses no output that was
made before it, except that of a thread that was waiting for another one's to be sent.

``logging`` is not imported here: it costs about 5 ms; it is patched if something imports it. The
owner's side is ``_engine.output_dispatch``.
"""

from __future__ import annotations

import contextlib
import io
import marshal
import pickle
import sys
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from .._protocol.handlers import OwnHandlers
from .._protocol.log_records import HEAD, MOST_HEADS
from .._protocol.log_settings import Applied
from .._system.imports import on_import
from .lines import Lines

# The attributes that every record has; all others were added by the program.
_STANDARD = frozenset(
    [
        "name",
        "msg",
        "args",
        "levelname",
        "levelno",
        "pathname",
        "filename",
        "module",
        "exc_info",
        "exc_text",
        "stack_info",
        "lineno",
        "funcName",
        "created",
        "msecs",
        "relativeCreated",
        "thread",
        "threadName",
        "processName",
        "process",
        "taskName",
        "message",
        "asctime",
    ]
)
_head_of = itemgetter(*HEAD)
# A record longer than this, in bytes, is cut: its message and its texts to this many characters
# each, and attributes added by the program are left out.
_LONGEST, _CUT = 900 << 10, 200_000

Say = Callable[[bytes], None]
Tell = Callable[[bytes, bool], None]


class OutputCapture:
    """See the module.

    Args:
        record, warning: send the bytes of one record or warning to the owner; with a record, also
            whether a handler of this process takes it.
        text: sends some bytes of printed text; its first argument is the stream, 1 or 2, its last
            whether the text was flushed.
        number: this worker's number.
    """

    def __init__(
        self, record: Tell, warning: Say, text: Callable[[int, bytes, bool], None], number: int
    ) -> None:
        self._record = record
        self._warning = warning
        self._text = text
        self._name = f"onecopy-{number}"
        self._settings = Applied()
        self._own = OwnHandlers()
        self._told = False  # the owner's settings have arrived
        self._streams: list[Lines] = []
        self._before: list[Callable[[], None]] = []
        self._formatter: Any = None
        self._plain = 0
        self._heads: dict[tuple[Any, ...], bytes] = {}
        self.printed = False  # since the last ``end_line``

    def install(self, *, logs: bool, prints: str) -> None:
        """Start sending this process's output to the owner.

        Args:
            logs: log records and warnings.
            prints: printed lines, unless it is ``"direct"``; if ``"plain"``, flushed parts of
                lines too.
        """
        if prints != "direct":
            self._catch("stdout", 1, halves=prints == "plain")
            self._catch("stderr", 2, halves=prints == "plain")
        if not logs:
            return
        on_import("logging", lambda _: self.furnish_logging())
        import warnings

        shown = warnings.showwarning
        self._before.append(lambda: setattr(warnings, "showwarning", shown))
        warnings.showwarning = self._on_warning

    def settings(self, body: bytes) -> None:
        """Apply the owner's levels, filters and handlers. They arrive before any of the program's
        code but its imports runs here: handlers set up from then on are the worker's."""
        if not self._told:
            self._told = True
            if "logging" in sys.modules:
                self._own.begin(sys.modules["logging"])
        self._own.apply(self._settings.apply(body))

    def restore(self) -> None:
        """Undo everything in a child that a task has forked: it is not a worker, and its output is
        its own."""
        for act in self._before:
            act()
        self._before.clear()
        self._streams.clear()

    def end_line(self) -> None:
        """Send an incomplete line as it is: the task is over."""
        self.printed = False
        for stream in self._streams:
            stream.give()

    # Logging.

    def furnish_logging(self) -> None:
        """Patch ``logging``, which has been imported."""
        import logging

        handle = logging.Logger.handle
        self._before.append(lambda: setattr(logging.Logger, "handle", handle))
        logging.Logger.handle = self._handle()  # type: ignore[method-assign,assignment]
        self._formatter = logging.Formatter()
        # The number of attributes of a record to which the program has added none.
        self._plain = len(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
        self._settings.apply_levels()

    def _handle(self) -> Callable[[Any, Any], None]:
        """Return the replacement of ``Logger.handle``: the owner applies logger filters."""
        said = self._said
        tell = self._record
        own = self._own

        def handle(logger: Any, record: Any) -> None:
            if logger.disabled or (logger.filters and not (record := own.passed(logger, record))):
                return
            taking = own.taking(logger, record)
            try:
                body = said(record)
            except Exception:
                import logging

                # As if a handler fails: a traceback on stderr, and the task goes on.
                logging.NullHandler().handleError(record)
                return
            tell(body, bool(taking))
            for handler in taking:
                handler.handle(record)

        return handle

    def _said(self, record: Any) -> bytes:
        """Return the record as bytes: its message formatted, its exception as text.

        The head, which all records of one line have in common, is encoded once, here, and looked up
        by these bytes on the other side. So neither side handles a dozen values each time, and no
        record depends on the arrival of another.
        """
        values = record.__dict__
        try:
            key = _head_of(values)
            head = self._heads.get(key)
            if head is None:
                if len(self._heads) >= MOST_HEADS:
                    self._heads.clear()
                head = self._heads[key] = self._head(list(key))
        except (KeyError, TypeError):  # the program has removed an attribute, or put a list in
            head = self._head(list(map(values.get, HEAD)))
        text = record.exc_text
        if record.exc_info and not text:
            text = self._formatter.formatException(record.exc_info)
        extras = {}
        if len(values) > self._plain:
            extras = {key: value for key, value in values.items() if key not in _STANDARD}
        message, stack = record.getMessage(), record.stack_info
        times = (record.created, record.msecs, record.relativeCreated)
        try:
            said = marshal.dumps((head, times, message, text, stack, extras))
        except ValueError:  # a value that is not of a plain type
            plain, pickled = _apart(extras)
            said = marshal.dumps((head, times, str(message), text, stack, plain, pickled))
        if len(said) > _LONGEST:
            said = marshal.dumps((head, times, _cut(message), _cut(text), _cut(stack), {}))
        return said

    def _head(self, fields: list[Any]) -> bytes:
        at = HEAD.index("processName")
        if fields[at] == "MainProcess":
            fields[at] = self._name
        return marshal.dumps([value if _is_plain(value) else str(value) for value in fields])

    # Warnings.

    def _on_warning(
        self,
        message: Any,
        category: Any,
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        """Replace ``warnings.showwarning``."""
        if file is not None:
            import warnings

            file.write(warnings.formatwarning(message, category, filename, lineno, line))
            return
        kinds = [
            (kind.__module__, kind.__qualname__)
            for kind in category.__mro__
            if issubclass(kind, Warning)
        ]
        module = _module_at(filename, lineno)
        said = (_cut(message), kinds, str(filename), int(lineno), module)
        self._warning(marshal.dumps(said))

    # Prints.

    def _catch(self, name: str, number: int, *, halves: bool) -> None:
        before = getattr(sys, name)
        fd, encoding, problems = number, "utf-8", "backslashreplace"
        with contextlib.suppress(Exception):  # none, closed, or an object without a descriptor
            fd = before.fileno()
        lines = Lines(number, fd, self._text, self._on_half, halves=halves)
        # No buffer in between: a kill would lose its contents, and Lines makes whole lines.
        stream = io.TextIOWrapper(
            lines,  # as CPython does with -u
            encoding,
            problems,
            write_through=True,
        )
        stream.mode = "w"  # type: ignore[misc]
        self._streams.append(lines)
        self._before.append(lambda: setattr(sys, name, before))
        setattr(sys, name, stream)

    def _on_half(self) -> None:
        self.printed = True


def _cut(text: Any) -> str | None:
    if text is None or len(str(text)) <= _CUT:
        return None if text is None else str(text)
    return f"{str(text)[:_CUT]}… ({len(str(text)) - _CUT:,} more characters)"


def _is_plain(value: Any) -> bool:
    try:
        marshal.dumps(value)
    except ValueError:
        return False
    return True


def _apart(extras: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the values that marshal accepts, and the others pickled; those that cannot be pickled,
    as their repr."""
    plain: dict[str, Any] = {}
    pickled: dict[str, bytes] = {}
    for name, value in extras.items():
        if _is_plain(value):
            plain[str(name)] = value
            continue
        try:
            pickled[str(name)] = pickle.dumps(value, 5)
        except Exception:  # a user's class may raise anything
            plain[str(name)] = repr(value)
    return plain, pickled


def _module_at(filename: str, lineno: int) -> str | None:
    """Return the name of the module that is warned about: it is on the stack."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_lineno == lineno and frame.f_code.co_filename == filename:
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
