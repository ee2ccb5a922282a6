"""Add up a column of records on several cores: what happens to the data on the way?

N records of index, timestamp and value (24 bytes) are in a file. They are added up with as many
batches as workers, by an executor that is sent slices, by one whose workers attach shared memory,
and by onecopy. Each run is a process of its own, one after another, and its memory is read from
here as the sum of PSS over all its processes. The code of each way is in ``_data_sink_ways``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from .._observe.sampler import Sampler
from ..errors import human_bytes
from ._frame.face import Bar, Claim, Data, Lane, Lanes, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "Why do more workers not add up an array any faster?"
ADVICE = "Do not send data, send where it is: data = oc.share(array), and then slices of it."
RECORDS = {"small": 2_000_000, "full": 200_000_000}
RECORD_BYTES = 24
WORKERS = {"small": (1, 2), "full": (1, 4, 8)}
# A tenth of one core reads the memory: it slows all ways down alike, and finds a peak that
# lasts a tenth of a second.
_BUDGET = 0.1
# Not by -m, which would make the way the main module, and have spawned workers import it twice.
_CODE = "import sys; from onecopy._lab._data_sink_ways import main; main(*sys.argv[1:])"


def needs(size: Size) -> Needs:
    """Return the needs: one worker that is sent all records takes 3.9 times their size, between it
    and its parent: 18.8 GB at full size. The file's own pages can be dropped."""
    records = RECORDS[size] * RECORD_BYTES
    return Needs(
        memory=int(4.0 * records) + 500_000_000,
        disk=records + 1_000_000,
        seconds=12 if size == "small" else 600,
    )


def plan(size: Size) -> list[tuple[str, str, str, int]]:
    """Way, start method, where the records come from, workers; small leaves some out."""
    full = size == "full"
    runs = [
        (way, method, "file", workers)
        for way in ("pickled", "SharedMemory")
        for method in ("spawn", "fork")
        for workers in WORKERS[size]
        if full or workers > 1 or (way, method) == ("pickled", "fork")
    ]
    runs += [
        ("onecopy", method, source, workers)
        for source in ("file", "memory")
        for method in ("fork", "forkserver", "spawn", "thread")
        for workers in WORKERS[size]
        if full or (workers > 1 and (source == "file" or method == "fork"))
    ]
    return runs


def run(size: Size) -> Data:
    """Create the file, and do the job in every way."""
    from ._records import write

    with tempfile.TemporaryDirectory(prefix="onecopy-lab-") as folder:
        file = str(Path(folder, "records.npy"))
        expected = write(file, RECORDS[size])
        say(f"{RECORDS[size]:,} records, {human_bytes(RECORDS[size] * RECORD_BYTES)}, in a file")
        runs = []
        for at, (way, method, source, workers) in enumerate(plan(size)):
            segment = f"onecopy-lab-{os.getpid()}-{at}"
            found = one([way, method, source, str(workers), file, segment])
            found |= {"way": way, "method": method, "source": source, "workers": workers}
            found["total"] = found["load"] + found["copy"] + found["compute"]
            say(
                f"{way}, {method}, from {source}, {workers} workers: {found['total']:.2f} s, "
                f"peak PSS {human_bytes(found['peak'])}"
            )
            runs.append(found)
    return {"records": RECORDS[size], "expected": expected, "runs": runs}


def one(words: list[str]) -> dict[str, Any]:
    """Run one way; return its measurements, and the peak of its memory."""
    with _child(words) as child, Sampler(child.pid, budget=_BUDGET) as sampler:
        assert child.stdin is not None
        assert child.stdout is not None
        said: dict[str, Any] | None = None
        for line in child.stdout:
            if line.startswith("{"):
                said = json.loads(line)
                sampler.sample()  # its workers wait with it
                with suppress(BrokenPipeError):  # it failed
                    child.stdin.write("\n")
                    child.stdin.flush()
            else:
                print(line, end="", flush=True)
        if child.wait() or said is None:
            raise RuntimeError(f"{' '.join(words[:4])} failed with exit status {child.returncode}")
    seen = sampler.peak.pss if sampler.peak else 0
    return {**said, "peak": max(seen, said["held"])}


@contextmanager
def _child(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Yield an interpreter in this one's process group; ended if this is left early."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", _CODE, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            yield child
        except BaseException:
            child.send_signal(signal.SIGTERM)
            raise


# Showing it.

_REFERENCE = (
    "Published elsewhere for 200,000,000 records, in seconds for 1, 4, 8 workers: pickled by spawn "
    "12.69, 7.36, 7.11 and by fork 12.05, 6.97, 6.38; shared memory 0.98 (fork) and 1.37 (spawn) "
    "after a copy of 3.2 to 3.4; peak 14,305 MB with one worker."
)


def table(data: Data) -> Table:
    """Return a row per run."""
    rows = [
        (
            each["way"] if each["way"] != "onecopy" else f"onecopy, {each['source']}",
            each["method"],
            str(each["workers"]),
            f"{each['load']:.2f}",
            f"{each['copy']:.2f}" if each["copy"] else "",
            f"{each['compute']:.2f}",
            f"{each['total']:.2f}",
            human_bytes(each["peak"]),
            human_bytes(each["through_pipes"]),
        )
        for each in data["runs"]
    ]
    size = human_bytes(data["records"] * RECORD_BYTES)
    return Table(
        head=("way", "method", "n", "load", "copy", "compute", "total", "peak PSS", "pipes"),
        rows=rows,
        left=(0, 1),
        title=f"{data['records']:,} records, {size}; seconds; n workers",
        strong=[at for at, each in enumerate(data["runs"]) if each["way"] == "onecopy"],
        note=f"Compute includes starting the workers. {_REFERENCE}",
    )


def _shown(data: Data) -> list[dict[str, Any]]:
    """Return the runs with the most workers in the picture: one of each way."""
    most = max(each["workers"] for each in data["runs"])
    wanted = [("pickled", "spawn"), ("SharedMemory", "fork"), ("onecopy", "forkserver")]
    return [
        next(
            each
            for each in data["runs"]
            if (each["way"], each["method"], each["workers"]) == (way, method, most)
        )
        for way, method in wanted
    ]


def picture(data: Data) -> Lanes:
    """Return a lane per worker, from when the executor was requested."""
    lanes = []
    for each in _shown(data):
        workers: dict[int, list[Bar]] = {}
        for batch in sorted(each["lanes"], key=lambda batch: float(batch["began"])):
            bars = workers.setdefault(batch["worker"], [Bar(0, batch["ready"], "start")])
            # A batch that was packed before the worker existed, or was free, waited for it.
            free = max(batch["packed"], bars[-1].stop)
            bars += [
                Bar(free, max(free, batch["began"]), "receive"),
                Bar(batch["began"], batch["ended"], "compute"),
                Bar(batch["ended"], batch["got"], "return"),
            ]
        for number, bars in enumerate(workers.values(), 1):
            lanes.append(Lane(f"{each['way']}, {each['method']} {number}", bars))
    return Lanes(lanes, title="What each worker did, from when the pool was asked for")


def together(lanes: list[dict[str, float]]) -> float:
    """Return the share of the computing time in which two or more batches were computed."""
    edges = sorted([(lane["began"], 1) for lane in lanes] + [(lane["ended"], -1) for lane in lanes])
    any_at_work = two_at_work = 0.0
    working = 0
    for (time, step), (after, _) in pairwise(edges):
        working += step
        any_at_work += (after - time) * (working > 0)
        two_at_work += (after - time) * (working > 1)
    return two_at_work / any_at_work if any_at_work else 0.0


def claims(data: Data) -> list[Claim]:
    """Return the claims: where the bytes went, and how that affected time and memory."""
    return [*_of_bytes(data), *_of_time(data), _of_memory(data)]


def _of_bytes(data: Data) -> list[Claim]:
    runs = data["runs"]
    size = data["records"] * RECORD_BYTES
    equal = sum(each["result"] == data["expected"] for each in runs)
    by_pipe = [each["through_pipes"] for each in runs if each["way"] == "pickled"]
    others = [each["through_pipes"] for each in runs if each["way"] != "pickled"]
    return [
        Claim(
            f"{equal} of {len(runs)} sums are equal.",
            equal == len(runs),
            certain=True,
            expected="all",
        ),
        Claim(
            f"Of {human_bytes(size)} of records at least {human_bytes(min(by_pipe))} go through a pipe "
            "while slices are pickled.",
            min(by_pipe) >= size,
            certain=True,
            expected="all of them",
        ),
        Claim(
            f"With one copy, at most {human_bytes(max(others))}.",
            max(others) < 1_000_000,
            certain=True,
            expected="less than 1 MB",
        ),
    ]


def _of_time(data: Data) -> list[Claim]:
    found = []
    for method in ("spawn", "fork"):
        some = [
            each for each in data["runs"] if (each["way"], each["method"]) == ("pickled", method)
        ]
        one, most = some[0], some[-1]
        if one is most:
            continue
        found.append(
            Claim(
                f"Under {method} {most['workers']} workers that are sent slices take "
                f"{most['compute'] / one['compute']:.2f} of one's time, where "
                f"{1 / most['workers']:.2f} would be fair.",
                most["compute"] > 1.5 / most["workers"] * one["compute"],
                certain=False,
                expected=f"more than {1.5 / most['workers']:.2f}",
            )
        )
    sent, _, one_copy = (together(each["lanes"]) for each in _shown(data))
    found.append(
        Claim(
            f"Two or more workers computed at once for {sent:.0%} of the time that any did while "
            f"slices were sent, and for {one_copy:.0%} with one copy.",
            sent < one_copy,
            certain=False,
            expected="more of it with one copy",
        )
    )
    return found


def _of_memory(data: Data) -> Claim:
    size = data["records"] * RECORD_BYTES
    by_pipe = max(each["peak"] for each in data["runs"] if each["way"] == "pickled")
    ours = [
        each["peak"]
        for each in data["runs"]
        if (each["way"], each["source"]) == ("onecopy", "file")
    ]
    return Claim(
        f"The peak is {human_bytes(by_pipe)} with pickled slices, {by_pipe / size:.1f} times the "
        f"records, and {human_bytes(min(ours))} to {human_bytes(max(ours))} with onecopy from the "
        "file.",
        by_pipe > max(ours),
        certain=False,
        expected="more with pickled slices",
    )
