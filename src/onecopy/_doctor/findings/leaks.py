"""Segments of shared memory that no process unlinks, and semaphores that stay."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator

from .. import source
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
    if still:
        said.append(f"{len(still)} of them ({human_bytes(size)}) are in /dev/shm still.")
    if len(still) < len(left):
        said.append(
            f"{len(left) - len(still)} were removed by the resource tracker at the end, with a "
            "warning; until then they took memory."
        )
    call = source.call_at(site, ("SharedMemory",))
    name = "segment"
    made = source.line(site)
    if call is not None and "=" in made:
        name = made.partition("=")[0].strip()
    return Finding(
        id="leaked-shared-memory",
        level="memory",
        title=f"{count(len(left), 'segment')} of shared memory ({human_bytes(whole)}) "
        f"{'was' if len(left) == 1 else 'were'} never unlinked",
        evidence=" ".join(said),
        where=site,
        change=(
            Line(site.line, " ", made),
            Line(0, "+", "try: ..."),
            Line(0, "+", f"finally: {name}.close(); {name}.unlink()"),
            Line(0, " ", "# or memory without a name, gone with its last user, killed or not:"),
            Line(0, "+", "array = oc.empty(shape, dtype)"),
        ),
        memory=float(whole),
        gain=f"{human_bytes(whole)} of memory",
        figures={"segments": len(left), "bytes": whole, "still": len(still)},
    )
