"""The faults of a chaos run: what happens to workers, to the zygote, to the pool, to the owner.

One thread injects one after another, by lot, at random moments. What it needs to see of a
task that it gave to the pool itself is judged like any other's, later: the faults do not
wait for each other unless they have to.

Workers that end before they are ready count against the pool, which gives up after three in
a row: that is what it is to do, and not looked for here. So never more than two are killed
between two moments at which all are ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from random import Random
from typing import Any

import psutil

from onecopy._cluster.engine import ClusterEngine
from onecopy._cluster.host import State
from onecopy.errors import PoolClosed, TaskTimeout, WorkerOutOfMemory
from tests.chaos import tasks
from tests.chaos.epoch import Epoch
from tests.chaos.model import Ledger, Task, never, outcome_of
from tests.chaos.tasks import value_of

# How often to look at a state that nothing tells of, in seconds.
_LOOK = 0.002
_MOST_WAIT = 0.15
_LIMIT = 120 << 20
_HOARD = 180 << 20


class Stage:
    """The pool that is in use; another takes its place now and then."""

    def __init__(self, make: Callable[[], Epoch]) -> None:
        self._make = make
        self.epoch = make()
        self.stop = threading.Event()

    def renew(self) -> Epoch:
        """Puts a new pool in the place of the old one, which it returns."""
        old, self.epoch = self.epoch, self._make()
        return old


class Faults:
    """See the module.

    Args:
        ledger: is told who is to be killed, and judges.
        stage: has the pool.
        rng: of its own.
        method: how workers start: not all faults are possible with all.
    """

    def __init__(self, ledger: Ledger, stage: Stage, rng: Random, method: str) -> None:
        self.injected: Counter[str] = Counter()
        self._ledger = ledger
        self._stage = stage
        self._rng = rng
        self._kinds = list(_KINDS)
        if method == "forkserver":
            self._kinds.append((2, "zygote killed", Faults.kill_zygote))
        if method == "hosts":
            self._kinds += _OF_HOSTS
        self._never = threading.Event()
        self._killed = 0
        self._waiting: list[tuple[Epoch, Task, Future[Any], bool]] = []

    def step(self) -> None:
        """Waits a random while, then injects one fault."""
        self._stage.stop.wait(self._rng.uniform(0, _MOST_WAIT) ** 2 / _MOST_WAIT)
        weights, names, injects = zip(*self._kinds, strict=True)
        at = self._rng.choices(range(len(names)), weights)[0]
        # A fault that finds no victim, or a pool that is at its end, was none.
        with contextlib.suppress(PoolClosed, psutil.NoSuchProcess):
            if injects[at](self):
                self.injected[names[at]] += 1
        self._judge_done()

    def finish(self) -> None:
        """Waits for what is still to be judged."""
        for epoch, task, future, cancelled in self._waiting:
            self._ledger.judge(epoch, task, outcome_of(future.result), cancelled)
        self._waiting.clear()

    def _judge_done(self) -> None:
        waiting = []
        for one in self._waiting:
            if one[2].done():
                self._ledger.judge(one[0], one[1], outcome_of(one[2].result), one[3])
            else:
                waiting.append(one)
        self._waiting = waiting

    # Waiting for a state.

    def _until(self, condition: Callable[[], bool]) -> bool:
        """Blocks until it holds; False when the run is to stop first."""
        while not condition():
            if self._stage.stop.is_set():
                return condition()
            self._never.wait(_LOOK)
        return True

    def _allowed(self, epoch: Epoch) -> bool:
        """True if one more worker may be killed. See the module."""
        self._killed += 1
        if self._killed > 2:
            self._killed = 1
            return self._until(lambda: _all_ready(epoch))
        return True

    # Killing from outside.

    def _victim(self, epoch: Epoch) -> psutil.Process | None:
        pids = epoch.pool.pids()
        if not pids or not self._allowed(epoch):
            return None
        worker = psutil.Process(self._rng.choice(pids))
        # A pid may be another's by now.
        return worker if self._is_worker(worker) else None

    def _is_worker(self, process: psutil.Process) -> bool:
        # Its parent may be a zygote, and that one's an agent.
        return os.getpid() in [each.pid for each in process.parents()[:3]]

    def kill(self) -> bool:
        return self._kill(self._stage.epoch)

    def _kill(self, epoch: Epoch) -> bool:
        worker = self._victim(epoch)
        if worker is None:
            return False
        self._ledger.blame([worker])
        worker.kill()
        return True

    def stop_and_continue(self) -> bool:
        worker = self._victim(self._stage.epoch)
        if worker is None:
            return False
        worker.suspend()
        self._stage.stop.wait(self._rng.uniform(0, 0.3))
        worker.resume()
        return True

    def stop_and_kill(self) -> bool:
        worker = self._victim(self._stage.epoch)
        if worker is None:
            return False
        worker.suspend()
        self._stage.stop.wait(self._rng.uniform(0, 0.2))
        self._ledger.blame([worker])
        worker.kill()
        return True

    def kill_zygote(self) -> bool:
        """Its workers go with it, and whatever they had begun."""
        epoch = self._stage.epoch
        self._killed = 2
        pids = epoch.pool.pids()
        if not pids or not self._allowed(epoch):
            return False
        zygote = psutil.Process(psutil.Process(pids[0]).ppid())
        if zygote.ppid() != os.getpid():
            return False
        zygote.suspend()  # it makes no more of them while we look
        self._ledger.blame(zygote.children())
        zygote.kill()
        return True

    # Hosts. One is always left.

    def _host(self) -> tuple[Any, int] | None:
        """The carrier, and a host of several that are there."""
        engine = self._stage.epoch.pool._engine
        if not isinstance(engine, ClusterEngine):
            return None
        there = [host.info.key for host in engine._table.all() if host.state is State.READY]
        return (engine._carrier, self._rng.choice(there)) if len(there) > 1 else None

    def kill_host(self) -> bool:
        """Its workers go with it, and whatever they had begun is run again."""
        found = self._host()
        if found is None:
            return False
        carrier, key = found
        self._ledger.lose_host()
        carrier.end(key)
        return True

    def cut_link(self) -> bool:
        found = self._host()
        if found is None:
            return False
        carrier, key = found
        self._ledger.lose_host()
        carrier._agents[key][1].shut()
        return True

    def stop_host(self) -> bool:
        """A host that does not answer for a moment is not lost."""
        found = self._host()
        if found is None:
            return False
        carrier, key = found
        agent = psutil.Process(carrier._agents[key][0].pid)
        agent.suspend()
        self._stage.stop.wait(self._rng.uniform(0, 0.3))
        agent.resume()
        return True

    # Tasks that take their worker with them.

    def _submit(self, task: Task, call: Callable[[], Future[Any]]) -> bool:
        try:
            future = call()
        except PoolClosed as error:
            self._ledger.refused(self._stage.epoch, task.number, 1, error)
            return False
        self._waiting.append((self._stage.epoch, task, future, False))
        return True

    def _lethal(self, function: Callable[[int], None], exitcode: int) -> bool:
        number = self._ledger.take()
        task = Task(number, never, (), exitcode)
        return self._submit(task, lambda: self._stage.epoch.pool.submit(function, number))

    def leave(self) -> bool:
        return self._lethal(tasks.leave, 7)

    def quit(self) -> bool:
        return self._lethal(tasks.quit, 5)

    def crash(self) -> bool:
        return self._lethal(tasks.crash, -signal.SIGSEGV)

    def hang(self) -> bool:
        """Beyond its timeout; now and then its worker is stopped besides."""
        number = self._ledger.take()
        task = Task(number, never, (TaskTimeout,))
        view = self._stage.epoch.pool.options(timeout=self._rng.uniform(0.01, 0.3))
        if not self._submit(task, lambda: view.submit(tasks.linger, number)):
            return False
        if self._rng.random() < 0.3:
            future = self._waiting[-1][2]
            self._until(lambda: self._ledger.begun(number) or future.done())
            pid = int(self._ledger.pids[number])
            if pid and not future.done():
                worker = psutil.Process(pid)
                if self._is_worker(worker):
                    worker.suspend()
        return True

    def hoard(self) -> bool:
        number = self._ledger.take()
        task = Task(number, never, (WorkerOutOfMemory,))
        view = self._stage.epoch.pool.options(memory_limit=_LIMIT)
        return self._submit(task, lambda: view.submit(tasks.hoard, number, _HOARD))

    # Cancelling.

    def cancel_running(self) -> bool:
        epoch = self._stage.epoch
        retries = self._rng.choice([0, 1])
        number = self._ledger.take(1, retries)
        future = epoch.pool.options(retries=retries).submit(tasks.linger, number)
        self._until(lambda: self._ledger.begun(number) or future.done())
        cancelled = epoch.pool.cancel(future)
        self._waiting.append((epoch, Task(number, never), future, cancelled))
        return cancelled

    def cancel_some(self) -> bool:
        """Of many short tasks, some: they wait, are on their way, run, or are done."""
        epoch = self._stage.epoch
        retries = self._rng.choice([0, 2])
        first = self._ledger.take(20, retries)
        view = epoch.pool.options(retries=retries) if retries else epoch.pool
        futures = []
        for number in range(first, first + 20):
            try:
                futures.append(view.submit(tasks.nap, number, self._rng.uniform(0, 0.01)))
            except PoolClosed as error:
                self._ledger.refused(epoch, number, first + 20 - number, error)
                break
        chosen = {self._rng.randrange(20) for _ in range(3)}
        self._stage.stop.wait(self._rng.uniform(0, 0.1))
        any_cancelled = False
        for at, future in enumerate(futures):
            cancelled = at in chosen and epoch.pool.cancel(future)
            any_cancelled |= cancelled
            number = first + at
            task = Task(number, partial(operator.eq, value_of(number)))
            self._waiting.append((epoch, task, future, cancelled))
        return any_cancelled

    def cancel_awaited(self) -> bool:
        """The task of an event loop that waits for it."""
        epoch = self._stage.epoch
        number = self._ledger.take()
        delay = self._rng.uniform(0, 0.1)

        async def run() -> Any:
            async with asyncio.timeout(delay):
                return await epoch.pool.run(tasks.linger, number)

        outcome = outcome_of(lambda: asyncio.run(run()))
        self._ledger.judge(epoch, Task(number, never, (TimeoutError,)), outcome)
        return True

    # The pool itself.

    def close(self) -> bool:
        """A pool that is closed does what it was given, also while its workers are killed."""
        old = self._stage.renew()
        old.close()
        for _ in range(self._rng.randrange(3)):
            self._stage.stop.wait(self._rng.uniform(0, 0.05))
            with contextlib.suppress(psutil.NoSuchProcess):
                if self._killed < 2:
                    self._kill(old)
        self._killed = 2
        old.pool.join()
        return True

    def terminate(self) -> bool:
        old = self._stage.renew()
        self._stage.stop.wait(self._rng.uniform(0, 0.05))
        old.terminate()
        old.pool.join()
        self._killed = 2
        return True

    # The owner.

    def fork(self) -> bool:
        """A child of the owner, in the middle of everything: the pool is not its own."""
        uses = self._rng.random() < 0.5
        lives = self._rng.uniform(0, 0.05)
        with self._ledger.forking():
            child = os.fork()
            if not child:
                self._be_a_child(uses, lives)
            _, status = os.waitpid(child, 0)
        if status:
            self._ledger.lose(f"a forked child that used the pool ended with status {status}")
        return True

    def _be_a_child(self, uses: bool, lives: float) -> None:
        code = 1
        try:
            if uses:
                self._stage.epoch.pool.submit(tasks.tick, 0)
            else:
                time.sleep(lives)
                code = 0
        except PoolClosed:
            code = 0
        finally:
            os._exit(code)


def _all_ready(epoch: Epoch) -> bool:
    """True if the pool has all workers that it can have."""
    if not epoch.on_hosts:
        return epoch.pool.stats().workers == epoch.pool.workers
    there = [host for host in epoch.pool.hosts() if host.state != "gone"]
    return all(len(host.pids) == host.workers for host in there)


_KINDS: list[tuple[int, str, Callable[[Faults], bool]]] = [
    (30, "worker killed", Faults.kill),
    (8, "worker stopped, continued", Faults.stop_and_continue),
    (8, "worker stopped, killed", Faults.stop_and_kill),
    (6, "os._exit in a task", Faults.leave),
    (5, "sys.exit in a task", Faults.quit),
    (6, "SIGSEGV in a task", Faults.crash),
    (8, "hang under a timeout", Faults.hang),
    (4, "memory limit passed", Faults.hoard),
    (6, "running task cancelled", Faults.cancel_running),
    (8, "some tasks cancelled", Faults.cancel_some),
    (4, "awaiting task cancelled", Faults.cancel_awaited),
    (3, "close, join, new pool", Faults.close),
    (3, "terminate, new pool", Faults.terminate),
    (8, "fork of the owner", Faults.fork),
]
# Lost hosts do not come back: there are more new pools.
_OF_HOSTS: list[tuple[int, str, Callable[[Faults], bool]]] = [
    (8, "host killed", Faults.kill_host),
    (4, "link cut", Faults.cut_link),
    (4, "host stopped, continued", Faults.stop_host),
    (6, "close, join, new pool", Faults.close),
]
