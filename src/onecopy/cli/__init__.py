"""The command line: ``onecopy COMMAND``, one file per command.

Typer parses (see ``_application``). A command only checks its arguments and returns the work, and
``main`` runs it. So errors, Ctrl-C and exit statuses are handled here, once, for every command.
Results go to standard output and everything else to standard error.

Nothing heavy is imported before it is needed, not even Typer, rich and NumPy: the start-up counts
in each run, and a Ctrl-C in it must be quiet too.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ._errors import FAILED, INTERRUPTED, CommandError

# The errors of writing to a stream if there is no room; for files, the errors have names.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit status.

    Args:
        arguments: the words after ``onecopy`` on the command line; ``sys.argv`` if None.
    """
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        # A second Ctrl-C would interrupt the interpreter's own end, with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough (`onecopy ... | head`).
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
    """Drop buffered output, so that it does not fail once more when the interpreter flushes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _quick(arguments: list[str]) -> Callable[[], int] | None:
    """Return the work of a plain ``onecopy doctor``, without Typer; None for all other commands.

    What the doctor takes before and after the program is added to the program's time.
    """
    if arguments[:1] != ["doctor"]:
        return None
    from . import _doctor_words

    wishes = _doctor_words.read(arguments[1:])
    if wishes is None:
        return None
    from ._doctor_run import work

    return work(wishes)


def _run(arguments: list[str]) -> int:
    try:
        work = _quick(arguments)
        if work is not None:
            return work()
        from ._application import parse

        return parse(arguments)()
    except CommandError as error:
        print(f"onecopy: {error}", file=sys.stderr)
        return error.status
