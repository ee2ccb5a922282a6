"""Many tasks that wait at once: what each costs in time, in memory, and the garbage collector.

Run as ``python -m bench.jobs.pending POOL TASKS``; POOL is ``onecopy`` or ``standard``. The one
worker is held by a task that reads from a pipe until all tasks have been submitted, so that all of
them are pending together, with their futures in a list, as programs keep them.

Prints, as JSON: ``cpu``, microseconds of owner and worker for each task, from its submission to its
result; ``submit``, the owner's part of that before any has begun; ``bytes`` that the owner has
grown by for each (USS); and ``collector``, the percentage of the owner's processor time that the
garbage collector took.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil

import onecopy as oc

from ..cpu import Meter


def echo(value: int) -> int:
    """The task."""
    return value


def held(path: str) -> int:
    """Ends when the owner has opened the pipe and closed it."""
    return len(Path(path).read_bytes())


class Collector:
    """Processor seconds that the garbage collector has taken."""

    def __init__(self) -> None:
        self.seconds, self._start = 0.0, 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._start = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._start


def main() -> None:
    kind, tasks = sys.argv[1], int(sys.argv[2])
    make = oc.ProcessPoolExecutor if kind == "onecopy" else ProcessPoolExecutor
    with tempfile.TemporaryDirectory() as folder, make(1) as pool:
        pipe = f"{folder}/pipe"
        os.mkfifo(pipe)
        assert [future.result() for future in [pool.submit(echo, 1) for _ in range(1000)]]
        gate = pool.submit(held, pipe)
        gc.collect()
        process, collector, meter = psutil.Process(), Collector(), Meter()
        before = process.memory_full_info().uss
        futures = [pool.submit(echo, number) for number in range(tasks)]
        submitted = meter.used().owner
        grown = process.memory_full_info().uss - before
        with open(pipe, "wb"):
            pass
        assert gate.result() == 0
        assert [future.result() for future in futures] == list(range(tasks))
        used = meter.used()
        print(
            json.dumps(
                {
                    "submit": 1e6 * submitted / tasks,
                    "cpu": 1e6 * (used.owner + used.workers) / tasks,
                    "bytes": grown / tasks,
                    "collector": 100 * collector.seconds / used.owner,
                }
            )
        )


if __name__ == "__main__":
    main()
