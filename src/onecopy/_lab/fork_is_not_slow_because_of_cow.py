"""Tasks get slices of a large array, and ``fork`` is no faster than ``spawn``. Is copy-on-write to
blame?

It is not: forked workers copy nothing of the array, which they do not even read. Each task's slice
is pickled, written to a pipe and rebuilt in the worker. These bytes take the time, and they are the
same under every start method.

Reading Python objects is what really breaks copy-on-write. Each contains its reference count, which
changes whenever the object is read, and its page is then copied. ``gc.freeze`` keeps the garbage
collector from writing into objects, but does not affect reference counts.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

from .._report.words import human_bytes, seconds
from .._system import procfs
from ._frame.face import Bar, Claim, Data, Lane, Lanes, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "Is fork slow because pages are copied on write?"
ADVICE = (
    "Send slices of oc.share(array) and not of the array: the time goes into the pipe, not "
    "into copy-on-write. Keep numbers in arrays, not in lists."
)
# Records of 24 bytes, and Python ints.
RECORDS = {"small": 2_000_000, "full": 100_000_000}
NUMBERS = {"small": 2**20, "full": 2**22}
WORKERS = {"small": 2, "full": 4}
READERS = 2
RECORD = np.dtype([("index", "i8"), ("timestamp", "M8[ns]"), ("val", "f8")])
# An int below 2**30 takes 28 bytes, which the allocator rounds up.
INT = 32

Tasks = tuple[float, list[dict[str, Any]]]
"""The time of the calls, and the findings of each."""

records: Any = None
numbers: Any = None
before: tuple[int, int] = (0, 0)


def needs(size: Size) -> Needs:
    """Return the needs of records in the parent, and of slices as pickles on both sides and as
    arrays."""
    return Needs(
        memory=4 * RECORD.itemsize * RECORDS[size] + 500_000_000,
        seconds=8 if size == "small" else 120,
    )


# A worker's measurements of itself.


def own() -> int:
    """Return the bytes of memory that this process alone has, without segments."""
    found = procfs.mappings()
    if found is None:
        raise ProcessLookupError("a process may not look at its own /proc/self/smaps here")
    return found.own


def has_read() -> int:
    """Return the bytes that this process has read by system calls, from pipes and files; see
    proc(5)."""
    with open("/proc/self/io", "rb") as file:
        return int(file.readline().split()[1])


def copied(array: Any) -> int:
    """Return the bytes of an inherited array's pages that are now private to this process.

    The kernel says of each page whether it is here (bit 63) and private (bit 56), see
    Documentation/admin-guide/mm/pagemap.rst. The pages at the ends may hold other things too.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    first, last = array.ctypes.data // page, (array.ctypes.data + array.nbytes - 1) // page
    with open("/proc/self/pagemap", "rb") as file:
        file.seek(first * 8)
        pages = np.frombuffer(file.read((last - first + 1) * 8), np.uint64)
    mine = np.uint64(1 << 63 | 1 << 56)
    return int(np.count_nonzero((pages & mine) == mine)) * page


def begin(everybody: Any) -> None:
    """Note, as an initializer, the worker's memory at its start, when all workers are there."""
    if everybody is not None:
        everybody.wait()
    note()


def note() -> None:
    """Note the present values, so that later ones show the difference."""
    global before
    before = own(), has_read()


# The first lesson: where the time goes when slices are sent.


def add(part: Any) -> dict[str, Any]:
    """Add up a slice; the task."""
    began = time.monotonic()
    total = float(part["val"].sum())
    ended = time.monotonic()
    found = {"pid": os.getpid(), "total": total, "began": began, "ended": ended}
    # The order matters, since measuring reads too.
    found |= {"read": has_read() - before[1], "own": own() - before[0]}
    # Shared memory is not copied by any process, and under spawn nothing is inherited.
    inherits = records is not None and records.flags.owndata
    return found | {"copied": copied(records) if inherits else None}


def add_inherited(start: int, stop: int) -> dict[str, Any]:
    """Add up a slice that a forked worker has inherited: only two numbers are sent."""
    return add(records[start:stop])


def make(count: int) -> Any:
    """Return records whose values are 0 and 1, so that sums are exact in any order."""
    made = np.zeros(count, RECORD)
    made["index"] = np.arange(count)
    made["val"] = made["index"] % 2
    return made


def cuts(workers: int) -> list[tuple[int, int]]:
    """Return a slice for each worker."""
    return list(pairwise(len(records) * part // workers for part in range(workers + 1)))


def executor(method: str, workers: int, calls: list[tuple[Any, ...]]) -> Tasks:
    """Use the standard library's executor, once its workers have started."""
    context = multiprocessing.get_context(method)
    everybody = context.Barrier(workers + 1)
    with ProcessPoolExecutor(workers, context, initializer=begin, initargs=(everybody,)) as pool:
        # As many calls as workers: it starts workers as calls come in.
        starting = [pool.submit(os.getpid) for _ in range(workers)]
        everybody.wait()
        for each in starting:
            each.result()
        began = time.monotonic()
        return began, [future.result() for future in [pool.submit(*call) for call in calls]]


def pickled(method: str, workers: int) -> Tasks:
    """Send a slice of the records with each task."""
    return executor(method, workers, [(add, records[start:stop]) for start, stop in cuts(workers)])


def inherited(method: str, workers: int) -> Tasks:
    """Send only the start and the stop of the slice with each task."""
    return executor(
        method, workers, [(add_inherited, start, stop) for start, stop in cuts(workers)]
    )


def shared(method: Any, workers: int) -> Tasks:
    """Make the same calls as ``pickled`` with slices of shared records; the cure."""
    import onecopy as oc

    with oc.Pool(workers, method=method, initializer=begin, initargs=(None,)) as pool:
        while pool.stats().workers < workers:
            pool.apply(os.getpid)
        sent, began = pool.stats().bytes_sent, time.monotonic()
        futures = [pool.submit(add, records[start:stop]) for start, stop in cuts(workers)]
        tasks = [future.result() for future in futures]
        # Bytes from a socket do not count among the bytes that a process reads.
        tasks[0]["read"] += pool.stats().bytes_sent - sent
        return began, tasks


VARIANTS: tuple[tuple[str, Callable[[str, int], Tasks], str], ...] = (
    ("slices pickled", pickled, "fork"),
    ("slices pickled", pickled, "spawn"),
    ("bounds sent, data inherited", inherited, "fork"),
    ("onecopy, slices sent", shared, "fork"),
    ("onecopy, slices sent", shared, "spawn"),
)


def sums(size: Size) -> list[dict[str, Any]]:
    """Run each way in turn."""
    global records
    records = make(RECORDS[size])
    say(f"{human_bytes(records.nbytes)} of records are made", memory=True)
    found: list[dict[str, Any]] = []
    for name, way, method in VARIANTS:
        if way is shared and found[-1]["name"] != name:
            import onecopy as oc

            records = oc.share(records)
        began, tasks = way(method, WORKERS[size])
        taken = max(float(task["ended"]) for task in tasks) - began
        say(f"{name}, {method}: {seconds(taken)}")
        found.append({"name": name, "method": method, "began": began, "seconds": taken})
        found[-1]["tasks"] = tasks
    records = None
    return found


# The second lesson: what breaks copy-on-write.


def read(answers: Any) -> None:
    """Add up what a forked child has inherited, without changing it."""
    answers.put(grown(numbers))


def grown(values: Any) -> dict[str, Any]:
    """Return how much memory a process needs to read some values."""
    had, began = own(), time.monotonic()
    total = int(values.sum() if isinstance(values, np.ndarray) else sum(values))
    return {"total": total, "seconds": time.monotonic() - began, "own": own() - had}


def children() -> list[dict[str, Any]]:
    """Two forked children read ``numbers``, both at once."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=read, args=(answers,)) for _ in range(READERS)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return found


def readings(size: Size) -> list[dict[str, Any]]:
    """Read the same numbers as a list, with the collector frozen, as an array, as a shared list."""
    global numbers
    numbers = list(range(NUMBERS[size]))
    found = [{"name": "list", "readers": children()}]
    gc.freeze()
    found.append({"name": "list, gc.freeze()", "readers": children()})
    gc.unfreeze()
    numbers = np.arange(NUMBERS[size])
    found.append({"name": "NumPy array", "readers": children()})

    import onecopy as oc

    numbers = oc.share(list(range(NUMBERS[size])))
    with oc.Pool(READERS, method="fork") as pool:
        futures = [pool.submit(grown, numbers) for _ in range(READERS)]
        found.append({"name": "oc.share(list)", "readers": [each.result() for each in futures]})
    numbers = None
    for each in found:
        say(f"{each['name']}: {human_bytes(most(each))} more in the child that reads it")
    return found


def most(reading: dict[str, Any]) -> int:
    """Return the growth of the reader that grew most."""
    return max(int(each["own"]) for each in reading["readers"])


def run(size: Size) -> Data:
    """Run both lessons."""
    return {
        "bytes": RECORDS[size] * RECORD.itemsize,
        "workers": WORKERS[size],
        "numbers": NUMBERS[size],
        "readings": readings(size),
        "sums": sums(size),
    }


def summed(way: dict[str, Any], what: str) -> int:
    """Sum over workers; of several tasks of one worker the last counts, since counts continue."""
    workers: dict[int, int] = {}
    for task in way["tasks"]:
        workers[task["pid"]] = max(workers.get(task["pid"], 0), int(task[what] or 0))
    return sum(workers.values())


def table(data: Data) -> list[Table]:
    """Return a table for each lesson."""
    rows = [
        (
            way["name"],
            way["method"],
            seconds(way["seconds"]),
            *(human_bytes(summed(way, what)) for what in ("read", "own")),
            "–" if way["tasks"][0]["copied"] is None else human_bytes(summed(way, "copied")),
        )
        for way in data["sums"]
    ]
    ours = [at for at, way in enumerate(data["sums"]) if way["name"].startswith("onecopy")]
    reads = [
        (
            each["name"],
            human_bytes(most(each)),
            seconds(max(one["seconds"] for one in each["readers"])),
        )
        for each in data["readings"]
    ]
    return [
        Table(
            ("what tasks get", "method", "time", "read", "own", "copied"),
            rows,
            f"The sum of {human_bytes(data['bytes'])} of records, {data['workers']} workers",
            note="All workers together, started before. read: from pipes and sockets. own: memory "
            "that they have come to have for themselves. copied: how much of the inherited "
            "records that is.",
            left=(0, 1),
            strong=ours,
        ),
        Table(
            ("what is read", "more memory", "time"),
            reads,
            f"{data['numbers']:,} numbers read by {READERS} forked children: growth of a child",
            strong=(len(reads) - 1,),
        ),
    ]


def picture(data: Data) -> list[Lanes]:
    """Return a worker's activities between the call and its result."""
    found = []
    for way in data["sums"]:
        lanes = []
        for number, task in enumerate(sorted(way["tasks"], key=lambda each: float(each["began"]))):
            began, ended = task["began"] - way["began"], task["ended"] - way["began"]
            bars = [Bar(0.0, began, "receive"), Bar(began, ended, "compute")]
            lanes.append(Lane(f"task {number + 1}", bars))
        found.append(Lanes(lanes, f"{way['name']}, {way['method']}: until it has its slice; sum"))
    return found


def claims(data: Data) -> list[Claim]:
    """Return the claims: the copying is certain, the times are not."""
    size = data["bytes"]
    fork, spawn, inherits, *ours = data["sums"]
    reads = {each["name"]: most(each) for each in data["readings"]}
    ints = INT * data["numbers"]
    totals = {sum(task["total"] for task in way["tasks"]) for way in data["sums"]}
    return [
        Claim(
            f"Forked workers that are sent slices copy {human_bytes(summed(fork, 'copied'))} of "
            f"the {human_bytes(size)} that they inherited.",
            summed(fork, "copied") < size / 50,
            certain=True,
            expected="less than 2 %",
        ),
        Claim(
            f"Of {human_bytes(size)} they read through the pipe "
            f"{human_bytes(summed(fork, 'read'))}, under spawn {human_bytes(summed(spawn, 'read'))}.",
            min(summed(fork, "read"), summed(spawn, "read")) >= size,
            certain=True,
            expected="all of it, under both methods",
        ),
        Claim(
            f"Sent the bounds alone, they take {human_bytes(summed(inherits, 'own'))} more memory "
            f"and read {human_bytes(summed(inherits, 'read'))}.",
            summed(inherits, "own") < size / 4 and summed(inherits, "read") < size / 50,
            certain=True,
            expected="less than a quarter of the data, and 2 % through the pipe",
        ),
        Claim(
            f"Reading a list of {data['numbers']:,} ints copies {human_bytes(reads['list'])} "
            f"in each forked child, and {human_bytes(reads['list, gc.freeze()'])} after gc.freeze().",
            min(reads["list"], reads["list, gc.freeze()"]) > 0.8 * ints,
            certain=True,
            expected="at least 80 % of the list, both times",
        ),
        Claim(
            f"The same numbers cost {human_bytes(reads['NumPy array'])} in an array and "
            f"{human_bytes(reads['oc.share(list)'])} in a shared list.",
            max(reads["NumPy array"], reads["oc.share(list)"]) < ints / 4,
            certain=True,
            expected="less than a quarter of the list, both",
        ),
        Claim(
            f"Different sums of all ways: {len(totals)}.",
            len(totals) == 1,
            certain=True,
            expected="one and the same",
        ),
        Claim(
            f"With pickled slices fork takes {seconds(fork['seconds'])} and spawn "
            f"{seconds(spawn['seconds'])}; fork that inherits the data "
            f"{seconds(inherits['seconds'])}.",
            fork["seconds"] > 0.7 * spawn["seconds"] > 1.4 * inherits["seconds"],
            certain=False,
            expected="with pickled slices fork at least 0.7 of spawn, and spawn twice the last",
        ),
        Claim(
            f"onecopy sends the same slices in {' and '.join(seconds(w['seconds']) for w in ours)}, "
            "under fork and spawn.",
            all(way["seconds"] < fork["seconds"] for way in ours),
            certain=False,
            expected="less than fork with pickled slices",
        ),
    ]
