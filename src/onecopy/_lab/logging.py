"""Workers log one record per task. How often does each come out?

A forked worker has its parent's handlers, so a set-up in the worker is a second one; under
``spawn`` and ``forkserver`` it has none, and a record goes nowhere unless the worker is set up.
The two remedies contradict each other, which is why programs that change the start method
lose their logs or see them twice. The programs are ``programs/log_in_main.py`` and
``programs/log_in_module.py``, and the logger that the latter imports ``programs/log_worker.py``.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product
from typing import Any

from .._system.cpus import cpu_count
from ._frame.face import Claim, Data, Needs, Size, Table
from ._frame.narrate import say
from ._frame.programs import run_program

QUESTION = "How often does a record that a worker logs come out?"
ADVICE = (
    "Let one process write: a QueueHandler in workers and a QueueListener in the parent, or "
    "onecopy, where workers' records reach your handlers once."
)
POOLS = ("multiprocessing", "onecopy")
METHODS = ("fork", "forkserver", "spawn")
SET_UPS = ("nothing", "initializer")
LOGGERS = ("main", "module")
TASKS = 4


def needs(size: Size) -> Needs:
    """Return the needs of one program of two or three processes per core."""
    return Needs(memory=200_000_000 * cpu_count(), seconds=6)


def run(size: Size) -> Data:
    """Run the programs for each cell of the matrix; both sizes are the same."""
    programs = list(product(POOLS, METHODS, LOGGERS))
    # Each is an interpreter of its own, so they do not meet; this process's threads only wait.
    with ThreadPoolExecutor(cpu_count()) as threads:
        cells = list(chain(*threads.map(lambda program: two(*program), programs)))
    for each in cells:
        say(
            f"{each['pool']}, {each['method']}, set up by {each['set_up']}, in "
            f"{each['logger']}: {each['times']}"
        )
    return {"cells": cells}


def two(pool: str, method: str, logger: str) -> list[dict[str, Any]]:
    """Return the cells of one program: how often each record was written, and by which loggers."""
    done = run_program(f"log_in_{logger}", pool, method)
    counts = Counter(done.stderr.splitlines())
    loggers = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        {
            "pool": pool,
            "method": method,
            "set_up": set_up,
            "logger": logger,
            "times": sorted(counts[f"task {set_up} {number}"] for number in range(TASKS)),
            "same_logger": all(each == ids["parent"] for each in ids["workers"]),
        }
        for set_up, ids in zip(SET_UPS, loggers, strict=True)
    ]


def table(data: Data) -> Table:
    """Return the matrix: a row per start method and set-up."""
    cells = {
        (each["pool"], each["method"], each["set_up"], each["logger"]): each
        for each in data["cells"]
    }
    rows = []
    for method, set_up in product(METHODS, SET_UPS):
        row = [method, set_up]
        row += [_times(cells["multiprocessing", method, set_up, logger]) for logger in LOGGERS]
        same = {cells["multiprocessing", method, set_up, each]["same_logger"] for each in LOGGERS}
        row.append("the parent's" if same == {True} else "another")
        ours = {_times(cells["onecopy", method, set_up, logger]) for logger in LOGGERS}
        row.append(" or ".join(sorted(ours)))
        rows.append(tuple(row))
    return Table(
        head=("method", "set up by", "in main", "in module", "id of logger", "onecopy"),
        rows=rows,
        left=(0, 1, 4),
        note="How often each record came out, with the logger in the main module and in a module "
        "of its own. Set up by: what the worker does; the parent is set up in all rows.",
    )


def _times(cell: dict[str, Any]) -> str:
    return " or ".join(str(each) for each in sorted(set(cell["times"])))


def picture(data: Data) -> None:
    """Return nothing: the table is a picture already."""


_EXPECTED = {
    ("fork", "nothing"): 1,
    ("fork", "initializer"): 2,
    ("forkserver", "nothing"): 0,
    ("forkserver", "initializer"): 1,
    ("spawn", "nothing"): 0,
    ("spawn", "initializer"): 1,
}
_TIMES = ("does not come out", "comes out once", "comes out twice")
_HOW = {"nothing": "no set-up in the worker", "initializer": "the set-up as initializer"}


def claims(data: Data) -> list[Claim]:
    """Return the claims: the required content of each cell."""
    theirs = [each for each in data["cells"] if each["pool"] == "multiprocessing"]
    ours = [each["times"] for each in data["cells"] if each["pool"] == "onecopy"]
    found = []
    for (method, set_up), count in _EXPECTED.items():
        seen = [
            each["times"] for each in theirs if (each["method"], each["set_up"]) == (method, set_up)
        ]
        right = seen.count([count] * TASKS)
        found.append(
            Claim(
                f"Under {method} with {_HOW[set_up]} a record {_TIMES[count]}, in {right} of "
                f"{len(seen)} places of the logger.",
                right == len(seen),
                certain=True,
                expected="in all",
            )
        )
    same = [each["same_logger"] for each in theirs if each["method"] == "fork"]
    right = ours.count([1] * TASKS)
    return [
        *found,
        Claim(
            f"A forked worker's logger has the parent's id ({sum(same)} of {len(same)} runs).",
            all(same),
            certain=True,
            expected="all",
        ),
        Claim(
            f"With onecopy every record comes out once, in {right} of {len(ours)} runs.",
            right == len(ours),
            certain=True,
            expected="all",
        ),
    ]
