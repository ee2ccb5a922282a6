"""The present work of all hosts' workers, for ``onecopy top``: asked of the hosts when that asks.

The driver knows which assignments a host has; which of its workers runs which, and since when, only
the host knows. A host that does not answer in time is shown with its workers alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .._engine.engine import Engine
from .._engine.shown import Shown, pool_now
from .._engine.stats import running_of
from .._engine.workers import pools
from .._observe.present import UNKNOWN, PoolNow, Running, WorkerNow
from .host import Host
from .messages import Known
from .questions import Questions

# Seconds to wait for the hosts; who asks waits for 0.5 s.
_PATIENCE = 0.3


class Present:
    """See the module. Its thread starts when it is asked for the first time.

    Args:
        engine: the pool's.
        hosts: returns every host so far.
        questions: to hosts.
        elsewhere: the hosts are other machines.
        wake: the end of the pipe that wakes the service.

    Raises:
        OSError: there is no descriptor left.
    """

    def __init__(
        self,
        engine: Engine,
        hosts: Callable[[], list[Host]],
        questions: Questions,
        elsewhere: bool,
        wake: int,
    ) -> None:
        self._engine = engine
        self._hosts = hosts
        self._questions = questions
        self._elsewhere = elsewhere
        self._number = next(pools)
        self._shown = Shown(wake, self._pool)
        self._due = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def asked(self) -> None:
        """Answer soon. One thread, the service's: it waits for no host."""
        self._due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="onecopy-present", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join()
        self._shown.close()

    def after_fork(self) -> None:
        """Close, in a forked child, what belongs to the parent."""
        self._shown.close()

    def _run(self) -> None:
        while self._due.wait() and not self._closed:
            self._due.clear()
            self._shown.show()

    def _pool(self) -> PoolNow:
        hosts = self._hosts()
        answers: dict[Host, list[Known]] = self._questions.ask(hosts, "present", _PATIENCE)
        there = (worker for host in hosts for worker in self._workers(host, answers.get(host)))
        return pool_now(self._engine, self._number, there, elsewhere=self._elsewhere)

    def _workers(self, host: Host, answer: list[Known] | None) -> list[WorkerNow]:
        known = {each[0]: each for each in answer or ()}
        pss: dict[int, Any] = {}
        if self._elsewhere:
            pss = {pid: size for _, pid, _, _, size, *_ in host.memory.latest()}
        found = []
        for number, row in list(host.workers.items()):
            worker, pid, gone = row[0], row[1], row[4]
            if not pid or gone:
                continue
            now = WorkerNow(worker, pid, True, UNKNOWN, host.name, pss.get(pid, UNKNOWN))
            if number in known:
                _, ready, tasks, assignment, spent, cpu = known[number]
                running = self._running(host, worker, pid, assignment, spent)
                now = now._replace(ready=ready, tasks=tasks, cpu=cpu, running=running)
            found.append(now)
        return found

    def _running(
        self, host: Host, worker: int, pid: int, assignment: int, spent: int
    ) -> Running | None:
        with self._engine.core.lock:
            entry = self._engine.core.assigned.get(assignment)
        if entry is None:
            return None
        return running_of(entry, worker, pid, spent, host.name)
