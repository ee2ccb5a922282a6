"""Work of the end that is done while the program runs, when a CPU is free meanwhile.

NumPy and what analyses take a tenth of a second to import. Where the program leaves a CPU idle
this delays no process, and the report is there at once when the program ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from .._system import cpus
from .sampler import busy

# Seconds over which it is judged: the kernel counts in hundredths.
_WINDOW = 0.1
_FREE = 0.8


class Ahead:
    """Steps that are taken one at a time.

    Args:
        steps: each ``next`` takes one.
    """

    def __init__(self, steps: Iterator[None]) -> None:
        self._steps = steps
        self._done = False
        self._allowed, self._machine = cpus.cpu_count(), os.cpu_count() or 1
        self._time, self._busy, self._program = time.monotonic(), busy(), 0.0
        self.cpu = 0.0
        """CPU seconds that the steps have taken."""

    def look(self, program_cpu: float) -> None:
        """Take a step if a CPU was free since the last look.

        Args:
            program_cpu: CPU seconds of the program's processes so far.
        """
        now = time.monotonic()
        passed = now - self._time
        if self._done or passed < _WINDOW:
            return
        machine = busy()
        # The program may be allowed fewer CPUs than there are.
        free = min(
            self._machine - (machine - self._busy) / passed,
            self._allowed - (program_cpu - self._program) / passed,
        )
        if free >= _FREE:
            self._step()
            # What the step itself has used is no other process's load.
            now, machine = time.monotonic(), busy()
        self._time, self._busy, self._program = now, machine, program_cpu

    def _step(self) -> None:
        began = time.thread_time()
        try:
            next(self._steps)
        except StopIteration:
            self._done = True
        self.cpu += time.thread_time() - began
