"""The command line: ``onecopy COMMAND``, one file per command.

Typer parses (see ``_application``); a command only checks what it was given and returns
what is to be done, and ``main`` does it. So errors, Ctrl-C and exit statuses are handled
here, once, and alike for every command. Results go to standard output and everything else
to standard error.

Nothing heavy is imported before it is needed, Typer, rich and NumPy neither: the start-up
counts in each run, and a Ctrl-C in it has to be quiet too.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from ._errors import FAILED, INTERRUPTED, CommandError

# What writing to a stream fails with when there is no room; of files, their names are known.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs a command and ends the process with its exit status.

    Args:
        arguments: what stands behind ``onecopy`` on the command line; ``sys.argv`` if None.
    """
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        # A second Ctrl-C would interrupt the interpreter's own end, with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`onecopy ... | head`).
        _drop_output()
        status = FAILED
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            raise
        print(f"onecopy: standard output cannot be written: {error.strerror}", file=sys.stderr)
        _drop_output()
        status = FAILED
    raise SystemExit(status)


def _drop_output() -> None:
    """What is still buffered must not fail once more when the interpreter flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    try:
        from ._application import parse

        return parse(arguments)()
    except CommandError as error:
        print(f"onecopy: {error}", file=sys.stderr)
        return error.status
