"""Worker processes under the standard library's private names, for programs that read them.

``Pool._pool`` and ``ProcessPoolExecutor._processes`` are undocumented, but programs read them: dask
counts the first, and a well-known recipe to end hanging workers goes through the second. Both are
provided here with as much of ``multiprocessing.Process`` as such programs call. Only the engine
starts, reaps and replaces processes: calls on a handle affect it only through what happens to the
process.

Imported on demand: ``psutil`` takes 10 ms.
"""

from __future__ import annotations

from contextlib import suppress

import psutil


class WorkerProcess:
    """A worker process, for programs that inspect it or kill it.

    Args:
        pid: its process id; None: it has not started.

    A handle refers to the process that had the pid when the handle was created. If the pid is
    reused, the other process is never signalled.
    """

    def __init__(self, pid: int | None) -> None:
        self.pid = self.ident = pid
        self.daemon = True
        self._process: psutil.Process | None = None
        if pid is not None:
            with suppress(psutil.NoSuchProcess):
                self._process = psutil.Process(pid)

    def is_alive(self) -> bool:
        """Return True if the process exists and is not merely waiting to be reaped."""
        process = self._process
        try:
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def terminate(self) -> None:
        """Send it SIGTERM."""
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.terminate()

    def kill(self) -> None:
        """Send it SIGKILL."""
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                self._process.kill()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has gone, or for ``timeout`` seconds."""
        if self._process is not None:
            with suppress(psutil.TimeoutExpired):
                self._process.wait(timeout)

    def __repr__(self) -> str:
        return f"<onecopy worker process {self.pid}>"


def handles(workers: int, pids: list[int]) -> list[WorkerProcess]:
    """Return one handle for each worker that a complete pool has."""
    missing = [None] * (workers - len(pids))
    # The newest: a worker that was replaced may still be running its exit handlers.
    return [WorkerProcess(pid) for pid in [*pids[-workers:], *missing]]
