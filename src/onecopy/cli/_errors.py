"""The errors of commands: one line on standard error, and an exit status.

The statuses are those of the standard tools: 2 if the command line was wrong (no such module,
function, field, file), 1 if the work itself failed, 130 after Ctrl-C.
"""

from __future__ import annotations

from glob import has_magic

from ..errors import OnecopyError, printable

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class CommandError(OnecopyError):
    """Ends the command with one line and no traceback.

    Args:
        message: what happened and how to fix it, in one line.
        status: the exit status.
    """

    def __init__(self, message: str, status: int = USAGE) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return printable(" ".join(self.message.split()))


def unread(name: str, error: OSError) -> str:
    """Return that a file cannot be read, and why."""
    if isinstance(error, FileNotFoundError):
        name = str(error.filename or name)
        return (
            f"no file has a name like {name!r}" if has_magic(name) else f"{name!r} does not exist"
        )
    return f"{name!r} cannot be read: {reason(error)}"


def reason(error: BaseException) -> str:
    """Return another library's exception as a part of a line: its class and its message; of what
    the system refuses, its words alone."""
    if isinstance(error, OSError) and error.strerror:
        return " ".join(error.strerror.split())
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
