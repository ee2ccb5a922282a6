"""A run of a pool as the reports see it: tables, and figures computed from them.

``Pool`` fills one in, ``saved`` writes and reads them; ``terminal``, ``html``, ``perfetto`` and
``chrome`` show them. Nothing here depends on how it is shown, and nothing here contains a value of
the user's: only names of functions, types and sizes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._observe.columns import DIARY, MEMORY, OWNER_DOES, SPAN, TOTAL, WORKER, dtype_of
from .._observe.failures import Failed
from .._observe.profile import Stack
from .._observe.spans import Site
from ..errors import printable
from .idleness import Idle
from .program import Words

Table = np.ndarray[Any, np.dtype[Any]]


class Accounting(NamedTuple):
    """The accounting of ``workers`` x ``wall``, in seconds.

    Each part is measured separately, so that their sum is a check: ``other`` is the rest, and may
    be below zero.

    Attributes:
        workers: the number that the pool should have.
        wall: from making the pool to the last result; to now, if something is running.
        startup: until a worker was ready, at first and after each replacement; without the next.
        initializing: inside the pool's initializer.
        importing: of modules, while a task was unpacked or inside its function.
        decode, encode: decoding arguments and loading functions; encoding results.
        running: inside the user's functions, on a CPU.
        pausing: inside them, waiting: for a disk, the network, a lock, a clock.
        wanting: inside them, ready to run while no CPU was free.
        blocked: writing results that the owner had not yet read.
        packing, iterable, callbacks, handlers, results: without work, while the owner packed
            arguments; took items from the user's iterable; ran callbacks or ``reduce``;
            called log handlers and printed; unpacked results.
        between: without work, while no task was anywhere: the program did something else.
        handing: without work for another reason: it was on its way.
        tail: without work, while another worker was still at some.
        lost: in tasks that were lost with their workers.
        other: the rest.
    """

    workers: int
    wall: float
    startup: float
    initializing: float
    importing: float
    decode: float
    running: float
    pausing: float
    wanting: float
    encode: float
    blocked: float
    packing: float
    iterable: float
    callbacks: float
    handlers: float
    results: float
    between: float
    handing: float
    tail: float
    lost: float
    other: float

    @property
    def total(self) -> float:
        """The worker-seconds that the parts add up to."""
        return self.workers * self.wall

    @property
    def compute(self) -> float:
        """The time inside the user's functions, without imports."""
        return self.running + self.pausing + self.wanting

    @property
    def waiting(self) -> float:
        """The time without work, while no other worker had any either."""
        return float(sum(getattr(self, name) for name in WAITS))


WAITS = (*OWNER_DOES, "between", "handing")
"""What ``Accounting.waiting`` is divided into."""


class HostRow(NamedTuple):
    """A host of a run, as it was at the end.

    Attributes:
        name: its name.
        workers: the number of its workers.
        state: as in ``HostStatus``; ``"driver"`` for the machine of the program itself.
        shared: bytes of shared data that it has.
        shipped: bytes of shared data that were sent to it.
        clock_error: seconds by which its times may be wrong, at most.
        why: the reason why it was lost; empty otherwise.
    """

    name: str
    workers: int
    state: str
    shared: int
    shipped: int
    clock_error: float
    why: str


class Start(NamedTuple):
    """The start of a worker; nanoseconds.

    Attributes:
        born: it was started.
        initializing: its initializer began; ``ready`` if it has none.
        ready: it was ready for a task; its end, or the run's, if it never was.
    """

    born: int
    initializing: int
    ready: int


@dataclass(frozen=True)
class Run:
    """See the module.

    Attributes:
        spans: a record per task or chunk (``columns.SPAN``), in the order of their ends; the
            latest ones if there were more than are kept.
        slowest: the longest of those that are no longer among ``spans``.
        totals: exact sums over all tasks (``columns.TOTAL``).
        functions: names, by the index in ``spans`` and ``totals``.
        sites: calls of the program, by the index in ``spans`` and ``totals``.
        words: the program's names at the first of these; see ``program``.
        diary: the owner's activities (``columns.DIARY``), over time.
        failures: tasks that failed, the most frequent kind first.
        imports: packages that workers imported: name, how often, nanoseconds of CPU time.
        profile: sampled stacks, those first in which most time was spent.
        large: bytes of large arguments that were copied: index of the call, kind, bytes, and
            bytes of the arrays that these are slices of.
        workers: every worker's life (``columns.WORKER``).
        memory: readings (``columns.MEMORY``), by time.
        began, ended: nanoseconds of CLOCK_MONOTONIC; see ``Accounting.wall``.
        clock: seconds since 1970 at ``began``.
        method: the start method.
        wanted: the number of workers that the pool should have.
        cpus: the number that the pool's process may use; with hosts, of the workers: each host has
            as many as it was given CPUs.
        owner_cpu: seconds of CPU that the pool's own thread in the owner has used.
        owner_pid: the owner.
        machine: the machine: names and figures, for people.
        hosts: those of a pool on several, that of the program first; empty for a pool on this
            machine. ``workers`` and ``memory`` have indexes into it.
        facts: further figures, by name: segments and arenas and their bytes, bytes saved by
            one copy, restarts, inherited pages that forked workers have copied.
    """

    spans: Table
    totals: Table
    functions: tuple[str, ...]
    workers: Table
    memory: Table
    began: int
    ended: int
    clock: float
    method: str
    wanted: int
    cpus: int
    owner_cpu: float
    owner_pid: int
    slowest: Table = field(default_factory=lambda: np.zeros(0, dtype_of(SPAN)))
    sites: tuple[Site, ...] = ()
    words: tuple[Words, ...] = ()
    diary: Table = field(default_factory=lambda: np.zeros(0, dtype_of(DIARY)))
    failures: tuple[Failed, ...] = ()
    large: tuple[tuple[int, str, int, int], ...] = ()
    imports: tuple[tuple[str, int, int], ...] = ()
    profile: tuple[Stack, ...] = ()
    machine: dict[str, str] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    hosts: tuple[HostRow, ...] = ()

    def __post_init__(self) -> None:
        # Names and messages are the program's: no terminal, page or viewer is to obey them.
        for name in _TEXTS:
            object.__setattr__(self, name, _plain(getattr(self, name)))

    @property
    def wall(self) -> float:
        """The wall time in seconds."""
        return (self.ended - self.began) / 1e9

    @property
    def tasks(self) -> int:
        """The number of tasks that have ended, kept or not."""
        return int(self.totals["tasks"].sum())

    def start(self, life: Any) -> Start:
        """Return the start of one of ``workers``."""
        ready = int(life["ready"]) or int(life["gone"]) or self.ended
        return Start(int(life["born"]), int(life["initializing"]) or ready, ready)

    def _lives(self) -> tuple[Table, Table, Table, Table]:
        """Return for each worker, within the run: requested, ready, done with its last task, gone."""
        began, ended, lives = self.began, self.ended, self.workers
        gone = np.where(lives["gone"] > 0, lives["gone"], ended).clip(began, ended)
        born = lives["born"].clip(began, ended)
        ready = np.where(lives["ready"] > 0, lives["ready"], gone).clip(born, gone)
        last = lives["last"].clip(ready, gone)
        # A worker that was replaced after its last task has ended its slot's time with that task.
        return born, ready, last, np.where((gone < ended) & ~self._died(), last, gone)

    def _died(self) -> Table:
        """Return a mask of the workers that ended in the middle of a task."""
        lost: Table = self.totals["worker"][self.totals["lost"] > 0]
        died: Table = np.isin(self.workers["worker"], lost)
        return died

    def idle(self) -> Idle:
        """The workers' time without work."""
        _, _, last, gone = self._lives()
        well = ~self._died()
        return Idle(self, last[well], gone[well], float(self.totals["waited"].sum()) / 1e9)

    def accounting(self) -> Accounting:
        """Return the accounting of the workers' time."""
        seconds = {name: float(self.totals[name].sum()) / 1e9 for name in _SUMMED}
        born, ready, last, gone = self._lives()
        died = self._died()
        there = float((gone - born).sum()) / 1e9
        # A slot without a worker waits for one. The time of a worker that starts while its
        # predecessor is still running its last task counts for no slot.
        spare = self.wanted * self.wall - there
        own = self.workers["initializing"].clip(born, ready)
        initializing = float((ready - own)[self.workers["initializing"] > 0].sum()) / 1e9
        startup = max(0.0, float((ready - born).sum()) / 1e9 + spare - initializing)
        lost = float((gone - last)[died].sum()) / 1e9
        idle = self.idle().sums()
        seconds["importing"] = seconds.pop("imported")
        # The sums are exact, their difference as floating-point numbers may be just below 0.
        pausing = seconds.pop("compute") - seconds["running"] - seconds["wanting"]
        seconds["pausing"] = max(0.0, pausing)
        parts = startup + initializing + lost + sum(seconds.values()) + sum(idle.values())
        return Accounting(
            workers=self.wanted,
            wall=self.wall,
            startup=startup,
            initializing=initializing,
            **seconds,
            **idle,
            lost=lost,
            other=self.wanted * self.wall - parts,
        )


_TEXTS = (
    *("functions", "sites", "failures", "large", "imports", "profile"),
    *("machine", "hosts", "method", "words"),
)


def _plain(value: Any) -> Any:
    """Return ``value`` with the control characters of its texts written as escapes."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        plain = map(_plain, value)
        return type(value)._make(plain) if hasattr(value, "_make") else tuple(plain)
    return value


_SUMMED = (*("decode", "imported", "compute", "running", "wanting", "encode", "blocked"),)


def empty_tables() -> dict[str, Table]:
    """Return ``spans``, ``totals``, ``workers``, ``memory`` and ``diary`` without a row."""
    columns = {
        **{"spans": SPAN, "totals": TOTAL, "workers": WORKER, "memory": MEMORY},
        "diary": DIARY,
    }
    return {name: np.zeros(0, dtype_of(each)) for name, each in columns.items()}
