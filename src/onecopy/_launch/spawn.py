"""``spawn``: every worker is a fresh interpreter."""

from __future__ import annotations

from . import interpreter
from .zygote import end


class SpawnLauncher:
    """A ``Launcher`` (see there); its workers are children of this process.

    Args:
        threads: the cap for native thread pools, or None.
        environment: of the workers.
    """

    def __init__(self, threads: int | None, environment: dict[str, str]) -> None:
        self._threads = threads
        self._environment = environment
        self._pids: dict[int, int] = {}
        self._news: list[tuple[str, int, int, int]] = []

    def fileno(self) -> int:
        return -1

    def pids(self) -> list[int]:
        return []

    def start(self, worker: int, sock: int) -> None:
        pid = interpreter.start("worker", sock, self._threads, self._environment)
        self._pids[worker] = pid
        self._news.append(("pid", worker, pid, 0))

    def reap(self, worker: int) -> None:
        self._news.append(("exit", worker, *end(self._pids.pop(worker))))

    def freeze(self, segment: int) -> bool:
        return False  # a fresh interpreter inherits no mapping

    def poll_events(self) -> list[tuple[str, int, int, int]]:
        news, self._news = self._news, []
        return news

    def close(self) -> None:
        for worker in list(self._pids):
            self.reap(worker)
