"""A pool that is made again and again at one place."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from .. import repeating, source
from ..finding import Case, Finding, Line, arrow, seconds
from ..history import Site
from ..inside import kinds
from ..pools import Pool

_TIMES = 3


def look(case: Case) -> Iterator[Finding]:
    for process in case.history.processes:
        made = process.of(kinds.POOL)
        places: dict[Site, int] = defaultdict(int)
        for row in made:
            places[process.site(row["d"])] += 1
        for site, times in places.items():
            mine = [p for p in case.pools if p.site == site and p.parent is process]
            if times >= _TIMES and len(mine) >= _TIMES and site.file:
                yield _finding(case, site, times, mine)


def _cost(pool: Pool) -> float:
    """Seconds until the pool was made and its first worker was ready, and those of ``terminate``."""
    begun = pool.begin
    made = begun + round(pool.lead * 1e9)
    ended = 0
    if pool.record is not None:
        begun = min(begun, int(pool.record["t0"]))
        made = max(made, int(pool.record["t0"]) + int(pool.record["a"]))
        closed = pool.parent.of(kinds.CLOSED)
        closed = closed[(closed["a"] == pool.record["f"]) & (closed["t0"] >= made)]
        ended = int(closed[0]["b"]) if len(closed) else 0
    return (made - begun + ended) / 1e9


def _finding(case: Case, site: Site, times: int, pools: list[Pool]) -> Finding:
    costs = [_cost(pool) for pool in pools]
    whole = sum(costs) * times / len(pools)  # of very many pools, not all tasks were recorded
    saving = whole - max(costs)
    compute = sum(pool.parts.compute for pool in pools) * times / len(pools)
    return Finding(
        id="pool-in-loop",
        level="time",
        title=f"{times} pools were made at {site}, where one would do",
        evidence=f"To start and to end them took {seconds(whole)} altogether, for "
        f"{seconds(compute)} of computing.",
        where=site,
        change=tuple(_lines(site)),
        advice="One pool lives as long as the program needs it.",
        saving=saving,
        of=case.wall,
        gain=arrow(case.wall, case.wall - saving),
        figures={"pools": times, "costs": whole, "compute": compute},
        pool=pools[0],
    )


def _lines(site: Site) -> Iterator[Line]:
    call = source.call_at(site, ("Pool", "ProcessPoolExecutor", "Parallel"))
    repeat = repeating.of(site, call) if call is not None else None
    if call is not None and (repeat is None or repeat.function is not None):
        yield from _of_function(site, call, repeat)
        return
    made, loop = source.line(site), source.enclosing_loop(site)
    if loop is None:
        yield Line(site.line, " ", made)
        yield Line(0, " ", "# once, before what calls this, and handed on")
        return
    head = source.line(Site(site.file, loop.lineno, ""))
    yield Line(site.line, "-", made)
    yield Line(loop.lineno, "+", made)
    yield Line(loop.lineno, " ", ("    " if made.startswith("with ") else "") + head)
    inner = [node for node in ast.walk(loop) if isinstance(node, ast.With)]
    if inner and made.startswith("with "):
        for node in inner[0].body[:2]:
            yield Line(node.lineno, " ", "        " + source.line(Site(site.file, node.lineno, "")))


def _of_function(site: Site, call: ast.Call, repeat: repeating.Repeat | None) -> Iterator[Line]:
    """A function, or method, that makes a pool each time: its object keeps one, or it is given one."""
    function = repeating.function_of(site.file, call.lineno)
    if function is None:
        yield Line(site.line, " ", source.line(site))
        yield Line(0, " ", "# once, and kept")
        return
    text, name = source.text_of(site, call), _variable(site, call) or "pool"
    names = [each.arg for each in function.args.args]
    uses = _uses(site, function, name)
    own = names[0] if names[:1] in (["self"], ["cls"]) else ""
    if own:
        yield Line(0, " ", "# in __init__, once:")
        yield Line(0, "+", f"{own}.{name} = {text}")
        yield Line(call.lineno, "-", source.line(site))
        for number, line in uses:
            yield Line(number, "-", line)
            yield Line(number, "+", re.sub(rf"\b{name}\.", f"{own}.{name}.", line))
        return
    head = source.line(Site(site.file, function.lineno, ""))
    yield Line(function.lineno, "-", head)
    comma = ", " if names else ""
    yield Line(function.lineno, "+", head.replace("(", f"({name}{comma}", 1))
    yield Line(call.lineno, "-", source.line(site))
    if repeat is None:
        yield Line(0, " ", f"# and around what calls {function.name}:")
        yield Line(0, "+", f"with {text} as {name}:")
        yield Line(0, "+", f"    {function.name}({name}{comma}{', '.join(names)})")
        return
    given = source.text_of(site, repeat.call)
    changed = given.replace("(", f"({name}{', ' if repeat.call.args else ''}", 1)
    whole = source.line(Site(site.file, repeat.call.lineno, ""))
    first = source.line(Site(site.file, repeat.loop.lineno, ""))
    yield Line(repeat.loop.lineno, "+", f"with {text} as {name}:")
    if isinstance(repeat.loop, ast.For):
        yield Line(repeat.loop.lineno, " ", "    " + first)
    deep = "        " if isinstance(repeat.loop, ast.For) else "    "
    yield Line(repeat.call.lineno, "-", whole)
    yield Line(repeat.call.lineno, "+", deep + whole.replace(given, changed, 1))


def _variable(site: Site, call: ast.Call) -> str:
    """The name that a pool is given; '' for an attribute, or none."""
    found = [
        target
        for node in ast.walk(source.tree_of(site.file) or ast.Module([], []))
        for target, value in source.assignments(node)
        if value is call and isinstance(target, ast.Name)
    ]
    return found[0].id if found else ""


def _uses(site: Site, function: ast.AST, name: str) -> list[tuple[int, str]]:
    """The lines of a function that call methods of a variable."""
    numbers = {
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    }
    return [(each, source.line(Site(site.file, each, ""))) for each in sorted(numbers)]
