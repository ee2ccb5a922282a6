"""Standard output that was not yet written at a fork, and is written by the child as well.

``multiprocessing`` has it written before it forks; ``os.fork`` does not. A child that comes to a
normal end writes what it has inherited.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, count
from ..inside import kinds


def look(case: Case) -> Iterator[Finding]:
    found = [
        (process, row) for process in case.history.processes for row in process.of(kinds.REPEATED)
    ]
    if not found:
        return
    process, row = found[0]
    site = process.site(row["d"])
    most = max(int(each["a"]) for _, each in found)
    yield Finding(
        id="output-doubled",
        level="wrong",
        title=f"{count(len(found), 'forked process', 'forked processes')} wrote again what their parent had "
        "printed",
        evidence=f"{count(most, 'character')} of standard output waited in memory at the fork, which copies "
        "them; each process writes them at its end. On a terminal each line is written at once, "
        "and nothing is to be seen of it.",
        where=site,
        change=(
            Line(0, "+", "sys.stdout.flush()"),
            Line(site.line, " ", source.line(site)),
            Line(0, " ", "# and at the end of the child, which then writes and closes nothing:"),
            Line(0, "+", "os._exit(0)"),
        ),
        advice="multiprocessing.Process and onecopy have it written before they fork.",
        figures={"processes": len(found), "characters": most},
    )
