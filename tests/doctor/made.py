"""Recordings that were never recorded: processes and their records, made up one by one."""

from __future__ import annotations

import struct
from typing import Any

from onecopy._doctor import diagnosis
from onecopy._doctor.finding import Finding
from onecopy._doctor.findings import FAULT
from onecopy._doctor.inside import kinds
from onecopy._doctor.recording import Facts, Look, Readings, Recording, Roll
from onecopy._doctor.rings import Ring

MS, SECOND = 1_000_000, 1_000_000_000
TASKS, RESULTS = 501, 502


def _record(number: int, kind: int, t0: int, words: tuple[int, ...]) -> bytes:
    padded = (*words, *[0] * (9 - len(words)))
    return struct.pack("<12Q", t0, kind | 1 << 32, *padded, number)


class Process:
    """One process's ring."""

    def __init__(self, pid: int, born: int, parent: int = 0, way: int = kinds.FRESH) -> None:
        self.pid = pid
        self._records = bytearray()
        self._names: dict[str, int] = {}
        self._counters: list[tuple[int, int]] = []
        self._number = 0
        self._current: tuple[int, ...] = ()
        self.note(kinds.BORN, born, way, parent)

    def name(self, text: str) -> int:
        """The number of a text."""
        return self._names.setdefault(text, len(self._names) + 1)

    def note(self, kind: int, t0: int, *words: int) -> None:
        """A record."""
        self._number += 1
        self._records += _record(self._number, kind, t0, words)

    def born(self, t0: int, *words: int) -> None:
        """The record of its birth, in place of the one that it has."""
        first = _record(1, kinds.BORN, t0, words)
        self._records[: len(first)] = first

    def count(self, text: str, value: int) -> None:
        """A counter."""
        self._counters.append((self.name(text), value))

    def passed(self, t0: int, took: int, out: int, inward: int) -> None:
        """Messages that were passed through."""
        self.note(kinds.BURST, t0, out, inward, took)

    def current(
        self, number: int, task: int, *, begin: int, ended: int, took: int, again: int = 0
    ) -> None:
        """The task that it was at last; with another number in ``again``, half-written. ``took`` counts
        all that have ended."""
        title = self.name("work") | 1 << 32
        before = took - (ended - begin if ended >= begin else 0)
        again = again or number
        self._current = number, task, 0, begin, before, again, title, TASKS, ended

    def ring(self) -> Ring:
        """As it is taken."""
        head = bytearray(kinds.HEAD)
        if self._current:
            struct.pack_into("<9Q", head, kinds.CURRENT, *self._current)
        for at, pair in enumerate(self._counters):
            struct.pack_into("<QQ", head, kinds.COUNTERS + 16 * at, *pair)
        names = "".join(
            f"{number}\t{text.replace(chr(10), chr(92) + 'n')}\n"
            for text, number in self._names.items()
        )
        return Ring(self.pid, bytes(head), self._records, names)


class Made:
    """A run of a program with a main process, of pid 1."""

    def __init__(self, wall: float = 2.0, cpus: int = 2, foreign: float = 0.0) -> None:
        self.wall, self.cpus, self.foreign = wall, cpus, foreign
        self.main = Process(1, 0)
        self.processes = [self.main]
        self.readings = Readings()
        self.changes: dict[str, Any] = {}
        self.method = "fork"

    def process(
        self,
        pid: int,
        *,
        begin: int,
        end: int,
        way: int = kinds.FORKED,
        cpu: float = -1.0,
        method: str = "",
    ) -> Process:
        """A child that multiprocessing started; without ``end``, it says no last words."""
        child = Process(pid, begin, 1, way)
        main = self.main
        names = (
            main.name(method or self.method),
            main.name("prog.py:3 <module>"),
            main.name(f"Process-{pid}"),
        )
        main.note(kinds.START, begin, MS, pid, 0, *names)
        title = child.name(f"Process-{pid}"), child.name("Process"), child.name("work")
        child.note(kinds.BOOT, begin + MS, 0, 1, 0, *title)
        if end:
            used = int(end - begin if cpu < 0 else cpu * SECOND)
            child.note(kinds.END, end, 0, used)
            main.note(kinds.EXIT, end + MS, 0, pid, 0)
        self.processes.append(child)
        return child

    def pool(self, workers: int, kind: int = kinds.A_POOL, begin: int = 0) -> list[Process]:
        """A pool at prog.py:5, given work at prog.py:6, and its workers, from pid 11 on."""
        main = self.main
        site, method = main.name("prog.py:5 <module>"), main.name("fork")
        main.note(kinds.POOL, begin, MS, workers, kind, site, method, 77, TASKS, RESULTS)
        place = main.name("prog.py:6 <module>"), 77, main.name("ApplyResult")
        main.note(kinds.SUBMIT, begin + MS, 0, 0, kind, *place)
        end = int(self.wall * SECOND)
        return [self.process(11 + n, begin=begin, end=end) for n in range(workers)]

    def task(  # noqa: PLR0913  # the fields of records
        self,
        worker: Process,
        number: int,
        *,
        sent: int,
        begin: int,
        took: int,
        pickle: int = 1000,
        write: int = 1000,
        size: int = 100,
        read: int = 1000,
        unpickle: int = 1000,
        result: int = 100,
        result_pickle: int = 1000,
        result_read: int = 1000,
        result_unpickle: int = 1000,
        cpu: int = -1,
        items: int = 1,
    ) -> int:
        """A task from its sending to its result; when that was there."""
        name = self.main.name("work") | items << 32
        self.main.note(
            *(kinds.OUT | kinds.TASK << 8, sent, pickle, write, size, number, 0, name, TASKS)
        )
        head = begin - read - unpickle
        worker.note(
            *(kinds.IN | kinds.TASK << 8, head, read, unpickle, size, number, 0, 0, TASKS, head)
        )
        done = begin + took
        used = took if cpu < 0 else cpu
        worker.note(
            *(kinds.OUT | kinds.RESULT << 8, done, result_pickle, 1000, result, number, 0, 0),
            *(RESULTS, used, begin),
        )
        back = done + result_pickle + 1000
        self.main.note(
            *(kinds.IN | kinds.RESULT << 8, back, result_read, result_unpickle, result),
            *(number, 0, 0, RESULTS, 0),
        )
        return back + result_read + result_unpickle

    def look(self, pid: int, time: int, **values: Any) -> None:
        """A reading."""
        plain = {"rss": 10_000_000, "cpu": 0.0, "delay": 0.0, "threads": 1, "running": 1}
        given = {**plain, "faults": 0, "major": 0, **values}
        self.readings.looks.append(Look(time=time, pid=pid, **given))

    def roll(self, pid: int, time: int, **values: int) -> None:
        """A reading of memory."""
        plain = {"rss": 0, "pss": 0, "dirty": 0, "anonymous": 0, "shared": 0, "swap": 0}
        self.readings.rolls.append(Roll(time=time, pid=pid, **{**plain, "faults": 0, **values}))

    def recording(self) -> Recording:
        """All of it."""
        plain: dict[str, Any] = {
            "command": ("python", "prog.py"),
            "python": True,
            "status": 0,
            "interrupted": 0,
            "began": 0,
            "ended": int(self.wall * SECOND),
            "clock": 0.0,
            "pid": 1,
            "cpus": self.cpus,
            "machine_cpus": self.cpus,
            "machine_cpu": self.foreign * self.cpus * self.wall,
            "program_cpu": 0.0,
            "doctor_cpu": 0.0,
            "oom_kills": 0,
            "shared_memory_left": (),
            "alive": (),
            "folder": "/",
        }
        facts = Facts(**{**plain, **self.changes})
        return Recording(facts, [each.ring() for each in self.processes], self.readings)

    def findings(self) -> dict[str, Finding]:
        """The findings, by their ids."""
        found = diagnosis.of(self.recording())
        assert not [note for note in found.notes if note.startswith(FAULT)], found.notes
        return {each.id: each for each in found.findings}
