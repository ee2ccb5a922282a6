"""Bars on a terminal, below the program's output, which is never torn.

Drawing below other output requires noticing new output. So while there are bars, ``write`` of the
standard streams is replaced, on the stream objects themselves: it removes the bars, writes, and
requests a new drawing. ``print``, ``logging`` handlers that have kept a stream, warnings,
tracebacks and bars of other libraries all use it. Around handlers that write past these streams,
the pool's thread that calls them holds a ``pause``.

Between two writes the cursor is where the program has left it (``Cursor``), with the bars below it.
Removing them means erasing everything below.

Threads: the lock is held while bytes are written; no function of the program is called with it
held. It is reentrant, since a signal handler may print in the middle of a drawing.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, Literal

from .cursor import Cursor
from .state import State

# Seconds after which bars that were removed for a line are drawn again, at most.
_SOON = 0.03
# Seconds after which the bars are drawn again while a handler still works.
_PATIENCE = 0.5
_BAR = 40
_LEAST_BAR = 8
# The count, the rate, the failures, and the time; the order in which they are dropped if room is
# short.
_STYLES = ("", "dim", "red", "cyan")
_LEFT_OUT = ((), (1,), (1, 3))


class Terminal:
    """See the module. Standard error must be a terminal."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stream = sys.stderr
        self._write: Callable[[str], object] = sys.stderr.write
        self._cursor = Cursor()
        self._looks: list[Callable[[], State]] = []
        self._shown = 0  # lines that are drawn
        self._drawn = 0.0
        self._paused = 0
        self._since = 0.0
        self._broken = False
        self._hooked: list[tuple[Any, Any]] = []
        for stream in {id(each): each for each in (sys.stdout, sys.stderr)}.values():
            self._hook(stream)

    # Output of others.

    def _hook(self, stream: Any) -> None:
        """Make writes to a terminal go through ``_others``."""
        with contextlib.suppress(Exception):  # a stream of the program's with fewer methods
            if not stream.isatty():
                return
            stream.flush()
            write, flush = stream.write, stream.flush

            def hooked(text: str) -> Any:
                return self._others(write, flush, text)

            stream.write = hooked
            self._hooked.append((stream, hooked))

    def unhook(self) -> None:
        """Restore the streams. Takes no lock: a forked child calls it too."""
        hooked, self._hooked = self._hooked, []
        for stream, ours in hooked:
            if vars(stream).get("write") is ours:  # otherwise another function wraps it
                del stream.write
        self._looks = []

    def _others(self, write: Callable[[str], Any], flush: Callable[[], Any], text: str) -> Any:
        with self._lock:
            if not self._looks:
                return write(text)  # other code has kept ours
            self._erase()
            try:
                return write(text)
            finally:
                flush()  # each of the two streams has a buffer, and the terminal has one cursor
                self._cursor.feed(text)
                if not self._cursor.busy and monotonic() - self._drawn > _SOON:
                    self._draw()

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Hide the bars while something may write past the streams."""
        with self._lock:
            self._erase()
            if not self._paused:
                self._since = monotonic()
            self._paused += 1
        try:
            yield
        finally:
            with self._lock:
                self._paused -= 1
                if monotonic() - self._drawn > _SOON:
                    self._draw()

    # Bars.

    def begin(self, look: Callable[[], State]) -> None:
        """Add a bar."""
        with self._lock:
            self._looks.append(look)
            self._draw()

    def tick(self) -> None:
        """Draw the bars' present states."""
        with self._lock:
            self._draw()

    def end(self, look: Callable[[], State]) -> None:
        """End a bar: it becomes an ordinary line."""
        with self._lock:
            if look in self._looks:  # otherwise its beginning was interrupted
                self._looks.remove(look)
                self._erase()
                self._keep(look())
            if self._looks:
                self._draw()
            else:
                self.unhook()

    def _keep(self, state: State) -> None:
        """Write a line above the line that the program is in the middle of."""
        cursor = self._cursor
        line = "".join(self._lines([state]))
        if not cursor.busy:
            self._put(f"\r{line}\n")
        elif not cursor.below:
            self._put(f"\r\x1b[K{line}\n{cursor.unfinished}")
        # Nothing is kept among the lines of another display.

    def _erase(self) -> None:
        if self._shown:
            self._shown = 0
            self._put(self._below("\x1b[J") if self._cursor.busy else "\r\x1b[J")

    def _draw(self) -> None:
        if self._paused and monotonic() - self._since < _PATIENCE:
            return
        self._drawn = monotonic()
        room = _size(self._stream).lines - 1 - self._cursor.below - self._cursor.busy
        lines = self._lines([look() for look in self._looks[: max(0, room)]])
        if not lines:
            self._erase()
            return
        # Line by line over what is there: a terminal that shows it half way still shows bars.
        text = "\x1b[K\n".join(lines) + "\x1b[J"
        if self._cursor.busy:
            self._put(self._below(text, len(lines)))
        else:
            up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
            self._put(f"\r{text}\r{up}")
        self._shown = len(lines)

    def _below(self, text: str, lines: int = 1) -> str:
        """Return ``text`` below the program's lines, and the way back to its cursor."""
        down = self._cursor.below + 1
        column = min(self._cursor.column, _size(self._stream).columns - 1)
        right = f"\x1b[{column}C" if column else ""
        return "\n" * down + f"\r{text}" + f"\x1b[{down + lines - 1}A\r{right}"

    def _lines(self, states: list[State]) -> list[str]:
        if self._broken or not states:
            return []
        return drawn(states, self._stream, _size(self._stream).columns)

    def _put(self, text: str) -> None:
        if self._broken:
            return
        style = self._cursor.style
        if style:  # the program is in the middle of coloured text, and bars have their own colours
            text = f"\x1b[m{text}{style}"
        try:
            self._write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True  # closed: the work goes on unseen


def drawn(states: list[State], stream: Any, width: int) -> list[str]:
    """Return a line for each state, at most ``width`` wide, with colours if the terminal has them."""
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    # The last column stays free: some terminals wrap when it is written.
    width = max(10, width - 1)
    console = Console(file=stream, force_terminal=True, width=width, highlight=False)
    facts = [(each.so_far(), each.rate(), each.failures(), each.time()) for each in states]
    label, bar, columns = _widths(states, facts, width)
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=label, no_wrap=True, overflow="crop")
    grid.add_column(width=bar, no_wrap=True)
    for at, size in columns.items():
        justify: Literal["right", "left"] = "right" if at == 0 else "left"
        grid.add_column(width=size, no_wrap=True, overflow="crop", justify=justify)
    for state, texts in zip(states, facts, strict=True):
        total = state.done if state.ended and state.total is None else state.total
        done = (1, 1) if total == 0 else (total, state.done)
        shape = ProgressBar(*done, width=bar, pulse=total is None)
        cells = [Text(texts[at], _STYLES[at]) for at in columns]
        grid.add_row(Text(state.label, "bold"), shape, *cells)
    with console.capture() as captured:
        console.print(grid)
    text = captured.get().encode(console.encoding, "replace").decode(console.encoding)
    return [line.rstrip(" ") for line in text.splitlines()]


def _widths(
    states: list[State], facts: Sequence[tuple[str, ...]], width: int
) -> tuple[int, int, dict[int, int]]:
    """Return the columns for the label, for the bar, and for each kind of fact that there is room
    for."""
    from rich.cells import cell_len

    label = max(cell_len(each.label) for each in states)
    most = {at: max(cell_len(each[at]) for each in facts) for at in range(len(_STYLES))}
    # A bar must not become shorter with each digit.
    ends = [each._replace(done=each.total or each.done) for each in states]
    most[0] = max(most[0], *(cell_len(each.so_far()) for each in ends))
    columns, room = most, 0
    for left_out in _LEFT_OUT:
        columns = {at: size for at, size in most.items() if size and at not in left_out}
        room = width - sum(size + 1 for size in columns.values()) - 2
        if room - label >= _LEAST_BAR:
            break
    label = max(1, min(label, room - _LEAST_BAR))
    return label, max(1, min(_BAR, room - label)), columns


def _size(stream: Any) -> os.terminal_size:
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return os.terminal_size((80, 24))
    return size if size.columns else os.terminal_size((80, 24))
