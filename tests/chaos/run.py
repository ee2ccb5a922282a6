"""One run under one start method: clients, faults, a watchdog, and what is found afterwards.

All choices follow from the seed, each thread having a generator of its own. How the threads
and processes interleave does not: the same seed makes the same kinds of things happen again,
at other instants.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Literal

import psutil

import onecopy as oc
from onecopy._engine.processes import ProcessEngine
from onecopy.pool import Method
from tests import leaks
from tests.chaos import tasks
from tests.chaos.epoch import Epoch
from tests.chaos.faults import Faults, Stage
from tests.chaos.model import Ledger
from tests.chaos.work import Client

_CLIENTS = 3
HOSTS = 3
# No outcome and no fault for so long is a hang, in seconds.
_PATIENCE = 60.0
_TICK = 0.25
# Batches of tiny tasks are held back when they are this far ahead of the faults.
_AHEAD = 3000


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Attributes:
        method: how workers start; ``"hosts"``: on hosts that are processes of this machine.
        seed: of all choices.
        seconds: it ends after this long at the latest.
        tasks, faults: it ends when it has had as many of both.
        workers: of each pool.
    """

    method: Method | Literal["hosts"]
    seed: int
    seconds: float
    tasks: int
    faults: int
    workers: int

    def __str__(self) -> str:
        """The command that does the same again."""
        backing = os.environ.get("ONECOPY_BACKING")
        return (
            (f"ONECOPY_BACKING={backing} " if backing else "")
            + f"python -m tests.chaos --seed {self.seed} --method {self.method} "
            + f"--seconds {self.seconds:g} --tasks {self.tasks} --faults {self.faults} "
            + f"--workers {self.workers}"
        )


@dataclass
class Report:
    """The result of a run.

    Attributes:
        lost: what was not as it must be, line by line.
        hung: what did not come to an end.
        leaked: what was left behind.
    """

    plan: Plan
    tasks: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """True if anything is wrong."""
        return bool(self.lost or self.hung or self.leaked)

    def __str__(self) -> str:
        """The faults found, and how to see them again."""
        lines = [f"{self.plan.method}: this fails, in its way, with\n  {self.plan}"]
        for name, found in (("lost", self.lost), ("hung", self.hung), ("leaked", self.leaked)):
            lines += [f"  {name}: {what}" for what in found]
        return "\n".join(lines)


def run(plan: Plan) -> Report:
    """Carry out the plan; blocks until all has been judged, or until it hangs."""
    before = leaks.Snapshot()
    with tempfile.TemporaryDirectory() as folder:
        report = _Run(plan, Path(folder)).report()
    if not report.hung:
        report.leaked = [str(leak) for leak in leaks.settle(before, patience=20)]
    return report


class _Run:
    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._began = monotonic()
        self._folder = folder
        self._ledger = Ledger(folder if plan.method == "hosts" else None)
        self._stage = Stage(self._make)
        self._faults = Faults(self._ledger, self._stage, self._rng("faults"), plan.method)
        self._errors: list[str] = []

    def _rng(self, who: str) -> Random:
        return Random(f"{self._plan.seed}/{self._plan.method}/{who}")

    def _make(self) -> Epoch:
        plan = self._plan
        if plan.method == "hosts":
            files = (str(self._folder / "runs"), str(self._folder / "pids"))
            hosts = oc.loopback(HOSTS, max(1, plan.workers // 2))
            return Epoch(oc.Pool(None, tasks.set_up_files, files, cluster=hosts), on_hosts=True)
        tables = (self._ledger.runs, self._ledger.pids)
        return Epoch(oc.Pool(plan.workers, tasks.set_up, tables, method=plan.method))

    # The threads.

    def _client(self, name: str) -> None:
        client = Client(self._ledger, self._rng(name))
        choice = self._rng(f"{name}'s choice")
        while not self._stage.stop.is_set():
            batch = choice.random() < 0.5 and not self._too_far_ahead()
            client.step(self._stage.epoch, batch=batch)

    def _too_far_ahead(self) -> bool:
        plan, faults = self._plan, self._faults.injected.total()
        due = plan.tasks if faults >= plan.faults else plan.tasks * faults // plan.faults
        return self._ledger.settled > due + _AHEAD

    def _injector(self) -> None:
        while not self._stage.stop.is_set():
            self._faults.step()
        self._faults.finish()

    def _guarded(self, what: Callable[[], None]) -> None:
        """A thread of this program that fails ends the run."""
        try:
            what()
        except BaseException as error:
            self._errors.append(f"{threading.current_thread().name} failed: {error!r}")
            sys.excepthook(type(error), error, error.__traceback__)
            self._stage.stop.set()

    def _thread(self, name: str, what: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(what,), name=name, daemon=True)
        thread.start()
        return thread

    # The watchdog.

    def report(self) -> Report:
        """Runs, and says what came of it."""
        clients = [f"client {at}" for at in range(_CLIENTS)]
        threads = [self._thread(name, lambda name=name: self._client(name)) for name in clients]  # type: ignore[misc]  # mypy cannot infer it
        threads.append(self._thread("faults", self._injector))
        hung = self._watch(threads)
        if not hung:
            threads = [self._thread("the end", self._end)]
            hung = self._watch(threads)
        if not hung:
            self._ledger.judge_runs()
        report = Report(self._plan, self._ledger.settled, monotonic() - self._began)
        report.faults = self._faults.injected
        report.lost = self._ledger.told() + self._errors
        report.hung = hung
        return report

    def _end(self) -> None:
        self._stage.epoch.close()
        self._stage.epoch.pool.join()

    def _watch(self, threads: list[threading.Thread]) -> list[str]:
        """Waits for them; who is left when nothing has happened for long."""
        seen, since = -1, monotonic()
        while any(thread.is_alive() for thread in threads):
            threads[0].join(_TICK) if threads[0].is_alive() else threads.append(threads.pop(0))
            if self._done():
                self._stage.stop.set()
            happened = self._ledger.settled + self._faults.injected.total()
            if happened != seen:
                seen, since = happened, monotonic()
            elif monotonic() - since > _PATIENCE:
                return self._hang(threads)
        return []

    def _done(self) -> bool:
        if monotonic() - self._began > self._plan.seconds:
            return True
        enough = self._ledger.settled >= self._plan.tasks
        return enough and self._faults.injected.total() >= self._plan.faults

    def _hang(self, threads: list[threading.Thread]) -> list[str]:
        """Show where every thread is, and end all waiting."""
        print(f"nothing has happened for {_PATIENCE:g} s", file=sys.stderr)
        faulthandler.dump_traceback(all_threads=True)
        for process in psutil.Process().children(recursive=True):
            print(_state(process), file=sys.stderr)
        print(_tables(self._stage.epoch.pool), file=sys.stderr)
        hung = [thread.name for thread in threads if thread.is_alive()]
        self._stage.stop.set()
        for process in psutil.Process().children(recursive=True):
            process.kill()
        return hung


def _state(process: psutil.Process) -> str:
    """A worker: what it does, and where in the kernel."""
    try:
        with open(f"/proc/{process.pid}/wchan") as file:
            where = file.read()
        return f"{process.pid}, child of {process.ppid()}: {process.status()} in {where}"
    except (OSError, psutil.Error) as error:
        return f"{process.pid}: {error}"


def _tables(pool: oc.Pool) -> str:
    """The state of the pool in its own view."""
    engine = pool._engine
    core = engine.core
    assigned = [(entry.assignment, entry.worker) for entry in core.assigned.values()]
    lines = [f"{pool!r}: work {list(core.work)[:20]}", f"assigned {assigned[:20]}"]
    if isinstance(engine, ProcessEngine):
        lines += [
            f"worker {worker.number} pid {worker.pid} {worker.state.name} "
            f"blocked {worker.channel.blocked} posted {len(worker.channel._outbox)} "
            f"watched {worker.watched} sent {worker.sent}"
            for worker in list(engine._parts.workers.by_number.values())
        ]
    return "\n".join(lines)
