"""Changes as lines of the program: other imports, a call with an argument more, a shared variable."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from . import source
from .finding import Line
from .history import Process, Site, Table
from .inside import kinds
from .pools import Pool

MAPS = ("map", "imap", "imap_unordered", "starmap", "map_async", "starmap_async")
SUBMITS = ("submit", *MAPS, "apply", "apply_async", "run_in_executor")
_OURS = {"Pool": "Pool", "ProcessPoolExecutor": "ProcessPoolExecutor"}


def imports(pool: Pool) -> list[Line]:
    """The line that brings the pool, and the one that brings ours instead."""
    return imports_at(pool.site, pool.kind)


def imports_at(site: Site, kind: str) -> list[Line]:
    """The same for a pool of a kind that is made at a place."""
    wanted = _OURS.get(kind)
    if wanted is None:
        return _joblib(site)
    found = source.import_of(site.file, wanted)
    if found is not None:
        rest = source.import_without(site.file, found[0], wanted)
        kept = [Line(found[0], "+", rest)] if rest else []
        ours = Line(found[0], "+", f"from onecopy import {wanted}")
        return [Line(found[0], "-", found[1]), *kept, ours]
    call = source.call_at(site, (wanted,))
    if call is None:
        return [Line(0, "+", f"from onecopy import {wanted}")]
    # multiprocessing.Pool(...), context.Pool(...)
    before, after = source.replaced(site, call.func, f"oc.{wanted}")
    return [
        Line(0, "+", "import onecopy as oc"),
        Line(call.lineno, "-", before),
        Line(call.lineno, "+", after),
    ]


def _joblib(site: Site) -> list[Line]:
    """The backend of joblib: in the call of Parallel, or around what calls that."""
    lines = [Line(0, "+", "import onecopy.joblib"), Line(0, "+", "onecopy.joblib.register()")]
    call = source.call_at(site, ("Parallel",))
    if call is not None:
        before, after = source.with_keyword(site, call, "backend", '"onecopy"')
        return [*lines, Line(call.lineno, "-", before), Line(call.lineno, "+", after)]
    lines.append(Line(0, "+", 'with joblib.parallel_config(backend="onecopy"):'))
    return [*lines, Line(site.line, " ", "    " + source.line(site))]


class Heavy(NamedTuple):
    """A large value in a pool's messages.

    Attributes:
        kind: its type; name: the variable that holds it, or ''.
        times: messages that it, or a part of it, was in; starts: different parts among them.
        whole: bytes of it altogether.
        owner: it went along in an object of this class, as a method of that was called; or ''.
    """

    kind: str
    name: str
    times: int
    starts: int
    whole: float
    owner: str

    def said(self) -> str:
        """``the same ndarray ('table') 40 times``, ``4 slices of one recarray ('rows')``."""
        what = f"{self.kind} ({self.name!r})" if self.name else self.kind
        within = f", in the {self.owner} whose method is called" if self.owner else ""
        if self.times > 1 and self.starts == 1:
            return f"the same {what} {self.times} times{within}"
        if self.times > 1:
            return f"{self.starts} slices of one {what}{within}"
        return what + within


def kind_of(process: Process, row: Any) -> str:
    """The type of what is heavy in a message."""
    return process.text(row["d"]).partition("\t")[0]


def heavy(pool: Pool, what: int) -> Heavy | None:
    """Of all that was large in the messages of a pool, what was there most."""
    parent = pool.parent
    processes = [parent] if what == kinds.TASK else pool.workers
    rows = [(each, row) for each in processes for row in _of_pool(each.of(kinds.BIG), pool, what)]
    if not rows:
        return None
    roots = Counter(int(row["b"]) for _, row in rows)
    root, _ = roots.most_common(1)[0]
    owner, first = next((each, row) for each, row in rows if int(row["b"]) == root)
    mine = [row for _, row in rows if int(row["b"]) == root]
    kind, name, within = (*owner.text(first["d"]).split("\t"), "", "")[:3]
    if what == kinds.RESULT:
        return Heavy(kind, "", 1, 1, float(first["i"]), "")
    starts = len({(int(row["h"]), int(row["g"]) >> 8) for row in mine})
    whole = max(float(row["i"]) for row in mine)
    parts = all(int(row["a"]) < int(row["i"]) for row in mine)
    if starts > 1 and not parts:
        # Memory that is used again: each is another, and lives as long as its message.
        return Heavy(kind, "", 1, 1, float(first["i"]), within)
    if starts == 1:
        whole = max(whole, *(float(row["c"]) for row in mine))
    return Heavy(kind, name or _variable(pool, root, whole), len(mine), starts, whole, within)


def _of_pool(rows: Table, pool: Pool, what: int) -> Table:
    rows = rows[rows["g"] & 0xFF == what]
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
    if found is not None and found.name:
        lines += shared(site, pool.site, found.name)
    # In the order of the program: of one line's, the sharing comes before the pool.
    return sorted(dict.fromkeys([*lines, *imports(pool)]), key=lambda each: each.number)


def shared(site: Site, made: Site, name: str) -> list[Line]:
    """A variable made shared: where an attribute is set, or else before the work is given out, and the pool
    made."""
    _, dot, attribute = name.rpartition(".")
    value = source.attribute_set(site.file, attribute) if dot else None
    if value is not None:
        before, after = source.replaced(site, value, f"oc.share({source.text_of(site, value)})")
        return [Line(value.lineno, "-", before), Line(value.lineno, "+", after)]
    before_these = min([each.line for each in (site, made) if each.line], default=0)
    at = source.after_assignment(site, name) or before_these
    return [Line(at, "+", f"{name} = oc.share({name})")]


def with_keyword(site: Site, name: str, value: str) -> list[Line]:
    """The call of a map at a place, with an argument more."""
    call = source.call_at(site, MAPS)
    if call is None:
        return []
    before, after = source.with_keyword(site, call, name, value)
    return [Line(call.lineno, "-", before), Line(call.lineno, "+", after)]
