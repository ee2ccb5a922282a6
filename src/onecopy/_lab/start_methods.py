"""A worker under each start method: what does it cost, and what does it have of its parent's?

The parent holds a block of memory, a list of its module that it has appended to, an open file, a
signal handler, a blocked signal, two environment variables and a secret. Two workers are started in
turn by each method and look for all of it in themselves (``_inherited``): the first also pays for
processes that are started once. The second variable is set between the two.

Nothing here is taken from documentation, except the line about where a method exists.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

from .._system.procfs import rollup
from ..errors import human_bytes
from . import _inherited
from ._frame.face import Claim, Data, Needs, Size, Table
from ._frame.narrate import say, trace

QUESTION = "What does a worker cost and inherit, by start method?"
ADVICE = (
    "Name the start method. forkserver is the safe choice; fork is for state that cannot be "
    "pickled; spawn starts fresh."
)
PROCESSES = ("fork", "forkserver", "spawn")
VARIANTS = (*PROCESSES, "thread", "onecopy")
HELD = {"small": 100_000_000, "full": 1_000_000_000}

words = ["source"]
held: dict[str, Any] = {}


def needs(size: Size) -> Needs:
    """Return the needs of the block, once: forked workers share it."""
    return Needs(memory=HELD[size] + 500_000_000, seconds=4 if size == "small" else 12)


def hold(size: Size) -> _inherited.Wanted:
    """Create the state that a parent may have when it starts workers."""
    held["block"] = b"x" * HELD[size]  # written, so that it is in memory
    held["file"] = tempfile.NamedTemporaryFile(prefix="onecopy-lab-")  # noqa: SIM115  kept open
    held["secret"] = os.urandom(_inherited.SECRET)
    words.append("parent")
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    os.environ["LAB_EARLY"] = "set"
    os.environ.pop("LAB_LATE", None)
    return _inherited.wanted(held["secret"], held["file"].name)


# Two workers by each method: when its function began, when its first answer was there, and its
# findings.


def worker(pipe: Connection) -> None:
    """Report the start, answer a question, and report the findings."""
    pipe.send(perf_counter())
    pipe.send(pipe.recv())
    pipe.send(_inherited.facts(pipe.recv(), words))


def talk(start: Callable[[Connection], Any], look_for: _inherited.Wanted) -> dict[str, Any]:
    """Start a worker on the other end of a pipe, and measure."""
    here, there = multiprocessing.Pipe()
    with here:
        began = perf_counter()
        with there:
            started = start(there)
            first = here.recv() - began
            here.send("question")
            here.recv()
            task = perf_counter() - began
            here.send(look_for)
            facts = here.recv()
            started.join()
    return {"first": first, "task": task, **facts}


def by_process(method: str, pipe: Connection) -> Any:
    """Start a process of ``multiprocessing``."""
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=worker, args=(pipe,))
    process.start()
    return process


def by_thread(pipe: Connection) -> threading.Thread:
    """Start a thread of this process."""
    thread = threading.Thread(target=worker, args=(pipe,))
    thread.start()
    return thread


def by_onecopy(look_for: _inherited.Wanted) -> dict[str, Any]:
    """Start a worker of a new pool, with onecopy's default method."""
    # Not at the top: spawned children import this module, and would import the pool.
    from ..pool import Pool

    began = perf_counter()
    with Pool(1) as pool:
        first = pool.apply(perf_counter) - began
        task = perf_counter() - began
        facts: dict[str, Any] = pool.apply(_inherited.facts, (look_for, words[:1]))
    return {"first": first, "task": task, **facts}


def run(size: Size) -> Data:
    """Start both workers under each method; forks come first, while this process has one thread."""
    trace()
    look_for = hold(size)
    import_module("onecopy._engine.processes")  # before the clock runs
    starts: dict[str, Callable[[], dict[str, Any]]] = {
        "fork": partial(talk, partial(by_process, "fork"), look_for),
        # Before forkserver and spawn: starting a process with either makes multiprocessing choose a
        # default method (spawn.get_preparation_data), which onecopy would use.
        "onecopy": partial(by_onecopy, look_for),
        "forkserver": partial(talk, partial(by_process, "forkserver"), look_for),
        "spawn": partial(talk, partial(by_process, "spawn"), look_for),
        "thread": partial(talk, by_thread, look_for),
    }
    found: dict[str, list[dict[str, Any]]] = {}
    for name, start in starts.items():
        os.environ.pop("LAB_LATE", None)
        first = start()
        os.environ["LAB_LATE"] = "set"
        found[name] = [first, start()]
        say(f"{name}: first answer after {first['task'] * 1e3:.1f} ms", memory=True)
    own = rollup()
    assert own is not None
    return {
        "held": HELD[size],
        "parent": {"pid": os.getpid(), "rss": own.rss, "pss": own.pss, "uss": own.uss},
        "default": multiprocessing.get_start_method(),
        "version": platform.python_version_tuple()[:2],
        "workers": found,
    }


# Showing it.

_EXISTS = {
    "fork": "Linux, macOS",
    "forkserver": "Linux, macOS",
    "spawn": "everywhere",
    "thread": "everywhere",
    "onecopy": "Linux, macOS",
}


def table(data: Data) -> Table:
    """Return a column per method, so that it fits."""
    first = {way: found[0] for way, found in data["workers"].items()}
    second = {way: found[1] for way, found in data["workers"].items()}

    def row(name: str, cell: Callable[[str], str]) -> tuple[str, ...]:
        return (name, *(cell(way) for way in VARIANTS))

    def yes(which: str) -> Callable[[str], str]:
        return lambda way: "yes" if first[way][which] else "no"

    rows = [
        row("1st line", lambda way: _ms(first[way]["first"])),
        row("1st answer", lambda way: _ms(first[way]["task"])),
        row("2nd line", lambda way: _ms(second[way]["first"])),
        row("2nd answer", lambda way: _ms(second[way]["task"])),
        row("RSS", lambda way: human_bytes(first[way]["rss"])),
        row("PSS", lambda way: human_bytes(first[way]["pss"])),
        row("USS", lambda way: human_bytes(first[way]["uss"])),
        row("parent's block", lambda way: _block(data, way)),
        row("descriptors", lambda way: str(first[way]["descriptors"])),
        row("open file", yes("file")),
        row("signal handler", yes("handler")),
        row("blocked signal", yes("blocked")),
        row("word appended", lambda way: "yes" if "parent" in first[way]["words"] else "no"),
        row("environment", yes("early")),
        row("  set later", lambda way: "yes" if second[way]["late"] else "no"),
        row("secret", lambda way: "FOUND" if first[way]["secret"] else "no"),
        row("exists on", lambda way: _EXISTS[way]),
        row("default here", lambda way: "yes" if way == data["default"] else ""),
    ]
    return Table(
        head=("", *VARIANTS),
        rows=rows,
        note="1st, 2nd: of two workers in turn, from being asked for to the first line of its "
        f"function, and to its first answer. The parent holds {human_bytes(data['held'])} and has an RSS of "
        f"{human_bytes(data['parent']['rss'])}; a thread's memory is the parent's. Set later: an "
        "environment variable set between the two workers. onecopy's worker is the first of a new "
        "pool, by its default, a forkserver of its own.",
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def _block(data: Data, way: str) -> str:
    """Return whether the worker maps the block, and whether that is its own copy."""
    found = data["workers"][way][0]
    if found["pid"] == data["parent"]["pid"]:
        return "the same"
    if found["rss"] < data["held"]:
        return "not there"
    return "shared" if found["uss"] < data["held"] // 2 else "copied"


def picture(data: Data) -> None:
    """Return nothing: readers copy the table."""


def claims(data: Data) -> list[Claim]:
    """Memory, inheritance, the secret, the default."""
    return [*_of_memory(data), *_of_inheritance(data), *_of_the_default(data)]


_FRESH = ("forkserver", "spawn", "onecopy")
"""Ways whose workers start in a fresh interpreter."""


def _of_memory(data: Data) -> list[Claim]:
    found = {way: each[0] for way, each in data["workers"].items()}
    forked = found["fork"]
    with_secret = [way for way in VARIANTS if found[way]["secret"]]
    return [
        Claim(
            f"A forked worker's RSS is {human_bytes(forked['rss'])}, of which "
            f"{human_bytes(forked['uss'])} are its own: the rest is its parent's, copy-on-write.",
            forked["rss"] > data["held"] and forked["uss"] < data["held"] // 4,
            certain=True,
            expected="RSS above the size of the parent's block, and less than a quarter of it its own",
        ),
        Claim(
            "The largest RSS of a worker by another method is "
            f"{human_bytes(max(found[way]['rss'] for way in _FRESH))}.",
            all(_block(data, way) == "not there" for way in _FRESH),
            certain=True,
            expected="less than the block",
        ),
        Claim(
            f"The secret is in the memory of {', '.join(with_secret)}.",
            with_secret == ["fork", "thread"],
            certain=True,
            expected="fork and thread alone",
        ),
    ]


def _of_inheritance(data: Data) -> list[Claim]:
    found = {way: each[0] for way, each in data["workers"].items()}
    with_file = [way for way in VARIANTS if found[way]["file"]]
    late = [way for way in PROCESSES if data["workers"][way][1]["late"]]

    def has(way: str) -> tuple[bool, bool]:
        return found[way]["handler"], "parent" in found[way]["words"]

    return [
        Claim(
            f"The open file is there in {', '.join(with_file)}; a forked worker has "
            f"{found['fork']['descriptors']} descriptors, a spawned one "
            f"{found['spawn']['descriptors']}.",
            with_file == ["fork", "thread"],
            certain=True,
            expected="fork and thread alone",
        ),
        Claim(
            "Signal handler, word appended to the module's list: "
            + ", ".join(f"{way} {has(way)[0]}, {has(way)[1]}" for way in ("fork", *_FRESH))
            + ".",
            has("fork") == (True, True) and {has(way) for way in _FRESH} == {(False, False)},
            certain=True,
            expected="both under fork alone",
        ),
        Claim(
            f"An environment variable set after a first worker reaches {' and '.join(late)}: a "
            "forkserver has the environment that it was started with.",
            late == ["fork", "spawn"],
            certain=True,
            expected="fork and spawn",
        ),
    ]


def _of_the_default(data: Data) -> list[Claim]:
    new = tuple(int(part) for part in data["version"]) >= (3, 14)
    fork, spawn = (data["workers"][way][0]["task"] for way in ("fork", "spawn"))
    return [
        Claim(
            f"Told nothing, Python {'.'.join(data['version'])} uses {data['default']} here"
            + ("." if new else " (from 3.14 on it is forkserver)."),
            data["default"] == ("forkserver" if new else "fork"),
            certain=sys.platform == "linux",
            expected=f"{'forkserver' if new else 'fork'}",
        ),
        Claim(
            f"A forked worker answers after {_ms(fork)}, a spawned one after {_ms(spawn)}.",
            fork < spawn,
            certain=False,
            expected="the forked one sooner",
        ),
    ]
