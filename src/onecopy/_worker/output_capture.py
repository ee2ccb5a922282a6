"""What a worker says besides results: log records, warnings, lines printed.

``OutputCapture.install`` has every record, warning and printed line of this process sent to the
owner as it is made. No handler that was there when the worker began is called: a record
reaches the owner's handlers once, and two processes never write into one file. Those that
the program sets up in the worker are called as well, by the rule in ``handlers``.

Everything leaves the process before the call that made it returns. A kill can cost nothing
that was said before it, except by a thread that spoke while another one was being heard.

``logging`` is not imported here: it takes a worker some 5 ms that it may not need, and is
furnished when somebody imports it. The owner's side is ``hearing``.
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

# What a record has by itself; everything beyond was added by the program.
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
# A record that is longer, in bytes, is cut: its message and its texts to this many
# characters each, and what the program has added is left out.
_LONGEST, _CUT = 900 << 10, 200_000

Say = Callable[[bytes], None]
Tell = Callable[[bytes, bool], None]


class OutputCapture:
    """See the module.

    Args:
        record, warning: send the bytes of one record or warning to the owner; of a record,
            and whether a handler of this process takes it too.
        text: sends some bytes of printed text; called with the stream, 1 or 2, first, and
            last with whether it was flushed.
        number: this worker's.
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
        self._told = False  # what the owner's settings are
        self._streams: list[Lines] = []
        self._before: list[Callable[[], None]] = []
        self._formatter: Any = None
        self._plain = 0
        self._heads: dict[tuple[Any, ...], bytes] = {}
        self.printed = False  # since the last ``end_line``

    def install(self, *, logs: bool, prints: str) -> None:
        """From here on this process speaks to the owner.

        Args:
            logs: by ``logging`` and ``warnings``.
            prints: by its streams, unless it is ``"direct"``; when ``"plain"``, by what is
                flushed of a line too.
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
        """The owner's levels, filters and handlers. It tells them before anything of the
        program is run here but its imports: what is set up from then on is the worker's."""
        if not self._told:
            self._told = True
            if "logging" in sys.modules:
                self._own.begin(sys.modules["logging"])
        self._own.apply(self._settings.apply(body))

    def restore(self) -> None:
        """In a child that a task has forked: it is no worker, and speaks for itself."""
        for act in self._before:
            act()
        self._before.clear()
        self._streams.clear()

    def end_line(self) -> None:
        """What was printed and has no line's end yet goes as it is: the task is over."""
        self.printed = False
        for stream in self._streams:
            stream.give()

    # Logging.

    def furnish_logging(self) -> None:
        """``logging`` is there now."""
        import logging

        handle = logging.Logger.handle
        self._before.append(lambda: setattr(logging.Logger, "handle", handle))
        logging.Logger.handle = self._handle()  # type: ignore[method-assign,assignment]
        self._formatter = logging.Formatter()
        # So many attributes has a record that the program has added nothing to.
        self._plain = len(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
        self._settings.apply_levels()

    def _handle(self) -> Callable[[Any, Any], None]:
        """What stands for ``Logger.handle``: logger filters are applied by the owner."""
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

                # As when a handler fails: a traceback on stderr, and the task goes on.
                logging.NullHandler().handleError(record)
                return
            tell(body, bool(taking))
            for handler in taking:
                handler.handle(record)

        return handle

    def _said(self, record: Any) -> bytes:
        """The record as bytes: its message made, its exception as text.

        What two records of one line have in common, its head, is made into bytes once, here,
        and looked up by these bytes on the other side. So neither side handles a dozen values
        each time, and no record depends on another one's having arrived.
        """
        values = record.__dict__
        try:
            key = _head_of(values)
            head = self._heads.get(key)
            if head is None:
                if len(self._heads) >= MOST_HEADS:
                    self._heads.clear()
                head = self._heads[key] = self._head(list(key))
        except (KeyError, TypeError):  # the program has left something out, or put a list in
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
        except ValueError:  # something that is no plain value
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
        """What stands for ``warnings.showwarning``."""
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
        with contextlib.suppress(Exception):  # none, closed, or a stand-in with no descriptor
            fd = before.fileno()
        lines = Lines(number, fd, self._text, self._on_half, halves=halves)
        # No buffer between them: at a kill it would be lost, and Lines makes whole lines.
        stream = io.TextIOWrapper(
            lines,  # as CPython has it with -u
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
    """What marshal takes, and the rest pickled; what cannot be pickled as its repr."""
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
    """The name of the module that is being warned about: it is on the stack."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_lineno == lineno and frame.f_code.co_filename == filename:
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) else None
        frame = frame.f_back  # type: ignore[assignment]
    return None
