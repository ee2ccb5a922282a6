"""Worker processes as programs know them from the standard library's private names.

``Pool._pool`` and ``ProcessPoolExecutor._processes`` are no documented part of it, and are
read all the same: dask counts the one, and a well-known way to end what hangs goes through
the other. Both are answered here with as much of ``multiprocessing.Process`` as such
programs call. The processes are made, waited for and replaced by the engine alone: nothing
that is done to a handle tells the engine anything but what the process itself does.

Imported when somebody asks: ``psutil`` takes 10 ms.
"""

from __future__ import annotations

from contextlib import suppress

import psutil


class WorkerProcess:
    """A worker process, for whoever looks at it or ends it.

    Args:
        pid: its process id; None: it has not started.

    A handle keeps to the process that had the pid when the handle was made. The pid may be
    another process's later, which is never signalled.
    """

    def __init__(self, pid: int | None) -> None:
        self.pid = self.ident = pid
        self.daemon = True
        self._process: psutil.Process | None = None
        if pid is not None:
            with suppress(psutil.NoSuchProcess):
                self._process = psutil.Process(pid)

    def is_alive(self) -> bool:
        """Is it there, and not merely waiting to be reaped?"""
        process = self._process
        try:
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def terminate(self) -> None:
        """Sends it SIGTERM."""
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.terminate()

    def kill(self) -> None:
        """Sends it SIGKILL."""
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        """Waits until it has gone, or for ``timeout`` seconds."""
        if self._process is not None:
            with suppress(psutil.TimeoutExpired):
                self._process.wait(timeout)

    def __repr__(self) -> str:
        return f"<onecopy worker process {self.pid}>"


def handles(workers: int, pids: list[int]) -> list[WorkerProcess]:
    """One for each worker that a pool has when all are up."""
    missing = [None] * (workers - len(pids))
    # The newest: a worker that was replaced may still be running what is due at its end.
    return [WorkerProcess(pid) for pid in [*pids[-workers:], *missing]]
