"""The program holds a large list, which no task ever touches. Do the workers hold it too?

Under ``fork`` they inherit it: ``top`` then shows each of them as large as the program, more than
100 % in sum on a small machine, although all share the same pages. Under ``spawn`` and
``forkserver`` they run the main module again, and a list created at module level is created again
in each of them: less in ``top``, and real copies in memory.

The usual remedies are measured here as well, each as a program under ``programs/``. Deleting the
list in the worker makes things worse: freeing a number writes to its page, and a page that is
written to is copied first. The whole list is copied only to be freed; and if its numbers are
scattered in memory, none of the copies can be freed before nearly all have been made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from .._observe.sampler import Sampler
from .._report.words import human_bytes, percent
from .._system import procfs
from ._frame.face import Claim, Data, Needs, Size, Table
from ._frame.narrate import say
from ._frame.programs import FOLDER

QUESTION = "What does a large list cost that no task touches?"
ADVICE = (
    "Read PSS, not RSS. Start workers before large lists are made, or keep the data in "
    "oc.share, which workers map and do not copy."
)
COUNTS = {"small": 2**20, "full": 2**25}
WORKERS = {"small": 2, "full": 8}
# A slot in the list, and the number that it refers to: 28 bytes, of which 32 are taken.
BYTES_EACH = 40

# The remedies, their programs, and the start methods.
VARIANTS = (
    ("nothing", "plain", ("fork", "forkserver", "spawn")),
    ("list behind the guard", "guarded", ("fork", "forkserver", "spawn")),
    ("list deleted in workers", "deleted", ("fork",)),
    ("such a list, scattered", "scattered", ("fork",)),
    ("list in its own module", "module", ("fork", "spawn")),
    ("pool made before the list", "first", ("fork",)),
    ("onecopy", "onecopy", ("forkserver", "spawn")),
)


def needs(size: Size) -> Needs:
    """Return the needs of as many lists as processes, as under ``spawn``."""
    lists = BYTES_EACH * COUNTS[size] * (WORKERS[size] + 1)
    return Needs(memory=lists + 500_000_000, seconds=12 if size == "small" else 120)


def measure(program: str, method: str, size: Size) -> dict[str, Any]:
    """Run one program; measure it and its workers while they wait, and at the peak."""
    path = str(FOLDER / f"unrelated_global_{program}.py")
    child = subprocess.Popen(
        [sys.executable, path, method, str(WORKERS[size])],
        env={**os.environ, "NUMBERS": str(COUNTS[size])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child, Sampler(child.pid, budget=0.1) as sampler:
        assert child.stdin is not None
        assert child.stdout is not None
        line = child.stdout.readline()
        if line:
            sampler.sample()
            found = {"program": look(child.pid), "workers": [look(pid) for pid in json.loads(line)]}
            child.stdin.write("\n")
            child.stdin.close()
    if child.returncode or not line:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    peak = sampler.peak.pss if sampler.peak else 0
    say(f"{program}, {method}: peak {human_bytes(peak)}")
    return found | {"program name": program, "method": method, "peak": peak}


def look(pid: int) -> dict[str, int]:
    """Return a process's memory and page faults, in bytes."""
    found = procfs.rollup(pid)
    if found is None:
        raise ProcessLookupError(f"{pid} may not be looked at; /proc/PID/smaps_rollup is needed")
    with open(f"/proc/{pid}/stat", "rb") as file:
        # pid (name) state ppid pgrp session tty tpgid flags minflt: proc(5). Copying a page that is
        # written to causes such a fault.
        faults = int(file.read().rpartition(b")")[2].split()[7])
    return {
        "pid": pid,
        "rss": found.rss,
        "pss": found.pss,
        "uss": found.uss,
        "faults": faults * os.sysconf("SC_PAGE_SIZE"),
    }


def huge_pages() -> bool:
    """Return True if the kernel uses huge pages for all memory. A fault is then for 2 MB."""
    try:
        with open("/sys/kernel/mm/transparent_hugepage/enabled") as file:
            return "[always]" in file.read()
    except OSError:
        return False  # a kernel that has none


def run(size: Size) -> Data:
    """Run every program under every start method of interest, one after another."""
    return {
        "list": BYTES_EACH * COUNTS[size],
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "huge pages": huge_pages(),
        "ways": [
            {"remedy": remedy, **measure(program, method, size)}
            for remedy, program, methods in VARIANTS
            for method in methods
        ],
    }


def total(way: dict[str, Any], what: str) -> int:
    """Return a sum over the program and its workers."""
    return sum(int(each[what]) for each in (way["program"], *way["workers"]))


def mean(way: dict[str, Any], what: str) -> int:
    """Return the mean of the workers."""
    return sum(int(each[what]) for each in way["workers"]) // len(way["workers"])


def table(data: Data) -> list[Table]:
    """Return the view of ``top`` beside the correct figures; then all programs."""
    return [top(data), remedies(data)]


def top(data: Data) -> Table:
    """Return the forked processes, one by one."""
    way = data["ways"][0]
    rows = []
    for name, each in [("program", way["program"]), *(("worker", one) for one in way["workers"])]:
        sizes = (human_bytes(each[what]) for what in ("rss", "pss", "uss"))
        rows.append((name, str(each["pid"]), percent(each["rss"], data["memory"]), *sizes))
    sums = (human_bytes(total(way, what)) for what in ("rss", "pss", "uss"))
    rows.append(("sum", "", percent(total(way, "rss"), data["memory"]), *sums))
    return Table(
        ("process", "pid", "%MEM", "RSS", "PSS", "USS"),
        rows,
        f"A list of {human_bytes(data['list'])} at module level, fork",
        note="%MEM is RSS by the machine's memory, as top has it. Only PSS may be summed up.",
        strong=(len(rows) - 1,),
    )


def remedies(data: Data) -> Table:
    """Return a row for each program and start method."""
    rows = [
        (
            way["remedy"],
            way["method"],
            *(human_bytes(mean(way, what)) for what in ("rss", "uss", "faults")),
            human_bytes(total(way, "pss")),
            human_bytes(way["peak"]),
        )
        for way in data["ways"]
    ]
    ours = [at for at, way in enumerate(data["ways"]) if way["remedy"] == "onecopy"]
    return Table(
        ("what is done", "method", "RSS", "USS", "faults", "PSS in all", "peak"),
        rows,
        f"What each of {len(data['ways'][0]['workers'])} workers has, and all have together",
        note="faults: bytes of pages that a worker has got or copied since it began. peak: the "
        "greatest sum of PSS that was read.",
        left=(0, 1),
        strong=ours,
    )


def picture(data: Data) -> None:
    """Return nothing: the tables show it."""


def claims(data: Data) -> list[Claim]:
    """Return the claims: which processes have the list, and whose own it is."""
    size = data["list"]
    ways = {(way["program name"], way["method"]): way for way in data["ways"]}
    forked, spawned = ways["plain", "fork"], ways["plain", "spawn"]
    flat = [
        way
        for way in ways.values()
        if mean(way, "rss") < size * 0.9 and mean(way, "faults") < size / 2
    ]
    flat_names = [f"{way['remedy']} ({way['method']})" for way in flat]
    expected = {
        *(("guarded", method) for method in ("forkserver", "spawn")),
        *(("module", "spawn"), ("first", "fork"), ("onecopy", "forkserver"), ("onecopy", "spawn")),
    }
    copied = mean(ways["deleted", "fork"], "faults") - mean(forked, "faults")
    share = total(forked, "rss") / data["memory"]
    return [
        Claim(
            f"Forked, the list and its processes take {human_bytes(total(forked, 'pss'))} by PSS, which "
            f"RSS shows as {human_bytes(total(forked, 'rss'))}; a worker's own is "
            f"{human_bytes(mean(forked, 'uss'))}.",
            mean(forked, "uss") < size / 4
            and total(forked, "rss") > (len(forked["workers"]) + 1) * size,
            certain=True,
            expected="of its own less than a quarter of the list; by RSS a list for each process",
        ),
        Claim(
            f"Spawned, with the list at module level, they take "
            f"{human_bytes(total(spawned, 'pss'))} by PSS.",
            mean(spawned, "uss") > 0.9 * size,
            certain=True,
            expected="at least 90 % of a list in each worker",
        ),
        Claim(
            f"With the guard, a forked worker shows an RSS of "
            f"{human_bytes(mean(ways['guarded', 'fork'], 'rss'))}.",
            mean(ways["guarded", "fork"], "rss") > size,
            certain=True,
            expected="more than the list: under fork the guard does not help",
        ),
        Claim(
            f"A worker that deletes the shared list has page faults of {human_bytes(copied)}.",
            copied > size / 2,
            certain=not data["huge pages"],
            expected="at least half of the list: it is copied first",
        ),
        Claim(
            f"If its numbers lie scattered, and workers delete it, the peak is "
            f"{human_bytes(ways['scattered', 'fork']['peak'])} beside "
            f"{human_bytes(forked['peak'])} if it is left alone.",
            ways["scattered", "fork"]["peak"] > forked["peak"] + size / 2,
            certain=False,
            expected="at least half a list more",
        ),
        Claim(
            f"Workers neither have nor had it with: {', '.join(flat_names)}.",
            {key for key, way in ways.items() if way in flat} == expected,
            certain=not data["huge pages"],
            expected="all but fork with a guard, and with nothing done",
        ),
        Claim(
            f"top shows {share:.0%} of the machine's memory in use under fork.",
            share > 1,
            certain=False,
            expected="more than 100 %",
        ),
    ]
