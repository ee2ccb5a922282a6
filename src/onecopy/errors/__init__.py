"""Every error that onecopy raises, in one tree.

```text
OnecopyError
├── NotEnoughMemory      (MemoryError)        a segment does not fit; nothing was touched
├── NotShared            (ValueError)         freeze or private on an array of the wrong kind
├── BadFile              (ValueError)         load met a file that it cannot read
├── MissingLibrary       (ImportError)        a format whose library is not installed
├── NotPicklable         (pickle.PicklingError)  names the attribute that cannot be pickled
│   └── ResultNotPicklable   (multiprocessing.pool.MaybeEncodingError)  a result
├── PoolClosed           (RuntimeError, ValueError)  work for a pool that takes none
├── UnsupportedPlatform  (OSError)            no way to share memory or start workers here
├── HostMismatch         a host of a cluster has other versions than the driver
├── TaskTimeout          (TimeoutError)       a task took longer than its ``timeout``
├── RemoteError          a worker's error that could not be rebuilt in this process
└── BrokenWorker         (concurrent.futures.process.BrokenProcessPool)
    ├── WorkerDied       a worker ended while it ran a task
    │   ├── FileTruncated    ... because the file that it was reading was truncated
    │   └── WorkerOutOfMemory    (MemoryError)  ... because it passed its ``memory_limit``
    ├── HostLost         a host of a cluster has gone, with work that is not run again
    ├── NoHosts          (TimeoutError)       no host of a cluster is left
    └── InitializerFailed    no worker could start; the pool is unusable
```

Each passes its arguments to ``super().__init__``, so it survives pickling, and each is a subclass
of the standard library's class that existing code already catches.

The last branch needs ``concurrent.futures.process``, whose import takes longer than the start of a
forked worker; it lives in ``_broken`` and is imported when first named.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from ._broken import (
        BrokenWorker,
        FileTruncated,
        HostLost,
        InitializerFailed,
        NoHosts,
        ResultNotPicklable,
        WorkerDied,
        WorkerOutOfMemory,
    )

__all__ = [
    "BadFile",
    "BrokenWorker",
    "FileTruncated",
    "HostLost",
    "HostMismatch",
    "InitializerFailed",
    "InsecureClusterWarning",
    "LoadWarning",
    "MissingLibrary",
    "NoHosts",
    "NotEnoughMemory",
    "NotPicklable",
    "NotShared",
    "OnecopyError",
    "PickledWarning",
    "PoolClosed",
    "RemoteError",
    "RemoteTraceback",
    "ResultNotPicklable",
    "SlowImportWarning",
    "TaskTimeout",
    "UnsupportedPlatform",
    "WorkerDied",
    "WorkerOutOfMemory",
]

_BROKEN = {
    "BrokenWorker",
    "FileTruncated",
    "HostLost",
    "InitializerFailed",
    "NoHosts",
    "ResultNotPicklable",
    "WorkerDied",
    "WorkerOutOfMemory",
}


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> Any:
        if name in _BROKEN:
            from . import _broken

            return getattr(_broken, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def import_broken_errors() -> None:
    """Import the last branch now."""
    from . import _broken as _broken


def human_bytes(count: int) -> str:
    """Return ``count`` bytes as people write them: ``4.58 GB``; powers of 1000."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.4g} TB"


def signal_name(number: int) -> str:
    """Return the name of a signal, ``SIGKILL``; ``signal 35`` for one of real time, most of which have none."""
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def how_it_ended(exitcode: int | None) -> str:
    """Return how a process has ended, for a sentence about it.

    Args:
        exitcode: its exit code, or minus the number of the signal that ended it; None: unknown.
    """
    if exitcode is None:
        return "ended for an unknown reason"
    if exitcode >= 0:
        return f"exited with code {exitcode}"
    return f"was killed by {signal_name(-exitcode)}"


# Of the characters that print nothing these two are in names and signs of many scripts.
_JOINERS = "\u200c\u200d"
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str, kept: str = "") -> str:
    """``text`` with what a terminal would obey, and not show, written as escapes.

    Args:
        text: of a file, or of anybody else.
        kept: characters that stay, such as line ends.
    """
    if text.isprintable():
        return text
    from unicodedata import category

    return "".join(
        repr(each)[1:-1]
        if each not in kept and each not in _JOINERS and category(each) in _UNSEEN
        else each
        for each in text
    )


def kind_of(value: object) -> str:
    """Return the type of ``value`` as a sentence names it: ``an int``, ``a str``."""
    name = type(value).__name__
    return f"{article(name)} {name}"


def article(noun: str) -> str:
    """Return ``a``, or ``an`` where the noun sounds so: ``an ndarray``."""
    return "an" if noun[:1] in tuple("aeioAEIO") or noun.startswith("ndarray") else "a"


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an error of any class. A frozen dataclass, for example, refuses new attributes:
    then the note is set without its ``__setattr__``."""
    try:
        error.add_note(note)
    except Exception:
        notes = [*object.__getattribute__(error, "__dict__").get("__notes__", ()), note]
        BaseException.__setattr__(error, "__notes__", notes)


class OnecopyError(Exception):
    """The root of the tree: catches everything that onecopy itself raises."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __copy__(self) -> Self:
        """Return a copy. Reducers that others register for all exceptions, as tblib does, are not
        asked: they do not rebuild every class."""
        rebuild, args, *state = cast("tuple[Any, ...]", self.__reduce_ex__(4))
        made: Self = rebuild(*args)
        if state and state[0]:
            made.__dict__.update(state[0])
        return made


class NotEnoughMemory(OnecopyError, MemoryError):
    """A segment does not fit into the memory (or disk) that is left.

    Raised before any page is touched, so nothing is lost and nothing is killed.

    Args:
        wanted: the requested bytes.
        available: the available bytes.
        where: where there is too little: ``"memory"``, or the directory of the backing file.
    """

    def __init__(self, wanted: int, available: int, where: str = "memory") -> None:
        super().__init__(wanted, available, where)
        self.wanted = wanted
        self.available = available
        self.where = where

    def __str__(self) -> str:
        return (
            f"wanted {human_bytes(self.wanted)} ({self.wanted} bytes) of {self.where}, "
            f"available {human_bytes(self.available)} ({self.available} bytes); "
            "free some, or work on smaller pieces"
        )


class NotShared(OnecopyError, ValueError):
    """An array is in the wrong kind of memory: for ``freeze``, for ``private``, or for another
    host."""


class HostMismatch(OnecopyError):
    """A host of a cluster has other versions than the driver: messages would mean something else
    there."""


class BadFile(OnecopyError, ValueError):
    """``load`` cannot read this file: the message says which, where and why.

    What it quotes of the file is escaped: a terminal obeys nothing of it.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(
            *(printable(each, kept="\n") if isinstance(each, str) else each for each in args)
        )


class MissingLibrary(OnecopyError, ImportError):
    """A library that is needed is not installed; the message names the extra of onecopy that
    installs it."""


class NotPicklable(OnecopyError, pickle.PicklingError):
    """A function, argument or result cannot be sent to another process.

    Args:
        path: the expression for the culprit: ``argument 0['lock']``.
        reason: pickle's message.
        advice: a way to fix it.

    An error raised by an object's own ``__reduce__`` or ``__getstate__`` is passed on, as in the
    standard library; a note on it names the object.
    """

    def __init__(self, path: str, reason: str, advice: str = "") -> None:
        super().__init__(path, reason)
        self.args: tuple[Any, ...] = (path, reason, advice)
        self.path = path
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path} cannot be pickled: {self.reason}{advice}"


class PoolClosed(OnecopyError, RuntimeError, ValueError):
    """The pool takes no more work, or ended before this work was done.

    ``multiprocessing.Pool`` raises ValueError here and executors raise RuntimeError; this is both.
    """


class TaskTimeout(OnecopyError, TimeoutError):
    """A task took longer than the ``timeout`` of ``pool.options``, and its worker was ended; or
    a call of many items took longer than its own ``timeout``.

    Args:
        task: the task.
        timeout: the seconds that it was given.
        then: what was done about it; a worker was ended when it is empty.
    """

    def __init__(self, task: str, timeout: float, then: str = "") -> None:
        super().__init__(task, timeout, then)
        self.task = task
        self.timeout = timeout
        self.then = then

    def __str__(self) -> str:
        then = self.then or "its worker was ended and replaced, the pool goes on"
        return f"{self.task} took longer than its timeout of {self.timeout:g} s; {then}"


class UnsupportedPlatform(OnecopyError, OSError):
    """This system has no way to share memory or start workers that onecopy can use."""


class RemoteError(OnecopyError):
    """A replacement for a worker's exception that could not be pickled or rebuilt.

    Args:
        type_name: the qualified name of the exception's class in the worker.
        message: its ``str()``.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        self.message = message

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}"


class RemoteTraceback(Exception):
    """The worker's traceback, as text: the ``__cause__`` of a task's error.

    Args:
        text: the traceback as the worker would have printed it.
        where: worker, function and failing argument (its type and a short repr).
    """

    def __init__(self, text: str, where: str = "") -> None:
        super().__init__(text, where)
        self.text = text
        self.where = where

    def __str__(self) -> str:
        return (
            f"\n{self.text.rstrip()}\n[{printable(self.where)}]" if self.where else f"\n{self.text}"
        )


class SlowImportWarning(UserWarning):
    """Workers import the main module, and that takes much time or memory."""


class PickledWarning(UserWarning):
    """Part of an object given to ``share`` cannot be shared and is pickled with each task."""


class InsecureClusterWarning(UserWarning):
    """A cluster's scheduler is open to any program that can reach it."""


class LoadWarning(UserWarning):
    """``load`` has made a guess about a file, or has left something out: the message says what, in
    which file, and which option changes it."""
