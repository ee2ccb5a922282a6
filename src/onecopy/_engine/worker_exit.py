"""The end of a worker, and the error of the task that it was running."""

from __future__ import annotations

import signal
from typing import NamedTuple

from .. import errors
from .worker_handle import WorkerHandle


class WorkerExit(NamedTuple):
    """See the module.

    Attributes:
        worker: the worker, at its end.
        claimed: the last assignment that it had started.
        exitcode: or minus a signal's number; None if unknown.
        oom: the kernel's out-of-memory killer has killed a process since the last worker ended.
        memory: its peak of physical memory, in bytes, shared pages included.
        cut: a mapped file that was truncated while the worker had it: path, old and new size.
        traceback: written by faulthandler at a fatal signal, or by the worker when it could not go
            on.
    """

    worker: WorkerHandle
    claimed: int
    exitcode: int | None
    oom: bool
    memory: int | None
    cut: tuple[str, int, int] | None
    traceback: str

    def error(self, task: str) -> BaseException:
        """Return the error of the task that the worker was running."""
        error = self._error(task)
        worker = self.worker
        if worker.broken:
            why = f"what it wrote made no sense: {worker.broken}"
            error.add_note(f"the pool ended worker {worker.pid}; {why}")
        if self.traceback:
            # A note and not a cause: it survives pickling.
            said = self.traceback
            who = "faulthandler in " if said.startswith(("Fatal", "Timeout")) else ""
            error.add_note(f"{who}worker {worker.pid}, at its end:\n{said}")
        return error

    def _error(self, task: str) -> BaseException:
        verdict, pid = self.worker.verdict, self.worker.pid
        if verdict is not None and self.exitcode in (-signal.SIGKILL, None):
            return verdict
        if self.cut is not None:
            path, was, now = self.cut
            return errors.FileTruncated(
                pid, self.exitcode, task, self.oom, self.memory, path=path, was=was, now=now
            )
        return errors.WorkerDied(pid, self.exitcode, task, self.oom, self.memory)
