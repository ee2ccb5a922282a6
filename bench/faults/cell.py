"""The program that meets one fault with one pool: what a user's program would do.

Run by ``watch`` as ``python -m bench.faults.cell PEER FAULT DIRECTORY TURN``. What it has
seen is in ``DIRECTORY/facts.json``, written again after each step, so that a program which
hangs has said how far it came. Workers' files (``tasks.tell``) are in ``DIRECTORY/told``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from concurrent.futures import Future, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import tasks
from .facts import Answer, Batch, Facts
from .peers import WORKERS, Peer, Submit, peer
from .rows import Fault, Kind, fault

HALF = 20
MORE = 10
# How long anything may take that should take far less than a second.
PATIENCE = 5.0
TIMEOUT = 1.0
MEMORY = 300 * tasks.MB
# A result counts as being sent when so much of it is on this side, or in shared memory.
UNDER_WAY = 20 * tasks.MB


class Meeting:
    """One pool, one fault."""

    def __init__(self, who: Peer, what: Fault, directory: Path, turn: int) -> None:
        self.peer, self.fault, self.directory, self.turn = who, what, directory, turn
        self.told = directory / "told"
        self.facts = Facts()

    def save(self) -> None:
        unfinished = self.directory / "facts.unfinished"
        unfinished.write_text(json.dumps(asdict(self.facts)))
        unfinished.rename(self.directory / "facts.json")

    def run(self) -> None:
        limit = MEMORY if self.fault.needs == "memory" else None
        with self.peer.open(limit) as submit:
            # All workers are up before anything goes wrong.
            started = [submit(tasks.who, 0.1) for _ in range(2 * WORKERS)]
            pids = sorted({future.result(60) for future in started})
            if self.fault.kind is Kind.IDLE:
                self.kill_idle(submit, pids)
            elif self.fault.kind is Kind.TASK:
                self.among_others(submit)
            else:
                self.keep_busy(submit)
                return
            # Where tasks hang already there is nothing more to learn.
            if self.facts.others is not None and not self.facts.others.missing:
                self.facts.after = self.batch(self.send(submit, MORE), PATIENCE)
            self.facts.done = True
            self.save()

    def send(self, submit: Submit, count: int, seconds: float = 0.005) -> list[Future[Any]]:
        return [attempt(submit, tasks.short, number, seconds) for number in range(count)]

    def batch(self, futures: list[Future[Any]], patience: float) -> Batch:
        """The outcome of ``send``; numbers start again in each half."""
        wait(futures, patience)
        found = Batch(len(futures))
        for number, future in enumerate(futures):
            if not future.done():
                found.missing += 1
            elif (error := failure(future)) is not None:
                name = type(error).__name__
                found.errors[name] = found.errors.get(name, 0) + 1
            elif future.result() == 2 * (number % HALF):
                found.right += 1
            else:
                found.errors["wrong result"] = found.errors.get("wrong result", 0) + 1
        return found

    def kill_idle(self, submit: Submit, pids: list[int]) -> None:
        time.sleep(0.5)
        # Idle workers are not all in the same state: one of two may hold a lock. Rounds
        # take turns.
        os.kill(pids[self.turn % len(pids)], signal.SIGKILL)
        # Time to notice; work that is given in the very same moment is another matter.
        time.sleep(0.5)
        self.facts.placed = True
        futures = self.send(submit, HALF) + self.send(submit, HALF)
        self.facts.others = self.batch(futures, PATIENCE)
        self.save()

    def among_others(self, submit: Submit) -> None:
        futures = self.send(submit, HALF)
        function: Any = self.fault.task or (lambda directory: 42)
        timeout = TIMEOUT if self.fault.timeout else None
        extra = {"timeout": timeout} if "timeout" in self.peer.offers else {}
        faulty = attempt(submit, function, str(self.told), **extra)
        ended: list[float] = []
        faulty.add_done_callback(lambda _: ended.append(time.monotonic()))
        futures += self.send(submit, HALF)
        pid = self.await_start(faulty)
        self.facts.placed = self.strike(pid, faulty)
        struck = time.monotonic()
        wait([faulty, *futures], PATIENCE)
        self.facts.answer = answer(faulty)
        if ended:
            self.facts.answer.seconds = max(0.0, ended[0] - struck)
        self.facts.others = self.batch(futures, 0)
        if pid is not None:
            self.facts.replaced = not Path(f"/proc/{pid}").exists()
        self.save()

    def await_start(self, faulty: Future[Any]) -> int | None:
        """The process that runs the faulty task, once it does; None if it never will."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for name in os.listdir(self.told):
                return int(name)
            if faulty.done() and self.fault.task is None:
                break
            time.sleep(0.001)
        return None

    def strike(self, pid: int | None, faulty: Future[Any]) -> bool:
        """Sends the signal, where there is one. False when it came too late."""
        if pid is None or self.fault.signal is None:
            return pid is not None or faulty.done()
        if self.fault.sending and not under_way(pid, faulty):
            return False
        os.kill(pid, self.fault.signal)
        return True

    def keep_busy(self, submit: Submit) -> None:
        """Works until a signal comes."""
        if self.fault.task is not None:
            futures = [submit(self.fault.task, str(self.told)) for _ in range(WORKERS)]
        else:
            futures = self.send(submit, 2 * HALF, 0.5)
        self.facts.placed = True
        self.save()
        for future in futures:
            future.result()


def attempt(submit: Submit, *arguments: Any, **options: Any) -> Future[Any]:
    """A submit that is refused gives a future with the error."""
    try:
        return submit(*arguments, **options)
    except Exception as error:
        future: Future[Any] = Future()
        future.set_exception(error)
        return future


def failure(future: Future[Any]) -> BaseException | None:
    """Its error, for cancelled futures too."""
    try:
        return future.exception(0)
    except BaseException as error:
        return error


def answer(future: Future[Any]) -> Answer:
    if not future.done():
        return Answer("missing")
    error = failure(future)
    if error is None:
        return Answer("value")
    said: list[str] = []
    link: BaseException | None = error
    while link is not None and len(said) < 5:
        kinds = ", ".join(kind.__name__ for kind in type(link).__mro__[:-2])
        # An error may carry what it has to say in attributes (pebble's exit code).
        numbers = {name: value for name, value in vars(link).items() if isinstance(value, int)}
        said.append("\n".join([f"{kinds}: {link}", str(numbers), *getattr(link, "__notes__", ())]))
        link = link.__cause__ or link.__context__
    return Answer("error", error=type(error).__name__, text=without_paths("\n".join(said)))


def without_paths(text: str) -> str:
    """File names alone: where this machine keeps its files is private."""
    return re.sub(r"(?:/[\w.@+-]+)+/([\w.@+-]+)", r"\1", text)


def _bytes_read() -> int:
    """By this process, from whatever it has open."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def _memory_files(pid: int) -> int:
    """Bytes in the memory files that a process has open."""
    total = 0
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{name}"
            if os.readlink(path).startswith(("/memfd:", "/dev/shm/")):
                total += 512 * os.stat(path).st_blocks
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def under_way(pid: int, faulty: Future[Any]) -> bool:
    """Waits until part of the result has been read by this process, or is in a memory
    file of the worker's; False when it was all here before that was seen."""
    read, held = _bytes_read(), _memory_files(pid)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not faulty.done():
        if max(_bytes_read() - read, _memory_files(pid) - held) > UNDER_WAY:
            return True
    return False


def main() -> None:
    name, what, directory, turn = sys.argv[1:]
    try:
        Meeting(peer(name), fault(what), Path(directory), int(turn)).run()
    except KeyboardInterrupt:
        # What a well-behaved program says of Ctrl-C.
        sys.exit(130)


if __name__ == "__main__":
    main()
