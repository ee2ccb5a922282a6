"""``spawn``: every worker is a fresh interpreter of its own."""

from __future__ import annotations

import subprocess

from . import interpreter


class SpawnLauncher:
    """A ``Launcher`` (see there); its workers are children of this process.

    Args:
        threads: the cap for native thread pools, or None.
        preload: modules that each worker imports before it is ready.
    """

    def __init__(self, threads: int | None, preload: list[str]) -> None:
        self._threads = threads
        self._preload = preload
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._news: list[tuple[str, int, int]] = []

    def fileno(self) -> int:
        return -1

    def start(self, worker: int, sock: int) -> None:
        process = interpreter.start("worker", sock, self._threads, self._preload)
        self._processes[worker] = process
        self._news.append(("pid", worker, process.pid))

    def reap(self, worker: int) -> None:
        process = self._processes.pop(worker)
        # One that has begun to exit takes no more signals: its own exit code stays.
        process.kill()
        self._news.append(("exit", worker, process.wait()))

    def news(self) -> list[tuple[str, int, int]]:
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        for worker in list(self._processes):
            self.reap(worker)
