"""The command that ``onecopy top`` runs: its output, kept apart, and a summary at the end.

While the table uses the terminal, the command's terminal output goes to a second terminal, so that
it still finds one (colours, line buffering), and from there into a file. It is written out,
unchanged, when the table is gone. Redirected output is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import tty
from time import monotonic
from types import TracebackType
from typing import IO, Any

from .._observe.sampler import Sampler, read_tree
from ..errors import signal_name
from ._errors import CommandError
from ._show import count, size

# The size of the end of the output that is kept in memory.
_TAIL = 1 << 14


class Command:
    """A running command, which ends with the ``with`` block.

    Args:
        words: the program and its arguments.
        apart: keep its output off the terminal.

    Attributes:
        pid: the process.
        status: the exit status, as in a shell; after ``finish``.
        tail: the last bytes of its output.

    Raises:
        CommandError: it cannot be run.
    """

    def __init__(self, words: list[str], *, apart: bool) -> None:
        self.status: int = 0
        self.tail: bytes = b""
        self._words = words
        self._kept: IO[bytes] | None = None
        self._terminal = -1
        self._to = 2
        streams: dict[str, Any] = {}
        slave = -1
        if apart:
            self._to = 1 if sys.stdout.isatty() else 2
            self._kept = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
            self._terminal, slave = _terminal()
            streams = {"stderr": slave}
            if self._to == 1:
                streams["stdout"] = slave
            if sys.stdin.isatty():  # the keys are for the table
                streams["stdin"] = subprocess.DEVNULL
        self._began = monotonic()
        try:
            self._child = subprocess.Popen(words, **streams)
        except OSError as error:
            self._close()
            raise CommandError(f"{words[0]!r} cannot be run: {error.strerror}", 127) from error
        finally:
            if slave >= 0:
                os.close(slave)
        self.pid: int = self._child.pid
        self._sampler = Sampler(self.pid)

    def __enter__(self) -> Command:
        self._sampler.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None and issubclass(kind, KeyboardInterrupt):
                # Ctrl-C reached the command as well: it decides how it ends.
                self.finish()
                print(self.summary(), file=sys.stderr)
        finally:
            self._sampler.__exit__(kind, error, trace)
            if self._child.poll() is None:
                self._child.send_signal(signal.SIGTERM)
                self._child.wait()
            self._close()

    def _close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            os.close(self._terminal)
            self._kept = None

    def ended(self) -> bool:
        """Return True if it has ended."""
        return self._child.poll() is not None

    def wait(self, seconds: float) -> bool:
        """Wait for at most ``seconds``, and read its output; return True if it has ended."""
        if self._kept is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
            return self.ended()
        self.take_in(seconds)
        return self.ended()

    @property
    def output(self) -> list[int]:
        """Return the descriptor that is readable when it has written something, if its output is
        kept."""
        return [] if self._kept is None else [self._terminal]

    def take_in(self, seconds: float = 0.0) -> bool:
        """Read its output, waiting for at most ``seconds``; return False if there is none."""
        if self._kept is None or not select.select([self._terminal], [], [], seconds)[0]:
            return False
        try:
            got = os.read(self._terminal, 1 << 16)
        except OSError:  # no process has the other end any more
            got = b""
        if not got:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(seconds)
            return False
        self._kept.write(got)
        self.tail = (self.tail + got)[-_TAIL:]
        return True

    def finish(self) -> None:
        """Wait for its end, and write all of its output, also what still comes, to its destination."""
        if self._kept is not None:
            self._kept.seek(0)
            self._write(self._kept)
            while not self.wait(0.1):
                self._write_on()
            # Later output of a process that it has left behind is lost.
            while self.take_in():
                self._write_on()
            self._write_on()
        returned = self._child.wait()
        self.status = 128 - returned if returned < 0 else returned
        self._seconds = monotonic() - self._began

    def _write_on(self) -> None:
        assert self._kept is not None
        self._kept.seek(self._written)
        self._write(self._kept)

    def _write(self, kept: IO[bytes]) -> None:
        with open(self._to, "wb", closefd=False) as out:
            shutil.copyfileobj(kept, out)
        self._written = kept.tell()

    def summary(self) -> str:
        """Return time, CPU, memory and exit status, a line each; after ``finish``."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = self._sampler.peak
        memory = "cannot be read on this system"
        if read_tree() is not None:
            memory = "not read: the command ended too soon"
        if peak is not None:
            memory = (
                f"{size(peak.pss)} at the peak, PSS of {count(peak.processes, 'process')}; USS "
                f"{size(peak.uss)}"
            )
        how = f"with status {self.status}"
        if self._child.returncode < 0:
            how = f"by {signal_name(-self._child.returncode)}"
        return "\n".join(
            [
                f"time     {self._seconds:.3g} s, {used.ru_utime + used.ru_stime:.3g} s of CPU",
                f"memory   {memory}",
                f"ended    {how}",
            ]
        )


def _terminal() -> tuple[int, int]:
    """Return a terminal with the size of ours that passes bytes unchanged."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with contextlib.suppress(OSError):
        shape = fcntl.ioctl(2, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, shape)
    return ours, theirs
