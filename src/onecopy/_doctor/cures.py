"""Changes as lines of the program: other imports, a call with an argument more, a shared variable."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from . import source
from .finding import Line
from .history import Site, Table
from .inside import kinds
from .pools import Pool

MAPS = ("map", "imap", "imap_unordered", "starmap", "map_async", "starmap_async")
SUBMITS = ("submit", *MAPS, "apply", "apply_async", "run_in_executor")
_OURS = {"Pool": "Pool", "ProcessPoolExecutor": "ProcessPoolExecutor"}


def imports(pool: Pool) -> list[Line]:
    """The line that brings the pool, and the one that brings ours instead."""
    wanted = _OURS.get(pool.kind)
    if wanted is None:
        return [Line(0, "+", "onecopy.joblib.register(); parallel_config(backend='onecopy')")]
    found = source.import_of(pool.site.file, wanted)
    if found is not None:
        return [Line(found[0], "-", found[1]), Line(found[0], "+", f"from onecopy import {wanted}")]
    call = source.call_at(pool.site, (wanted,))
    if call is None:
        return [Line(0, "+", f"from onecopy import {wanted}")]
    # multiprocessing.Pool(...), context.Pool(...)
    before, after = source.replaced(pool.site, call.func, f"oc.{wanted}")
    return [
        Line(0, "+", "import onecopy as oc"),
        Line(call.lineno, "-", before),
        Line(call.lineno, "+", after),
    ]


class Heavy(NamedTuple):
    """A large value in a pool's messages.

    Attributes:
        kind: its type; name: the variable that holds it, or ''.
        times: messages that it, or a part of it, was in; starts: different parts among them.
        whole: bytes of it altogether.
        method: it went along as the object of a method.
    """

    kind: str
    name: str
    times: int
    starts: int
    whole: float
    method: bool

    def said(self) -> str:
        """``the same ndarray (table) 40 times``, ``4 slices of one recarray (rows)``."""
        what = f"{self.kind} ({self.name!r})" if self.name else self.kind
        if self.times > 1 and self.starts == 1:
            return f"the same {what} {self.times} times"
        if self.times > 1:
            return f"{self.starts} slices of one {what}"
        return what


def heavy(pool: Pool, what: int) -> Heavy | None:
    """Of all that was large in the messages of a pool, what was there most."""
    parent = pool.parent
    processes = [parent] if what == kinds.TASK else pool.workers
    rows = [(each, row) for each in processes for row in _of_pool(each.of(kinds.BIG), pool, what)]
    if not rows:
        return None
    roots = Counter(int(row["b"]) for _, row in rows)
    root, times = roots.most_common(1)[0]
    owner, first = next((each, row) for each, row in rows if int(row["b"]) == root)
    mine = [row for _, row in rows if int(row["b"]) == root]
    kind = owner.text(first["d"])
    if what == kinds.RESULT:
        return Heavy(kind, "", 1, 1, float(first["i"]), False)
    starts = len({int(row["h"]) for row in mine})
    whole = max(float(row["i"]) for row in mine)
    name = _variable(pool, root, whole)
    return Heavy(kind, name, times, starts, whole, "of the method" in kind)


def _of_pool(rows: Table, pool: Pool, what: int) -> Table:
    rows = rows[rows["g"] == what]
    numbers = pool.tasks["one"]
    low, high = int(numbers.min()), int(numbers.max())
    found: Table = rows[(rows["e"] >= low) & (rows["e"] <= high)]
    return found


def _variable(pool: Pool, root: int, whole: float) -> str:
    """The name of the variable with that identity, or else of the only one of that size."""
    rows = pool.parent.of(kinds.NAMED)
    same = rows[rows["b"] == root]
    if not len(same):
        same = rows[(rows["a"] == int(whole)) & (rows["a"] > 0)]
    titles = {pool.parent.text(row["d"]) for row in same}
    return titles.pop() if len(titles) == 1 else ""


def share(pool: Pool, found: Heavy | None) -> list[Line]:
    """``data = oc.share(data)`` before the work is given out, and the pool that makes it pay."""
    lines = [Line(0, "+", "import onecopy as oc")]
    site, _ = pool.submit
    name = found.name if found is not None else ""
    if name:
        before = min(each.line for each in (site, pool.site) if each.line) if site.line else 0
        at = source.after_assignment(site, name) or before
        lines.append(Line(at, "+", f"{name} = oc.share({name})"))
    # In the order of the program: of one line's, the sharing comes before the pool.
    return sorted(dict.fromkeys([*lines, *imports(pool)]), key=lambda each: each.number)


def with_keyword(site: Site, name: str, value: str) -> list[Line]:
    """The call of a map at a place, with an argument more."""
    call = source.call_at(site, MAPS)
    if call is None:
        return []
    before, after = source.with_keyword(site, call, name, value)
    return [Line(call.lineno, "-", before), Line(call.lineno, "+", after)]
