"""Programs on a terminal of their own, as a person sees it: what is on the screen, and when."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyte
import pytest

_PATIENCE = 60.0


@dataclass
class Seen:
    """The screen after each piece of output, as lines without what is empty at
    the end; the bytes; and how the program ended."""

    screens: list[list[str]]
    written: bytes
    status: int

    @property
    def last(self) -> list[str]:
        return self.screens[-1]


def run(
    *words: str,
    columns: int = 80,
    rows: int = 40,
    keys: Callable[[list[str]], bytes] | None = None,
    cwd: Any = None,
) -> Seen:
    """Run a program on a new terminal until it ends.

    Args:
        words: the program and its arguments.
        columns, rows: the terminal's size.
        keys: told what is on the screen, says what is typed then.
        cwd: where it runs.
    """
    child, terminal = pty.fork()
    if not child:
        try:
            if cwd is not None:
                os.chdir(cwd)
            os.environ["TERM"] = "xterm-256color"
            # The terminal's own size counts. Not os.environ: pytest imports readline, which sets
            # them behind its back.
            os.unsetenv("COLUMNS")
            os.unsetenv("LINES")
            os.execv(words[0], words)
        finally:
            os._exit(127)
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        screen = pyte.Screen(columns, rows)
        screens, written = _watched(terminal, screen, keys)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        status = os.waitpid(child, 0)[1]
        os.close(terminal)
    return Seen(screens, written, os.waitstatus_to_exitcode(status))


def _watched(
    terminal: int, screen: Any, keys: Callable[[list[str]], bytes] | None
) -> tuple[list[list[str]], bytes]:
    stream = pyte.ByteStream(screen)
    screens: list[list[str]] = []
    written = b""
    give_up = time.monotonic() + _PATIENCE
    while True:
        if not select.select([terminal], [], [], max(0, give_up - time.monotonic()))[0]:
            pytest.fail(f"the program has not ended: {screens[-1:]}")
        try:
            got = os.read(terminal, 1 << 16)
        except OSError:  # no process has the other end any more
            return screens, written
        if not got:
            return screens, written
        written += got
        stream.feed(got)
        lines = [line.rstrip() for line in screen.display]
        while lines and not lines[-1]:
            lines.pop()
        screens.append(lines)
        typed = keys(lines) if keys is not None else b""
        if typed:
            os.write(terminal, typed)


def python(path: Any, *arguments: str, **how: Any) -> Seen:
    """`run` of a Python program."""
    return run(sys.executable, str(path), *arguments, **how)
