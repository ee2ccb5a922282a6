"""The errors that a dead or unusable worker causes.

They are subclasses of ``BrokenProcessPool``, whose module takes about 10 ms to import;
``onecopy.errors`` exports them under its own name.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from . import NotPicklable, OnecopyError, how_it_ended, human_bytes

if TYPE_CHECKING:
    from concurrent.futures.process import BrokenProcessPool

    class MaybeEncodingError(Exception):
        """The class of ``multiprocessing.pool``, which typeshed lacks."""
else:
    from multiprocessing.pool import MaybeEncodingError

    try:
        from concurrent.futures.process import BrokenProcessPool
    except RuntimeError:
        # "can't register atexit after shutdown": this import happens first while the interpreter
        # ends. Then the program does not have the real class and cannot catch anything with it, so
        # the base of the type replaces it.
        from concurrent.futures import BrokenExecutor as BrokenProcessPool


class BrokenWorker(OnecopyError, BrokenProcessPool):
    """The root of errors of workers themselves."""

    __module__ = "onecopy.errors"


class WorkerDied(BrokenWorker):
    """A worker ended while it ran a task; the pool replaced it and goes on.

    Args:
        pid: the worker's process id.
        exitcode: its exit code, or minus the number of the signal that ended it;
            None if unknown.
        task: the task that it was running.
        oom: True if the kernel's out-of-memory killer killed a process in that time.
        memory: the worker's peak of physical memory in bytes, shared pages included (peak RSS,
            getrusage(2)); None if unknown.
    """

    __module__ = "onecopy.errors"

    def __init__(
        self,
        pid: int,
        exitcode: int | None,
        task: str = "",
        oom: bool = False,
        memory: int | None = None,
    ) -> None:
        super().__init__(pid, exitcode, task, oom, memory)
        self.pid = pid
        self.exitcode = exitcode
        self.task = task
        self.oom = oom
        self.memory = memory

    @property
    def signal(self) -> signal.Signals | int | None:
        """The signal that ended the worker, or None if it exited by itself."""
        if self.exitcode is None or self.exitcode >= 0:
            return None
        try:
            return signal.Signals(-self.exitcode)
        except ValueError:
            return -self.exitcode

    def __str__(self) -> str:
        text = f"worker {self.pid} {how_it_ended(self.exitcode)}"
        if self.oom:
            text += " (the kernel's out-of-memory killer)"
        if self.memory is not None:
            text += f", having held up to {human_bytes(self.memory)},"
        if self.task:
            text += f" while it ran {self.task}"
        return text + "; only that task is lost, the pool goes on"


class WorkerOutOfMemory(WorkerDied, MemoryError):
    """A worker was killed because a task exceeded the ``memory_limit`` of ``pool.options``.

    Args:
        pid: the worker's process id; this, and the next three, as for ``WorkerDied``.
        exitcode: its exit code, or minus the number of the signal that ended it.
        task: the task that it was running.
        oom: True if the kernel's out-of-memory killer killed a process in that time.
        memory: bytes of private memory that the worker held at the last check.
        limit: the limit in bytes.
    """

    __module__ = "onecopy.errors"

    def __init__(
        self,
        pid: int,
        exitcode: int | None = -signal.SIGKILL,
        task: str = "",
        oom: bool = False,
        memory: int | None = None,
        limit: int = 0,
    ) -> None:
        super().__init__(pid, exitcode, task, oom, memory)
        self.args: tuple[Any, ...] = (pid, exitcode, task, oom, memory, limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"{self.task} brought worker {self.pid} to {human_bytes(self.memory or 0)} of memory "
            f"of its own, beyond its memory_limit of {human_bytes(self.limit)}; the worker was "
            "ended and replaced, the pool goes on"
        )


class FileTruncated(WorkerDied):
    """A worker read beyond the end of a mapped file that was truncated.

    Args:
        pid: the worker's process id; 0 if the owner saw the change before a worker touched the
            file. This, and the next four, as for ``WorkerDied``.
        exitcode: its exit code, or minus the number of the signal that ended it.
        task: the task that it was running.
        oom: True if the kernel's out-of-memory killer killed a process in that time.
        memory: the worker's peak of physical memory in bytes.
        path: the file.
        was: its size in bytes when it was mapped.
        now: its size in bytes when the fault was examined.
    """

    __module__ = "onecopy.errors"

    def __init__(  # noqa: PLR0913  # it is pickled as its arguments
        self,
        pid: int,
        exitcode: int | None,
        task: str = "",
        oom: bool = False,
        memory: int | None = None,
        path: str = "",
        was: int = 0,
        now: int = 0,
    ) -> None:
        super().__init__(pid, exitcode, task, oom, memory)
        self.args: tuple[Any, ...] = (pid, exitcode, task, oom, memory, path, was, now)
        self.path = path
        self.was = was
        self.now = now

    def __str__(self) -> str:
        who = f"worker {self.pid} {how_it_ended(self.exitcode)}: " if self.pid else ""
        ran = f" while it was used by {self.task}" if self.task else ""
        return (
            f"{who}the mapped file {self.path!r} was truncated from {self.was} to {self.now} "
            f"bytes{ran}; load it again when it is whole"
        )


class HostLost(BrokenWorker):
    """A host of the pool has gone, and work that it held is not given to another.

    Args:
        host: its name.
        why: the reason, as far as it is known.
        task: the task; empty if it is about none.
        hosts: the names of all hosts that were lost with this task; empty if it is about none.
    """

    __module__ = "onecopy.errors"

    def __init__(
        self, host: str, why: str = "", task: str = "", hosts: tuple[str, ...] = ()
    ) -> None:
        super().__init__(host, why, task, hosts)
        self.host = host
        self.why = why
        self.task = task
        self.hosts = hosts

    def __str__(self) -> str:
        ran = f" while it had {self.task}" if self.task else ""
        why = f": {self.why}" if self.why else ""
        if len(self.hosts) < 2:
            return f"{self.host} was lost{ran}{why}"
        names = ", ".join(self.hosts)
        return (
            f"{self.host} was lost{ran}{why}; it was given out {len(self.hosts)} times, and each "
            f"time the host was lost ({names}): it may be what ends them, or reruns= allows more"
        )


class NoHosts(BrokenWorker, TimeoutError):
    """No host of the pool is left, and none has come in time."""

    __module__ = "onecopy.errors"


class InitializerFailed(BrokenWorker):
    """No worker could be started: the initializer raised, or every start failed.

    The pool takes no more work; each waiting task gets this error, with the worker's own error as
    its cause if there is one.
    """

    __module__ = "onecopy.errors"


class ResultNotPicklable(NotPicklable, MaybeEncodingError):
    """A task ran, but its result cannot be sent back.

    Args:
        path: the expression for the culprit: ``result['lock']``.
        reason: pickle's message.
        value: a short repr of the result.
    """

    __module__ = "onecopy.errors"

    def __init__(self, path: str, reason: str, value: str = "") -> None:
        NotPicklable.__init__(self, path, reason, "return plain data instead")
        self.args: tuple[Any, ...] = (path, reason, value)
        self.exc = reason
        self.value = value

    def __str__(self) -> str:
        what = f"; the result was {self.value}" if self.value else ""
        return f"{self.path} cannot be pickled: {self.reason}{what}; {self.advice}"
