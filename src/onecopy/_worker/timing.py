"""The timing of a worker's loop: one record, written and read in the loop.

Time is measured without gaps: each stretch of the loop ends where the next one begins (``since``),
so that the times of a worker's tasks add up to all of its time.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Any

from .._system.usage import Meter
from .imports import NONE, Imports, Spent
from .profiler import Profiler


class Timing:
    """See the module. The worker's own thread; the profiler's reads ``function``.

    Attributes:
        since: when the present stretch began; nanoseconds.
        encoded: when the last result was encoded; nanoseconds.
        waited, blocked: since the last result: waiting for frames, and writing that result.
        meter: CPU time and other usage of tasks.
        imports: the cost of importing modules.
        imported: the part of that before the function began.
        function: the function that is being run, or None.
        profiler: samples this thread's stack, if wanted.
    """

    __slots__ = (
        "blocked", "encoded", "function", "imported", "imports", "meter", "profiler", "since", "waited",
    )  # fmt: skip

    def __init__(self) -> None:
        self.since = self.encoded = monotonic_ns()
        self.waited = self.blocked = 0
        self.meter = Meter()
        self.imports = Imports(self.meter.delay)
        self.imported: Spent = NONE
        self.function: Any = None
        self.profiler: Profiler | None = None

    def profile(self) -> None:
        """Sample this thread's stack once the worker is ready."""
        self.profiler = Profiler(lambda: self.function)

    def begin(self) -> None:
        """Note that the worker is ready: the time before was its start-up."""
        self.imports.watch()
        if self.profiler is not None:
            self.profiler.start()
        self.since, self.waited = monotonic_ns(), 0

    def end_wait(self) -> None:
        """Note that frames have come."""
        now = monotonic_ns()
        self.waited += now - self.since
        self.since = now
