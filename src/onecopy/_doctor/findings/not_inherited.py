"""Globals that a function of a worker reads, and that the main process has set where no worker runs.

Under spawn and forkserver, which Python takes by itself since 3.14, a worker runs the main module
again, without what its guard keeps from it. What a global is there, and in the main process, was
noted when the worker began; the program's source says which of them the worker's function reads. A name
that such a function sets itself is a cache, and no fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ...errors import article
from .. import reading, source
from ..finding import Case, Finding, Line, count
from ..history import Process, Site
from ..inside import kinds
from ..pools import Pool

_LIBRARY = ("multiprocessing.pool.worker", "._process_worker")
_FRESH = ("spawn", "forkserver")
_NUMBERS = ("int", "float", "bool")
_SHARED, _MANY = ("list", "dict", "tuple", "str", "bytes"), 10_000


class _Global(NamedTuple):
    """A global as it was noted."""

    kind: str
    size: str

    def said(self) -> str:
        """``a list of 5 items``, ``3``, ``None``, ``an object of Model``."""
        if self.kind == "NoneType":
            return "None"
        if self.kind in _NUMBERS:
            return self.size
        if not self.size:
            return f"{article(self.kind)} {self.kind}"
        text = self.kind in ("str", "bytes")
        return f"{article(self.kind)} {self.kind} of {count(int(self.size), 'character' if text else 'item')}"


class _Difference(NamedTuple):
    name: str
    here: _Global
    there: _Global | None
    site: Site


def look(case: Case) -> Iterator[Finding]:
    for parent in case.history.processes:
        pools = [pool for pool in case.pools if pool.parent is parent]
        workers = [each for each in case.history.workers() if each.parent is parent]
        mine = [each for each in workers if each.method in _FRESH]
        in_pools = {worker for pool in pools for worker in pool.workers}
        for pool in pools:
            names = {pool.function(row) for row in pool.tasks[:8]}
            yield from _of(parent, [w for w in pool.workers if w in mine], names, pool)
        grouped: dict[str, list[Process]] = {}
        for each in mine:
            if each not in in_pools:
                grouped.setdefault(each.target, []).append(each)
        for target, some in grouped.items():
            # A pool's worker that got no task has a function of the library.
            if not target.endswith(_LIBRARY):
                yield from _of(parent, some, {target}, None)


class _Noted(NamedTuple):
    """The globals of the program's modules at a time, and the files of the modules."""

    globals: dict[str, _Global]
    files: dict[str, str]


def _noted(process: Process, worker: int, before: int) -> _Noted:
    """As they were last noted before a time."""
    rows = process.of(kinds.MAIN)
    rows = rows[(rows["a"] == worker) & (rows["t0"] <= before)]
    if not len(rows):
        return _Noted({}, {})
    file, *lines = process.text(rows[-1]["d"]).split("\n")
    words = [line.split("\t") for line in lines]
    found = {each[0]: _Global(each[1], each[2]) for each in words if len(each) == 3}
    return _Noted(found, {"": file, **{each[0]: each[1] for each in words if len(each) == 2}})


def _of(
    parent: Process, workers: list[Process], functions: set[str], pool: Pool | None
) -> Iterator[Finding]:
    errors = _errors(workers)
    for worker in workers:
        if worker.start is None or not len(worker.of(kinds.MAIN)):
            continue
        here = _noted(parent, 0, int(worker.start["t0"] + worker.start["a"]))
        there = _noted(worker, 1, worker.stop)
        found = [
            each
            for each in _differences(here, there.globals, functions)
            if _matters(here.files, each, worker, errors)
        ]
        if found:
            yield _finding(parent, workers, found, pool)
            return


def _differences(
    here: _Noted, there: dict[str, _Global], functions: set[str]
) -> Iterator[_Difference]:
    for function in sorted(functions):
        for name, read in reading.by_worker(here.files, function).items():
            mine = here.globals.get(name)
            if mine is not None and there.get(name) != mine:
                yield _Difference(name, mine, there.get(name), read.site)


def _matters(
    files: dict[str, str], found: _Difference, worker: Process, errors: Counter[str]
) -> bool:
    if found.there is None:
        # Perhaps it is never read: there must be an error.
        return f"NameError {found.name}" in errors or worker.exit == 1
    # Of a number: a time, or a random one, is another each time the module runs. And what a module
    # has that nothing sets is what it has made of its surroundings.
    of_number = found.here.kind in _NUMBERS or "." in found.name
    if of_number and not reading.is_set(files, found.name):
        return False
    home, _, last = found.name.rpartition(".")
    set_by_itself = source.set_by_functions(files.get(home, ""), last)
    set_up = bool(len(worker.of(kinds.READY))) and set_by_itself
    empty = found.there.kind == "NoneType" or found.there.size == "0"
    return empty or not set_up  # an initializer may have given it a value of the worker's own


def _errors(workers: list[Process]) -> Counter[str]:
    """The tasks that have raised, by the type of the error, and the name that was not found."""
    errors: Counter[str] = Counter()
    for worker in workers:
        for key, times in worker.counters.items():
            words = key.split("\t")
            if words[0] == "error":
                errors[f"{words[1]} {words[2]}".strip()] += times
    return errors


def _finding(
    parent: Process,
    workers: list[Process],
    found: list[_Difference],
    pool: Pool | None,
) -> Finding:
    errors = _errors(workers)
    raised, times = errors.most_common(1)[0] if errors else ("", 0)
    ended = sum(each.exit == 1 for each in workers)
    first = found[0]
    method = workers[0].method
    names = ", ".join(repr(each.name) for each in found[:3])
    told = ""
    if raised:
        told = f"{raised.split()[0]} in {count(times, 'task')}. "
    elif ended:
        told = f"Exit code 1 of {ended} of {len(workers)} processes. "
    there = first.there.said() if first.there is not None else "not there"
    return Finding(
        id="not-inherited",
        level="crash" if raised or ended else "wrong",
        title=f"Workers by {method} do not have {names} of the main process",
        evidence=f"{told}In the main process {first.name!r} is {first.here.said()}; in the workers, which "
        f"run the main module again without the part under its guard, it is {there}.",
        where=first.site,
        change=tuple(_change(found, pool, workers[0])),
        advice=_advice(parent, method),
        figures={"globals": len(found), "failed": times or ended, "workers": len(workers)},
        pool=pool,
    )


def _change(found: list[_Difference], pool: Pool | None, worker: Process) -> Iterator[Line]:
    # By the names that the file with the pool, or the start, has for modules.
    file = pool.site.file if pool is not None else worker.started_at.file
    known = {each.name: reading.known_as(file, each.name) for each in found[:3]}
    names = ", ".join(known.values())
    if pool is None:
        site = worker.started_at
        yield Line(site.line, " ", source.line(site))
        yield Line(0, " ", f"# hand it over: Process(target={worker.target}, args=({names}, ...))")
        return
    call = source.call_at(pool.site, ("Pool", "ProcessPoolExecutor"))
    set_up = "set_up"
    if call is not None and any(each.arg == "initializer" for each in call.keywords):
        yield Line(call.lineno, " ", source.line(pool.site))
        yield Line(0, " ", "# in its initializer, from another of the initargs each:")
    else:
        yield Line(0, "+", f"def {set_up}(*values):")
    plain = [each.name for each in found[:3] if "." not in each.name]
    if plain:
        yield Line(0, "+", f"    global {', '.join(plain)}")
    yield Line(0, "+", f"    {names} = values" if len(found) > 1 else f"    ({names},) = values")
    if call is not None and not any(each.arg == "initializer" for each in call.keywords):
        comma = "," if len(found) == 1 else ""
        values = {"initializer": set_up, "initargs": f"({names}{comma})"}
        before, after = source.with_keywords(pool.site, call, values)
        yield Line(call.lineno, "-", before)
        yield Line(call.lineno, "+", after)
    large = next((each.name for each in found[:3] if _large(each.here)), "")
    if large:
        yield Line(0, " ", "# what is large, once for all workers, before that:")
        yield Line(0, "+", f"{known[large]} = oc.share({known[large]})")


def _large(value: _Global) -> bool:
    """Return True for what is worth sharing."""
    many = value.size.isdigit() and int(value.size) >= _MANY
    return value.kind in ("ndarray", "DataFrame") or (value.kind in _SHARED and many)


def _advice(parent: Process, method: str) -> str:
    if method == "forkserver" and parent.forkserver_by_default:
        return (
            "This Python took forkserver by itself, where versions before 3.14 forked; "
            'multiprocessing.set_start_method("fork") gives the workers what the main process has.'
        )
    return "Under fork a worker would have it."
