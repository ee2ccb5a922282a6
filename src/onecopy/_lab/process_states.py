"""Children run, sleep, wait, are stopped, end unseen and outlive their parent. What are they?

The kernel gives each process a letter (ps(1), proc(5)): R runs or could, S sleeps or waits until
something happens, D waits for a disk and cannot be interrupted (too short to be shown here), T is
stopped, Z has ended and has not been waited for. A process whose parent has ended gets another: the
nearest one that adopts orphans, or process 1.

The letters are read every few milliseconds, and kept when they change.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any, NoReturn

from .._system import procfs
from ..pool import Pool
from ._frame.face import Bar, Claim, Data, Lane, Lanes, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "What are a sleeping, a stopped, an ended, an orphaned child?"
ADVICE = (
    "Join children, or have a pool do it; workers of onecopy end with their owner, even if "
    "it is killed."
)
GONE = "-"
# An orphan that has ended is a zombie until its new parent reaps it, if it ever does.
ENDED = (GONE, "Z")
# Seconds between two readings, for each phase, and until giving up.
_AGAIN, _PHASE, _PATIENCE = 0.003, {"small": 0.1, "full": 1.0}, 30.0

context: Any = multiprocessing.get_context("fork")


def needs(size: Size) -> Needs:
    """Return the needs of a dozen small processes."""
    return Needs(memory=400_000_000, seconds=2 if size == "small" else 6)


# The children: what each does.


def runs() -> NoReturn:
    """Use a core all the time."""
    while True:
        pass


def sleeps() -> None:
    """Sleep."""
    time.sleep(600)


def waits(empty: Connection) -> None:
    """Read from a pipe that nothing writes to."""
    empty.recv()


def ends() -> None:
    """End at once."""


def has_a_child(tell: Connection) -> None:
    """Start a process, tell its pid, and end without waiting for it."""
    process = context.Process(target=sleeps)
    process.start()
    tell.send(process.pid)
    os._exit(0)  # a normal end would wait: multiprocessing joins its children


def has_a_pool(tell: Connection) -> None:
    """Own a pool whose worker is busy."""
    with context.Pool(1) as pool:
        tell.send(pool.apply(os.getpid))
        pool.apply(sleeps)


def has_a_pool_of_onecopy(tell: Connection) -> None:
    """Own a pool of onecopy whose worker is busy."""
    with Pool(1, method="fork") as pool:
        tell.send(pool.apply(os.getpid))
        pool.apply(sleeps)


# Looking at them.


class Watch:
    """Looks at processes and keeps what changes.

    Attributes:
        traces: by name, the times at which a process was seen to change, with its state and
            its parent.
    """

    def __init__(self) -> None:
        self.began = monotonic()
        self.traces: dict[str, list[tuple[float, str, int]]] = {}
        self._pids: dict[str, int] = {}
        self._pause = threading.Event()

    def add(self, name: str, pid: int) -> None:
        """Watch ``pid`` from now on."""
        self._pids[name] = pid
        self.traces[name] = []

    def look(self) -> None:
        """Read the state of each."""
        for name, pid in self._pids.items():
            found = procfs.status(pid)
            now = (found.state, found.parent) if found else (GONE, 0)
            trace = self.traces[name]
            if not trace or trace[-1][1:] != now:
                trace.append((monotonic() - self.began, *now))

    def until(self, condition: Callable[[], bool]) -> None:
        """Watch until the condition holds."""
        end = monotonic() + _PATIENCE
        self.look()
        while not condition():
            if monotonic() > end:
                raise TimeoutError(f"the states have not come about: {self.traces}")
            self._pause.wait(_AGAIN)
            self.look()

    def for_a_while(self, seconds: float) -> None:
        """Watch for this many seconds."""
        end = monotonic() + seconds
        self.until(lambda: monotonic() > end)

    def state(self, name: str) -> str:
        """Return the letter that was seen last."""
        return self.traces[name][-1][1]

    def now(self, name: str) -> dict[str, Any]:
        """Return the last observation."""
        return {"state": self.traces[name][-1][1], "parent": self.traces[name][-1][2]}


def run(size: Size) -> Data:
    """Children of this process, then descendants whose parents end."""
    watch = Watch()
    moments = {
        **_children(watch, _PHASE[size]),
        **_orphans(watch, _PHASE[size]),
    }
    for name, seen in moments.items():
        say(f"{name}: {' -> '.join(str(moment['state']) for moment in seen)}")
    return {
        "pid": os.getpid(),
        "moments": moments,
        "traces": watch.traces,
        "end": monotonic() - watch.began,
    }


def _children(watch: Watch, phase: float) -> dict[str, list[dict[str, Any]]]:
    """Observe each child at first, after the action on it, and at last."""
    receive, send = context.Pipe(duplex=False)
    doing = {
        "runs": context.Process(target=runs),
        "sleeps": context.Process(target=sleeps),
        "waits for a pipe": context.Process(target=waits, args=(receive,)),
        "is stopped": context.Process(target=runs),
        "has ended": context.Process(target=ends),
    }
    expected = {"runs": "R", "sleeps": "S", "waits for a pipe": "S", "is stopped": "R"}
    try:
        for name, process in doing.items():
            process.start()
            watch.add(name, process.pid)
        watch.until(lambda: all(watch.state(name) == state for name, state in expected.items()))
        watch.until(lambda: watch.state("has ended") == "Z")
        first = {name: watch.now(name) for name in doing}
        watch.for_a_while(phase)
        os.kill(doing["is stopped"].pid, signal.SIGSTOP)
        watch.until(lambda: watch.state("is stopped") == "T")
        doing["has ended"].join()  # waits for it, so it need not be kept any longer
        then = {name: watch.now(name) for name in doing}
        watch.until(lambda: watch.state("has ended") == GONE)
        then["has ended"] = watch.now("has ended")
        watch.for_a_while(phase)
        os.kill(doing["is stopped"].pid, signal.SIGCONT)
        watch.until(lambda: watch.state("is stopped") == "R")
        last = {name: watch.now(name) for name in doing}
        watch.for_a_while(phase)
    finally:
        for process in doing.values():
            if process.pid is not None:
                process.kill()  # a stopped process can be killed as well
                process.join()
        receive.close()
        send.close()
    watch.look()
    return {name: [first[name], then[name], last[name]] for name in doing}


def _orphans(watch: Watch, phase: float) -> dict[str, list[dict[str, Any]]]:
    """Observe each while its parent is there, and when that has ended."""
    return {
        name: _orphan(watch, name, target, phase)
        for name, target in {
            "child of an ended parent": has_a_child,
            "Pool's, owner killed": has_a_pool,
            "onecopy's, owner killed": has_a_pool_of_onecopy,
        }.items()
    }


def _orphan(
    watch: Watch, name: str, target: Callable[[Connection], None], phase: float
) -> list[dict[str, Any]]:
    receive, send = context.Pipe(duplex=False)
    parent = context.Process(target=target, args=(send,))
    with receive, send:
        parent.start()
        pid = receive.recv()
    watch.add(name, pid)
    try:
        first = {"state": "S", "parent": parent.pid}
        if target is not has_a_child:  # whose parent may have ended by now
            watch.until(lambda: watch.state(name) == "S")
            first = watch.now(name)
            watch.for_a_while(phase)
            parent.kill()
        parent.join()

        def orphaned() -> bool:
            now = watch.now(name)
            other = now["state"] == "S" and now["parent"] != first["parent"]
            return now["state"] in ENDED or (other and target is not has_a_pool_of_onecopy)

        watch.until(orphaned)
        watch.for_a_while(phase)
        return [first, watch.now(name)]
    finally:
        parent.kill()
        parent.join()
        if watch.state(name) not in ENDED:
            os.kill(pid, signal.SIGKILL)
            watch.until(lambda: watch.state(name) in ENDED)


# Showing it.

_DONE = {
    "is stopped": ("SIGSTOP", "SIGCONT"),
    "has ended": ("join()", ""),
    "child of an ended parent": ("parent ended", ""),
    "Pool's, owner killed": ("owner killed", ""),
    "onecopy's, owner killed": ("owner killed", ""),
}
_WORDS = {
    "R": "R runs",
    "S": "S sleeps",
    "D": "D waits for a disk",
    "T": "T stopped",
    "Z": "Z zombie",
    GONE: "gone",
}


def table(data: Data) -> Table:
    """Return a row per child, with a cell for each look."""
    rows = []
    for name, seen in data["moments"].items():
        done = _DONE.get(name, ("", ""))
        row = [name, _cell(data, seen[0])]
        for at, moment in enumerate(seen[1:]):
            row += [done[at], _cell(data, moment) if done[at] else ""]
        rows.append((*row, *[""] * (6 - len(row))))
    return Table(
        head=("child", "at first", "then", "it is", "then", "it is"),
        rows=rows,
        left=range(6),
        strong=(len(rows) - 1,),
        note="The letter is the kernel's, the number the parent's pid; 'us' is the experiment. "
        "The last two are busy workers of a pool whose owner gets SIGKILL.",
    )


def _cell(data: Data, moment: dict[str, Any]) -> str:
    if moment["state"] == GONE:
        return "gone"
    parent = "us" if moment["parent"] == data["pid"] else moment["parent"]
    return f"{moment['state']} of {parent}"


def picture(data: Data) -> Lanes:
    """Return states over time."""
    lanes = []
    for name, trace in data["traces"].items():
        ends = [*(time for time, *_ in trace[1:]), data["end"]]
        bars = [
            Bar(time, stop, _WORDS.get(state, state))
            for (time, state, _), stop in zip(trace, ends, strict=True)
            if state != GONE
        ]
        lanes.append(Lane(name, bars))
    return Lanes(lanes, title="The kernel's letter for each, over time")


def claims(data: Data) -> list[Claim]:
    """Return the claims: the required state of each."""
    return [*_of_children(data), *_of_orphans(data)]


def _of_children(data: Data) -> list[Claim]:
    seen = {
        name: [moment["state"] for moment in moments] for name, moments in data["moments"].items()
    }
    runs, sleeps, waits = (seen[name][0] for name in ("runs", "sleeps", "waits for a pipe"))
    _, stopped, goes_on = seen["is stopped"]
    zombie, joined, _ = (state.replace(GONE, "gone") for state in seen["has ended"])
    return [
        Claim(
            f"A child in a loop is {runs}, one that sleeps {sleeps}, and one that waits for a pipe "
            f"{waits} as well.",
            (runs, sleeps, waits) == ("R", "S", "S"),
            certain=True,
            expected="R, S and S",
        ),
        Claim(
            f"SIGSTOP made a child {stopped}, SIGCONT {goes_on} again.",
            (stopped, goes_on) == ("T", "R"),
            certain=True,
            expected="T, and R",
        ),
        Claim(
            f"A child that has ended is {zombie} before its parent's join(), and {joined} after.",
            (zombie, joined) == ("Z", "gone"),
            certain=True,
            expected="Z, and gone",
        ),
    ]


def _of_orphans(data: Data) -> list[Claim]:
    orphan = data["moments"]["child of an ended parent"]
    theirs = data["moments"]["Pool's, owner killed"]
    ours = data["moments"]["onecopy's, owner killed"]
    ended = ours[1]["state"] in ENDED
    return [
        Claim(
            f"A child that outlives its parent is in state {orphan[1]['state']}, a child of process "
            f"{orphan[1]['parent']}.",
            orphan[1]["state"] == "S" and orphan[1]["parent"] not in (0, orphan[0]["parent"]),
            certain=True,
            expected="alive, and another process's child",
        ),
        Claim(
            "A busy worker of multiprocessing's Pool, its owner killed, is in state "
            f"{theirs[1]['state']}, a child of process {theirs[1]['parent']}.",
            theirs[1]["state"] == "S" and theirs[1]["parent"] != theirs[0]["parent"],
            certain=True,
            expected="alive, and another process's child",
        ),
        Claim(
            f"A busy worker of onecopy {'has ended' if ended else 'lives on'} when its owner is "
            "killed.",
            ended,
            certain=True,
            expected="it has ended",
        ),
    ]
