"""The causes in a pool as a whole: failures, its workers, its memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._observe.failures import Failed
from .._observe.spans import Site
from .face import Advice, Look, of_all
from .model import Table
from .words import count, human_bytes, percent, seconds

# A worker whose private memory grows by this many bytes keeps something.
_GROWTH = 200e6
# The number of kinds of failures that are listed, and of examples.
_LISTED, _EXAMPLES = 5, 3
# The errors of tasks whose workers ended while they ran.
_DIED = frozenset(["WorkerDied", "WorkerOutOfMemory", "FileTruncated", "HostLost"])
# The calls of many tasks: they take errors=.
_OF_MANY = frozenset(["map", "starmap", "imap", "map_blocks", "map_groups", "stream"])


def failures(look: Look) -> Iterator[Advice]:
    """Yield advice on tasks that raised, and on tasks that were lost with their workers."""
    run = look.run
    number = sum(each.number for each in run.failures if each.kind not in _DIED)
    if number:
        yield _failures(look, number)
    # Not those that were cancelled, or that ended well when they were retried.
    lost = sum(each.number for each in run.failures if each.kind in _DIED)
    if lost:
        yield Advice(
            "lost",
            "Tasks were lost with their workers",
            f"{of_all(run, lost)} ended because a worker died, "
            f"{seconds(look.parts.lost)} of work with them.",
            "Look at the WorkerDied errors: they name the signal and the memory held. "
            "pool.options(retries=2) runs such tasks again, memory_limit= ends them early.",
            "the lost results",
        )


def _failures(look: Look, number: int) -> Advice:
    run = look.run
    kinds: dict[tuple[int, str], list[Failed]] = {}
    raised = [each for each in run.failures if each.kind not in _DIED]
    for each in raised:
        kinds.setdefault((each.site, each.kind), []).append(each)
    said = [_listed(run.sites[site], alike) for (site, _), alike in kinds.items()]
    if len(said) > _LISTED:
        said[_LISTED:] = [f"and {count(len(said) - _LISTED, 'other kind')}"]
    # A call without errors= loses the results of the others, too.
    first = min(raised, key=lambda each: each.kept)
    site = run.sites[first.site]
    name = site[1].rpartition(".")[2]
    return Advice(
        "failed",
        f"{of_all(run, number)} failed",
        "; ".join(said) + ".",
        _going_on(first, site[0], name),
        "the results of these" if first.kept else "the results of the others",
        line=f"{site[2]}:{site[3]}" if site[2] else "",
    )


def _going_on(first: Failed, method: str, name: str) -> str:
    """Return how the program keeps the results of the other tasks."""
    if first.kept:
        return (
            f"The other results were kept, since the call has errors=. Mend {name}, or its items."
        )
    if method in _OF_MANY:
        return (
            f'To keep the other results: {method}({name}, ..., errors="return") gives oc.Failed, '
            'with the item and the error, in place of each failed one; errors="skip" leaves them '
            "out."
        )
    return "To keep the other results: look at future.exception() before future.result()."


def _listed(site: Site, alike: list[Failed]) -> str:
    """Return ``ValueError, 10 times in f: bad 3 (item 3), bad 13 (item 13) and others``."""
    number = sum(each.number for each in alike)
    which = "item" if "map" in site[0] else "task"
    some = [f"{each.message} ({which} {each.first})" for each in alike[:_EXAMPLES] if each.message]
    others = " and others" if len(alike) > _EXAMPLES else ""
    times = "once" if number == 1 else f"{number:,} times"
    said = f"{alike[0].kind}, {times} in {site[1]}"
    return f"{said}: {', '.join(some)}{others}" if some else said


def timed(look: Look, others: list[Advice]) -> Iterator[Advice]:
    """Yield advice on the cost of the pool's workers."""
    yield from _too_many(look, others)
    yield from _replaced(look)
    yield from _again(look)


def _too_many(look: Look, others: list[Advice]) -> Iterator[Advice]:
    run, parts = look.run, look.parts
    extra = run.wanted - run.cpus
    # There may be any number of workers that wait for input or output: these fill the CPUs.
    if (
        extra <= 0
        or run.hosts
        or run.method == "thread"
        or any(each.kind == "threads" for each in others)
    ):
        return
    if parts.wanting < 0.2 * parts.compute or parts.pausing > 0.3 * parts.compute:
        return
    if parts.wanting / parts.workers < look.worth:
        return
    each = _memory_of_one(look)
    yield Advice(
        "workers",
        "There are more workers than CPUs",
        f"{run.wanted} workers on {count(run.cpus, 'CPU')}: for {percent(parts.wanting, parts.compute)} "
        "of the time in your functions no CPU was free.",
        f"oc.Pool({run.cpus}), which is the default: the same work at the same time, in less memory.",
        f"{human_bytes(int(extra * each))} of memory, and the start of {count(extra, 'worker')}",
        nbytes=extra * each,
    )


def _memory_of_one(look: Look) -> float:
    """Return the private bytes of a worker, on average."""
    table = look.run.memory
    mine = table[table["worker"] >= 0]
    return float(mine["uss"].mean()) if len(mine) else 0.0


def _replaced(look: Look) -> Iterator[Advice]:
    run, parts = look.run, look.parts
    lives = run.workers
    if len(lives) < 3 * run.wanted or int(run.totals["lost"].sum()):
        return
    took = np.where(lives["ready"] > 0, lives["ready"] - lives["born"], 0) / 1e9
    # The computing would remain, and the start of the first ones.
    stays = parts.compute / parts.workers + float(took[: run.wanted].mean())
    saves = parts.wall - stays
    if saves >= look.worth:
        yield Advice(
            "replaced",
            "Workers are replaced again and again",
            f"{len(lives):,} workers were started for {run.wanted} places, for "
            f"{seconds(float(took.mean()))} each.",
            "Raise maxtasksperchild=, or leave it out.",
            look.gain(saves),
            saves,
        )


def _again(look: Look) -> Iterator[Advice]:
    run, parts = look.run, look.parts
    saves = (parts.startup + parts.initializing) / parts.workers
    if run.facts.get("pools_before", 0) >= 2 and saves >= look.worth:
        yield Advice(
            "pools",
            "Every call has a pool of its own",
            f"This is pool number {int(run.facts['pools_before']) + 1} of the program; starting its "
            f"workers took {seconds(saves)}.",
            "Make one pool at the beginning and use it for all calls: with oc.Pool() as pool: around "
            "the whole.",
            look.gain(saves) + ", in each of them",
            saves,
        )


def memory(look: Look) -> Iterator[Advice]:
    """Yield advice on memory that is kept, and on memory that should be shared."""
    run = look.run
    worst: tuple[int, int, int] = (0, 0, 0)
    grown = 0
    table = run.memory
    for worker in np.unique(table["worker"]):
        rows = table[table["worker"] == worker]
        # What a call's function holds is freed when the call is over.
        lives = run.workers[run.workers["worker"] == worker]
        rows = rows[rows["time"] <= lives["last"].max(initial=0)]
        if worker < 0 or len(rows) < 8:
            continue
        # The first fifth is imports and caches that fill.
        uss = rows["uss"][len(rows) // 5 :].astype("i8")
        growth = int(uss[-1] - uss[0])
        if growth > 0.5 * _GROWTH and _rises(uss):
            grown += growth
        if growth > worst[0] and _rises(uss):
            worst = growth, int(worker), int(uss[-1])
    if worst[0] > _GROWTH:
        yield Advice(
            "growth",
            "A worker's own memory grows",
            f"Worker {worst[1]} grew by {human_bytes(worst[0])} to {human_bytes(worst[2])}.",
            "Something keeps what tasks make: a cache, a global list. "
            f"{look.pool}, maxtasksperchild=100) gives the memory back.",
            # It has grown in the first fifth too.
            f"{human_bytes(int(1.25 * grown))}, of all workers together",
            nbytes=1.25 * grown,
        )
    copied = run.facts.get("inherited_bytes_copied", 0)
    if copied > _GROWTH:
        yield Advice(
            "inherited",
            "Forked workers copy what they inherited",
            f"{human_bytes(int(copied))} of inherited memory are no longer in common: reading a "
            "Python object writes its reference count, and the kernel copies the page.",
            "data = oc.share(data) before the pool is made: its pages are never written to.",
            human_bytes(int(copied)),
            nbytes=float(copied),
        )


def _rises(values: Table) -> bool:
    """Return True if the values rise more or less steadily: each third is above the one before it."""
    third = len(values) // 3
    one, two, three = (float(values[at * third :][:third].mean()) for at in range(3))
    return one < two < three
