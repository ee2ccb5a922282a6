"""The sum of numbers from six kinds of list: how expensive is it to read one number?

A ``Manager().list()`` is a list in another process. The program has a proxy, which sends each
request there and waits for the answer: a thousand times the cost of reading a list. The others are
in shared memory, where reading is local; they differ in how much Python has to run per number, and
in whether all can be read at once.

In addition to the time, the system calls that read or write are counted (``/proc/self/io``): these
show which lists query another process.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import ShareableList
from time import perf_counter
from typing import Any

import numpy as np

from .._report.words import seconds
from ._frame.face import Claim, Data, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "What does one number out of a manager's list cost?"
ADVICE = (
    "Do not put data into a manager. Share an array, or a list with oc.share; for counts "
    "there is oc.Counter."
)
COUNTS = {"small": 5_000, "full": 300_000}


def needs(size: Size) -> Needs:
    """Return the needs: the numbers take 12 MB as Python objects, here and in the manager's
    process."""
    return Needs(memory=300_000_000, seconds=3 if size == "small" else 40)


# The lesson: how each is made.


@contextmanager
def plain(numbers: list[int]) -> Iterator[Any]:
    """Yield a list of this process."""
    yield list(numbers)


@contextmanager
def managed(numbers: list[int]) -> Iterator[Any]:
    """Yield the proxy of a list in the manager's process."""
    with multiprocessing.get_context("spawn").Manager() as manager:
        yield manager.list(numbers)


@contextmanager
def c_array(numbers: list[int]) -> Iterator[Any]:
    """Yield C numbers in shared memory, behind a lock that is taken for each of them."""
    yield multiprocessing.get_context("spawn").Array("q", numbers)


@contextmanager
def shareable(numbers: list[int]) -> Iterator[Any]:
    """Yield small values of mixed types in a named segment, each unpacked by ``struct``."""
    values = ShareableList(numbers)
    try:
        yield values
    finally:
        values.shm.close()
        values.shm.unlink()


# The cure.


@contextmanager
def shared_array(numbers: list[int]) -> Iterator[Any]:
    """Yield an ordinary array whose numbers are in shared memory."""
    import onecopy as oc

    yield oc.share(np.array(numbers))


@contextmanager
def shared_list(numbers: list[int]) -> Iterator[Any]:
    """Yield a sequence whose numbers are in shared memory."""
    import onecopy as oc

    yield oc.share(numbers)


def by_slice(values: Any) -> int:
    """Sum with one request for all, if the kind has slices."""
    return sum(values[:])


def by_iteration(values: Any) -> int:
    """Sum by iteration: there are no slices, or they are not needed."""
    return sum(values)


def by_method(values: Any) -> int:
    """Without an object of Python for each number."""
    return int(values.sum())


VARIANTS: dict[str, tuple[Callable[[list[int]], Any], Callable[[Any], int], str]] = {
    "list": (plain, by_iteration, "sum(x)"),
    "Manager().list()": (managed, by_slice, "sum(x[:])"),
    "multiprocessing.Array": (c_array, by_slice, "sum(x[:])"),
    "ShareableList": (shareable, by_iteration, "sum(x)"),
    "oc.share(array)": (shared_array, by_method, "x.sum()"),
    "oc.share(list)": (shared_list, by_iteration, "sum(x)"),
}
"""How each is created, the best way to sum it, and that way's notation."""


def measure(way: str, count: int) -> dict[str, Any]:
    """Measure one kind: seconds and system calls, one by one and as a whole."""
    make, whole, written = VARIANTS[way]
    with make(list(range(count))) as values:
        values[0]  # a proxy connects to its manager when it is first used
        calls, began = system_calls(), perf_counter()
        one_by_one = 0
        for index in range(count):
            one_by_one += int(values[index])
        middle, calls_middle = perf_counter(), system_calls()
        total = int(whole(values))
        calls_ended = system_calls()
        # For some the first read is slow because it touches everything for the first time; the best
        # counts.
        times = [perf_counter() - middle]
        while len(times) < 5 and sum(times) < 0.5:
            again = perf_counter()
            whole(values)
            times.append(perf_counter() - again)
    say(f"{way}: one by one {middle - began:.3f} s, {written} {min(times):.6f} s")
    return {
        "way": way,
        "written": written,
        "equal": one_by_one == total == count * (count - 1) // 2,
        "one_by_one": {"seconds": middle - began, "calls": calls_middle - calls},
        "whole": {"seconds": min(times), "calls": calls_ended - calls_middle},
    }


def system_calls() -> int:
    """Return how often this process has read or written by a system call, see proc(5)."""
    with open("/proc/self/io", "rb") as file:
        fields = dict(line.split(b": ") for line in file)
    return int(fields[b"syscr"]) + int(fields[b"syscw"])


def run(size: Size) -> Data:
    """Run each kind in turn."""
    count = COUNTS[size]
    return {"count": count, "ways": [measure(way, count) for way in VARIANTS]}


def table(data: Data) -> Table:
    """Per number, and as multiples of the plain list read in the same manner."""
    count, ways = data["count"], data["ways"]
    rows = []
    for each in ways:
        cells = [each["way"]]
        for manner in ("one_by_one", "whole"):
            taken, plainly = each[manner]["seconds"], ways[0][manner]["seconds"]
            cells += [seconds(taken / count), ratio(taken / plainly)]
        rows.append((*cells, each["written"], f"{each['one_by_one']['calls'] / count:.1f}"))
    return Table(
        head=("list", "x[i]", "ratio", "whole", "ratio", "whole by", "calls"),
        rows=rows,
        title=f"The sum of {count:,} numbers, time per number",
        note="calls: system calls that read or write, for each x[i].",
        left=(0, 5),
        strong=(len(rows) - 2, len(rows) - 1),
    )


def ratio(value: float) -> str:
    """Such as ``0.04`` and ``1,480``."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def picture(data: Data) -> None:
    """Return nothing: bars of a thousand and of one would show nothing."""


def claims(data: Data) -> list[Claim]:
    """Return the claims: counts are certain, times are not."""
    count = data["count"]
    ways = {each["way"]: each for each in data["ways"]}
    base, manager = ways["list"], ways["Manager().list()"]
    most = max(each["one_by_one"]["calls"] for each in ways.values() if each is not manager)
    times = manager["one_by_one"]["seconds"] / base["one_by_one"]["seconds"]
    array = ways["oc.share(array)"]["whole"]["seconds"] / base["whole"]["seconds"]
    shared = ways["oc.share(list)"]["one_by_one"]["seconds"]
    return [
        Claim(
            f"A manager's list, one by one: "
            f"{manager['one_by_one']['calls']:,} system calls for {count:,} numbers.",
            manager["one_by_one"]["calls"] >= 2 * count,
            certain=True,
            expected="two or more for each number: a round trip",
        ),
        Claim(
            f"As one slice: {manager['whole']['calls']:,} system calls for all.",
            manager["whole"]["calls"] < manager["one_by_one"]["calls"] / 20,
            certain=True,
            expected="less than a twentieth of that",
        ),
        Claim(
            f"The other kinds: {most} system calls at most.",
            most < count / 20,
            certain=True,
            expected="less than one for 20 numbers",
        ),
        Claim(
            f"{sum(each['equal'] for each in ways.values())} of {len(ways)} sums are equal.",
            all(each["equal"] for each in ways.values()),
            certain=True,
            expected="all",
        ),
        Claim(
            f"One number out of a manager's list costs {ratio(times)} times one of a plain list.",
            times > 100,
            certain=False,
            expected="more than 100 times",
        ),
        Claim(
            f"The sum of a shared array takes {ratio(array)} of the time that sum() of a plain "
            "list takes.",
            array < 1,
            certain=False,
            expected="less than 1",
        ),
        Claim(
            f"One number out of a shared list costs "
            f"{ratio(manager['one_by_one']['seconds'] / shared)} times less than out of a "
            "manager's.",
            shared * 10 < manager["one_by_one"]["seconds"],
            certain=False,
            expected="at least 10 times",
        ),
    ]
