"""The calls of a pool: which of them wait for their tasks, in which order do results come, and how
are items divided among workers?

A pool works in chunks: each worker gets one, and another when it has done it. Chunks that are too
large leave workers idle at the end, or altogether. ``Pool.map`` makes four chunks per worker by
default.

No clock decides whether a call waits for its tasks. The tasks wait at a gate; a call that has
returned while the gate was shut has not waited for them.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .._report.words import count, seconds
from ._frame.face import Bar, Claim, Data, Lane, Lanes, Needs, Size, Table
from ._frame.narrate import say

QUESTION = "Which calls of a pool wait, and who gets which items?"
ADVICE = (
    "Use imap_unordered for results as they come, and leave chunksize out unless all items "
    "are equally long."
)
WORKERS = 4
ITEMS = (4, 6, 24)
CHUNKS = (1, 2, 3)
# Seconds that one item takes, and after which a call counts as waiting.
ITEM = {"small": 0.04, "full": 0.5}
PATIENCE = {"small": 0.3, "full": 2.0}


def needs(size: Size) -> Needs:
    """Four small workers at a time; the tasks wait and do not compute."""
    return Needs(memory=400_000_000, seconds=8 if size == "small" else 50)


# The lesson: who runs what.

Ran = dict[str, Any]
"""One item: its worker, and its start and end, on the clock that all processes share."""


def work(duration: float, item: int) -> Ran:
    """Wait instead of computing, so that lanes look alike on any machine; a task."""
    began = time.monotonic()
    time.sleep(duration)
    return {"item": item, "pid": os.getpid(), "began": began, "ended": time.monotonic()}


def dealt(items: int, chunk: int | None, duration: float, pool: Any) -> dict[str, Any]:
    """Run ``map`` over this many items in chunks of a size."""
    began = time.monotonic()
    ran = pool.map(partial(work, duration), range(items), chunksize=chunk)
    last = max(each["ended"] for each in ran) - began
    workers = len({each["pid"] for each in ran})
    how = "" if chunk is None else f" in chunks of {chunk}"
    say(f"{count(items, 'item')}{how}: {seconds(last)} on {count(workers, 'worker')}")
    return {"items": items, "chunk": chunk, "began": began, "ran": ran}


def warm(pool: Any) -> None:
    """Return when every worker has run something: start-up does not belong in a lane."""
    seen: set[int] = set()
    while len(seen) < WORKERS:
        seen.update(each["pid"] for each in pool.map(partial(work, 0.01), range(WORKERS), 1))


# The second lesson: what waits for what.

gate = multiprocessing.get_context("fork").Event()
"""Forked workers inherit it; it is not an argument, since it cannot be pickled."""


def behind_gate(item: int) -> int:
    """Wait until the gate is open; a task."""
    gate.wait()
    return item


def first_behind_gate(item: int) -> int:
    """Wait at the gate with item 0; return at once with all others."""
    return behind_gate(item) if item == 0 else item


def each(results: list[Any]) -> list[Any]:
    """Return the values of a list of ``AsyncResult``."""
    return [result.get() for result in results]


CALLS: dict[str, tuple[Callable[[Any, Any, Any], Any], Callable[[Any], Any]]] = {
    "apply": (lambda pool, task, items: [pool.apply(task, (item,)) for item in items], list),
    "apply_async": (
        lambda pool, task, items: [pool.apply_async(task, (item,)) for item in items],
        each,
    ),
    "map": (lambda pool, task, items: pool.map(task, items), list),
    "map_async": (
        lambda pool, task, items: pool.map_async(task, items),
        lambda result: result.get(),
    ),
    "imap": (lambda pool, task, items: pool.imap(task, items), list),
    "imap_unordered": (lambda pool, task, items: pool.imap_unordered(task, items), list),
    "starmap": (lambda pool, task, items: pool.starmap(task, [(item,) for item in items]), list),
    "starmap_async": (
        lambda pool, task, items: pool.starmap_async(task, [(item,) for item in items]),
        lambda result: result.get(),
    ),
}
"""How a call is made, and how its return value becomes the results."""


def waits(pool: Any, name: str, patience: float) -> dict[str, Any]:
    """Return whether a call has not returned while the gate was shut, and its value."""
    call, value = CALLS[name]
    returned: list[Any] = []
    gate.clear()
    caller = threading.Thread(
        target=lambda: returned.append(call(pool, behind_gate, range(WORKERS)))
    )
    caller.start()
    caller.join(patience)
    waited = caller.is_alive()
    gate.set()
    caller.join()
    say(f"{name} {'waits for its tasks' if waited else 'returns at once'}")
    # apply and apply_async take one item each, so they were called several times.
    one = returned[0][0] if name.startswith("apply") else returned[0]
    return {"waits": waited, "gives": type(one).__name__, "results": value(returned[0])}


def slow_first(pool: Any) -> dict[str, Any]:
    """Return the results that arrive while item 0 is slow and the others are done."""
    gate.clear()
    ordered = pool.imap(first_behind_gate, range(WORKERS))
    try:
        early = [ordered.next(timeout=0.2)]
    except multiprocessing.TimeoutError:
        early = []
    gate.set()
    in_order = {"early": early, "all": [*early, *ordered]}

    gate.clear()
    unordered = pool.imap_unordered(first_behind_gate, range(WORKERS))
    early = [next(unordered) for _ in range(1, WORKERS)]
    gate.set()
    return {"imap": in_order, "imap_unordered": {"early": early, "all": [*early, *unordered]}}


def promise(pool: Any) -> dict[str, bool]:
    """Return the answers of an ``AsyncResult`` while its tasks run, and afterwards."""
    gate.clear()
    result = pool.map_async(behind_gate, range(WORKERS))
    result.wait(0.05)  # returns, and does not tell whether it is done
    said = {"ready before": result.ready()}
    try:
        result.get(timeout=0.05)
    except multiprocessing.TimeoutError:
        said["get times out"] = True
    gate.set()
    result.wait()
    return said | {"ready": result.ready(), "successful": result.successful()}


def asked(pool: Any, size: Size) -> dict[str, Any]:
    """Run the second lesson."""
    return {
        "calls": {name: waits(pool, name, PATIENCE[size]) for name in CALLS},
        "slow first": slow_first(pool),
        "promise": promise(pool),
    }


def traced(name: str, duration: float, pool: Any) -> dict[str, Any]:
    """Make one call with six items: how long was the caller in it, and which worker ran what."""
    call, value = CALLS[name]
    began = time.monotonic()
    returned = call(pool, partial(work, duration), range(6))
    back = time.monotonic()
    ran = value(returned)
    return {"began": began, "back": back, "ended": time.monotonic(), "ran": ran}


def make_pool(way: str) -> Any:
    """Return the standard library's pool or, as the cure, ours: the calls are the same."""
    if way == "Pool":
        return multiprocessing.get_context("fork").Pool(WORKERS)
    import onecopy as oc

    return oc.Pool(WORKERS, method="fork")


def run(size: Size) -> Data:
    """Run each call, divide items into chunks, and see which calls wait; with both pools."""
    duration = ITEM[size]
    found: Data = {"item": duration, "asked": {}, "dealt": {}, "traced": {}}
    for way, chunks in (("Pool", CHUNKS), ("onecopy", (None,))):
        with make_pool(way) as pool:
            warm(pool)
            say(f"{way}:")
            found["asked"][way] = asked(pool, size)
            found["dealt"][way] = [
                dealt(items, chunk, duration, pool) for items in ITEMS for chunk in chunks
            ]
            found["traced"][way] = {name: traced(name, duration, pool) for name in CALLS}
    return found


def table(data: Data) -> list[Table]:
    """Return the calls, then the chunks."""
    calls = []
    for way, found in data["asked"].items():
        for name, call in found["calls"].items():
            order = "as given"
            if name in found["slow first"]:
                order = ", ".join(map(str, found["slow first"][name]["all"]))
            when = "when all is done" if call["waits"] else "at once"
            calls.append((way, name, when, call["gives"], order))
    chunks = []
    for way, rounds in data["dealt"].items():
        for each_round in rounds:
            ran, chunk = each_round["ran"], each_round["chunk"]
            chunks.append(
                (
                    way,
                    str(each_round["items"]),
                    "its own choice" if chunk is None else str(chunk),
                    str(len({one["pid"] for one in ran})),
                    seconds(taken(each_round)),
                    f"{taken(each_round) / data['item']:.1f}",
                )
            )
    return [
        Table(
            ("pool", "call", "returns", "what", "order of results"),
            calls,
            "Eight calls on four workers",
            note="The order is that of four items of which item 0 is done last.",
            left=(0, 1, 2, 3, 4),
            strong=range(len(CALLS), 2 * len(CALLS)),
        ),
        Table(
            ("pool", "items", "chunk size", "workers that worked", "time", "in items"),
            chunks,
            f"map of items of {seconds(data['item'])} each",
            strong=range(len(ITEMS) * len(CHUNKS), len(chunks)),
        ),
    ]


def taken(dealt_round: dict[str, Any]) -> float:
    """Return the seconds from the call to the end of the last item."""
    last = max(float(one["ended"]) for one in dealt_round["ran"])
    return last - float(dealt_round["began"])


def picture(data: Data) -> list[Lanes]:
    """Return a lane for each worker; another chunk begins where a bar's colour changes."""
    pictures = []
    for way, rounds in data["dealt"].items():
        for one in rounds:
            how = "" if one["chunk"] is None else f" in chunks of {one['chunk']}"
            title = f"{way}: {one['items']} items{how}"
            pictures.append(Lanes(lanes(one["ran"], one["began"], one["chunk"] or 1), title))
    for name, one in data["traced"]["Pool"].items():
        began, back, ended = (one[key] - one["began"] for key in ("began", "back", "ended"))
        bars = [Bar(began, back, "blocked"), Bar(back, ended, "wait")]
        caller = Lane("caller", [bar for bar in bars if bar.stop > bar.start])
        title = f"Pool.{name}: six items; blocked: in the call, wait: for its results"
        pictures.append(Lanes([caller, *lanes(one["ran"], one["began"], 1)], title))
    return pictures


def lanes(ran: list[Ran], began: float, chunk: int) -> list[Lane]:
    """Return the workers in the order of their first items."""
    found: dict[int, list[Bar]] = {}
    last: dict[int, tuple[int, int]] = {}
    for one in sorted(ran, key=lambda each: float(each["began"])):
        # The number of this chunk, and of the chunks that the worker has had before.
        number, before = one["item"] // chunk, last.get(one["pid"], (-1, -1))
        last[one["pid"]] = number, before[1] + (number != before[0])
        kind = ("a chunk", "the next")[last[one["pid"]][1] % 2]
        bar = Bar(one["began"] - began, one["ended"] - began, kind)
        found.setdefault(one["pid"], []).append(bar)
    return [Lane(f"worker {number}", bars) for number, bars in enumerate(found.values(), 1)]


def claims(data: Data) -> list[Claim]:
    """Return the claims: waiting and order are certain, times are not."""
    found = []
    blocking = ["apply", "map", "starmap"]
    for way, answers in data["asked"].items():
        wait = [name for name, call in answers["calls"].items() if call["waits"]]
        ordered, unordered = (answers["slow first"][name] for name in ("imap", "imap_unordered"))
        rest = list(range(1, WORKERS))
        said = answers["promise"]
        found += [
            Claim(
                f"{way}: of eight calls {', '.join(wait)} wait for their tasks, the others return "
                "at once.",
                wait == blocking,
                certain=True,
                expected=", ".join(blocking),
            ),
            Claim(
                f"{way}: while item 0 runs and the others are done, imap gives "
                f"{len(ordered['early']) or 'nothing'}, and "
                f"imap_unordered gives {len(unordered['early'])} results.",
                ordered["early"] == []
                and ordered["all"] == list(range(WORKERS))
                and sorted(unordered["early"]) == rest
                and unordered["all"][-1] == 0,
                certain=True,
                expected="none, and all the others",
            ),
            Claim(
                f"{way}: map_async's result is {_ready(said['ready before'])} while its tasks run, "
                f"get(timeout) raises {'TimeoutError' if said['get times out'] else 'nothing'} "
                f"then; it is {_ready(said['ready'])} later.",
                said
                == {"ready before": False, "get times out": True}
                | {"ready": True, "successful": True},
                certain=True,
                expected="not ready, TimeoutError, and then ready",
            ),
        ]
    return found + chunk_claims(data)


def _ready(value: bool) -> str:
    return "ready" if value else "not ready"


def chunk_claims(data: Data) -> list[Claim]:
    """Return the claims about ``dealt``."""
    rounds = {(one["items"], one["chunk"]): one for one in data["dealt"]["Pool"]}
    whole = all(
        len({one["pid"] for one in a_round["ran"] if one["item"] // chunk == number}) <= 1
        for (items, chunk), a_round in rounds.items()
        for number in range(items)
    )
    few = len({one["pid"] for one in rounds[6, 3]["ran"]})
    slow, fast = taken(rounds[4, 3]), taken(rounds[4, 1])
    ours = {one["items"]: taken(one) for one in data["dealt"]["onecopy"]}
    best = {items: min(taken(rounds[items, chunk]) for chunk in CHUNKS) for items in ITEMS}
    return [
        Claim(
            f"Pool: a chunk's items are run by {'one worker' if whole else 'several workers'}.",
            whole,
            certain=True,
            expected="one worker",
        ),
        Claim(
            f"Pool: 6 items in chunks of 3 keep {few} of {WORKERS} workers busy.",
            few <= 2,
            certain=True,
            expected="2 at most",
        ),
        Claim(
            f"Pool: 4 items in chunks of 3 take {slow / fast:.1f} times as long as in chunks of 1.",
            slow > 2 * fast,
            certain=False,
            expected="more than twice as long",
        ),
        Claim(
            f"onecopy, left to itself, takes {ours[24] / best[24]:.2f} times the best of these for "
            f"24 items, {ours[6] / best[6]:.2f} for 6 and {ours[4] / best[4]:.2f} for 4.",
            all(ours[items] < 1.3 * best[items] for items in ITEMS),
            certain=False,
            expected="less than 1.3 times, each",
        ),
    ]
