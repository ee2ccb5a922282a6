"""Segments of shared memory that no process unlinks, and semaphores that stay."""

from __future__ import annotations

import ast
import signal
from collections import Counter
from collections.abc import Iterator

from .. import repeating, source
from ..finding import Case, Finding, Line, count, human_bytes
from ..history import NOWHERE, Site
from ..inside import kinds


def look(case: Case) -> Iterator[Finding]:
    if case.facts.interrupted and case.facts.status == -signal.SIGKILL:
        return  # it hung, and was killed for that: nothing had time to remove what it had made
    made: dict[str, tuple[int, Site]] = {}
    gone: set[str] = set()
    for process in case.history.processes:
        for row in process.of(kinds.SHM):
            name = process.text(row["d"])
            if int(row["a"]) == kinds.MADE:
                made[name] = int(row["b"]), process.site(row["e"])
            elif int(row["a"]) == kinds.UNLINKED:
                gone.add(name)
    left = {name: each for name, each in made.items() if name not in gone}
    if left:
        yield _segments(case, left)
    locks = [
        "sem." + process.text(row["d"]).lstrip("/")
        for process in case.history.processes
        for row in process.of(kinds.SHM)
        if int(row["a"]) == kinds.SEMAPHORE
    ]
    named = [name for name in locks if name in case.facts.shared_memory_left]
    if named:
        yield Finding(
            id="leaked-semaphores",
            level="memory",
            title=f"{count(len(named), 'semaphore')} of this program stayed in /dev/shm",
            evidence=", ".join(named[:3]) + ".",
            advice="Something was killed before it could remove them.",
            gain="little",
            figures={"semaphores": len(named)},
        )


def _segments(case: Case, left: dict[str, tuple[int, Site]]) -> Finding:
    whole = sum(size for size, _ in left.values())
    still = {name for name in left if name.lstrip("/") in case.facts.shared_memory_left}
    size = sum(left[name][0] for name in still)
    places = Counter(site for _, site in left.values())
    site = places.most_common(1)[0][0] if places else NOWHERE
    said = []
    if len(still) == len(left):
        said.append(f"{'It is' if len(left) == 1 else 'They are'} in /dev/shm still.")
    elif still:
        said.append(f"{len(still)} of them ({human_bytes(size)}) are in /dev/shm still.")
    removed = len(left) - len(still)
    if removed:
        said.append(
            f"{'The resource tracker' if still else 'At the end the resource tracker'} removed "
            f"{'it' if len(left) == 1 else f'{removed} of them'}, with a warning; until then "
            f"{'it' if removed == 1 else 'they'} took memory."
        )
    return Finding(
        id="leaked-shared-memory",
        level="memory",
        title=f"{count(len(left), 'segment')} of shared memory ({human_bytes(whole)}) "
        f"{'was' if len(left) == 1 else 'were'} never unlinked",
        evidence=" ".join(said),
        where=site,
        change=tuple(_change(site)),
        memory=float(whole),
        gain=f"{human_bytes(whole)} of memory",
        figures={"segments": len(left), "bytes": whole, "still": len(still)},
    )


def _change(site: Site) -> Iterator[Line]:
    """The unlinking beside the closing; or our own memory, which has no name."""
    call = source.call_at(site, ("SharedMemory",))
    made = source.line(site)
    name = made.partition("=")[0].strip() if call is not None and "=" in made else "segment"
    yield Line(site.line, " ", made)
    closed = [
        each
        for each in source.calls(site.file, "close")
        if isinstance(each.func, ast.Attribute)
        and source.text_of(site, each.func.value) == name
        and _belongs(site, each.lineno, name)
    ]
    if closed:
        yield Line(closed[-1].lineno, " ", source.line(Site(site.file, closed[-1].lineno, "")))
        yield Line(0, "+", f"{name}.unlink()    # once, when no process needs it any more")
    else:
        yield Line(0, " ", "# once, when no process needs it any more:")
        yield Line(0, "+", f"{name}.close(); {name}.unlink()")
    yield Line(0, " ", "# or memory without a name, gone with its last user, killed or not:")
    given = "shape, dtype"
    for each in source.calls(site.file, "ndarray"):
        dtypes = [word.value for word in each.keywords if word.arg == "dtype"]
        parts = [*each.args[:2], *dtypes][:2]
        if len(parts) == 2:
            given = ", ".join(source.text_of(site, part) for part in parts)
            break
    yield Line(0, "+", f"array = oc.empty({given})")


def _belongs(site: Site, line: int, name: str) -> bool:
    """Return True if what is closed at a line is what was made at the site, and none that another process
    may still want to open: one of many, made in a loop."""
    if source.enclosing_loop(site) is not None:
        return False
    function = repeating.function_of(site.file, site.line)
    return "." in name or repeating.function_of(site.file, line) is function
