"""The faults that are looked for, one file each; here they are tried in turn, and findings sifted.

A finding that another one explains is left out, and so is one whose saving is too small to notice.
A false finding is worse than a missing one: each asks for evidence of its own, and where the
machine was busy with something else, nothing is promised.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace

from ..finding import LEVELS, Case, Finding, percent
from . import (
    alternating,
    copied_pages,
    crowd,
    deaths,
    eager_input,
    forks,
    full_shared_memory,
    gc_copies,
    gil,
    growth,
    hangs,
    leaks,
    logs,
    logs_rotated,
    lost_updates,
    manager_chatter,
    not_inherited,
    one_by_one,
    output_doubled,
    pool_in_loop,
    queue_pickled,
    random_numbers,
    results_pickled,
    serial_sender,
    start_arguments,
    startup,
    straggler,
    stuck_task,
    tiny_tasks,
)

ALL: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    serial_sender.look,
    results_pickled.look,
    tiny_tasks.look,
    straggler.look,
    eager_input.look,
    one_by_one.look,
    pool_in_loop.look,
    startup.look,
    start_arguments.look,
    crowd.look,
    gil.look,
    manager_chatter.look,
    queue_pickled.look,
    alternating.look,
    copied_pages.look,
    gc_copies.look,
    leaks.look,
    growth.look,
    logs.look,
    logs_rotated.look,
    output_doubled.look,
    not_inherited.look,
    lost_updates.look,
    random_numbers.look,
    deaths.look,
    full_shared_memory.look,
    hangs.look,
    stuck_task.look,
    forks.look,
)

# Of one pool, the second is left out when the first was found.
_EXPLAINS = {
    "serial-sender": {
        *("straggler", "more-workers-than-cpus", "not-parallel", "tiny-tasks", "results-pickled"),
        "too-many-threads",  # of workers that hardly ever compute at a time
    },
    "arguments-pickled": {"straggler", "more-workers-than-cpus"},
    "pool-in-loop": {"start-up", "straggler", "not-parallel", "tiny-tasks"},
    "tiny-tasks": {"straggler", "more-workers-than-cpus", "not-parallel"},
    "start-up": {"straggler", "more-workers-than-cpus"},
    "results-pickled": {"straggler"},
    "worker-killed": {"straggler", "not-parallel"},
    "stuck-task": {"straggler", "not-parallel", "tiny-tasks", "more-workers-than-cpus"},
}
_LEAST, _PART = 0.05, 0.03
_BUSY = 0.25


FAULT = "a fault of the doctor's own, please report it: "


def find(case: Case, faults: list[str]) -> list[Finding]:
    """All findings, what is most urgent first, then what saves most.

    Where looking for one fails, that is added to ``faults``, and the others are looked for all the
    same: the program has run, perhaps for hours, and cannot be asked again.
    """
    found = []
    for look in ALL:
        try:
            found += [_without_gaps(each) for each in look(case)]
        except Exception as error:
            *_, last = traceback.extract_tb(error.__traceback__)
            place = f"{os.path.basename(last.filename)}:{last.lineno}"
            faults.append(f"{FAULT}{place}: {type(error).__name__}: {error}")
    found = [each for each in found if not _consequence(each, found)]
    found = [each for each in found if not _explained(each, found) and not _small(case, each)]
    found.sort(key=lambda each: (LEVELS.index(each.level), -(each.saving or 0.0)))
    if case.facts.foreign > _BUSY:
        found = [_doubted(case, each) for each in found]
        found.append(_machine_busy(case))
    return found


def _without_gaps(finding: Finding) -> Finding:
    """Without lines of a program that is not to be read, as that of ``-c``."""
    kept = tuple(line for line in finding.change if line.text or line.sign == "+")
    return finding if len(kept) == len(finding.change) else replace(finding, change=kept)


def _consequence(finding: Finding, found: list[Finding]) -> bool:
    """Return True for the end of a process, or copies, that another finding gives the cause of."""
    ids = {each.id for each in found}
    if finding.id == "process-failed":
        return bool(ids & {"consumers-died", "full-shared-memory", "not-inherited"})
    if finding.id == "copy-on-write":
        collected = [each.figures["copied"] for each in found if each.id == "gc-copies"]
        return bool(collected) and collected[0] > finding.figures["copied"] / 2
    by_bus = finding.id == "worker-killed" and finding.figures["signal"] == signal.SIGBUS
    return by_bus and "full-shared-memory" in ids


def _explained(finding: Finding, found: list[Finding]) -> bool:
    def same(other: Finding) -> bool:
        ours, theirs = finding.pool, other.pool
        return (
            ours is not None
            and theirs is not None
            and (ours is theirs or (bool(ours.site.file) and ours.site == theirs.site))
        )

    return any(finding.id in _EXPLAINS.get(each.id, ()) and same(each) for each in found)


def _small(case: Case, finding: Finding) -> bool:
    least = max(_LEAST, _PART * case.wall)
    return finding.level == "time" and finding.saving is not None and finding.saving < least


def _doubted(case: Case, finding: Finding) -> Finding:
    if finding.saving is None:
        return finding
    busy = percent(case.facts.foreign, 1)
    return finding.without_promise(
        f"not promised: other programs used {busy} of the CPUs meanwhile"
    )


def _machine_busy(case: Case) -> Finding:
    return Finding(
        id="machine-busy",
        level="note",
        title=f"Other programs used {percent(case.facts.foreign, 1)} of the CPUs meanwhile",
        evidence="Times are longer here than on a quiet machine, and what a change would save is "
        "not known.",
        advice="Run it again when the machine is quiet.",
        figures={"foreign": case.facts.foreign},
    )
