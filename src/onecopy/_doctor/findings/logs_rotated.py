"""Log files that several processes rotate: each renames the file that the others write to.

A process that has not renamed it itself goes on writing to the old file, under its new name, and then
renames the newest. Records come into the wrong files, and files are thrown away too early.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

from .. import source
from ..finding import Case, Finding, Line, count
from ..history import NOWHERE, Process, Site
from ..inside import kinds


def look(case: Case) -> Iterator[Finding]:
    writers: dict[str, list[Process]] = defaultdict(list)
    turns: dict[str, int] = defaultdict(int)
    for process in case.history.processes:
        for key in process.counters:
            words = key.split("\t")
            if words[0] == "rotating":
                writers[words[1]].append(process)
        for row in process.of(kinds.ROTATED):
            turns[process.text(row["d"])] += 1
    for file, some in writers.items():
        if len(some) > 1 and turns[file]:
            yield _finding(case, file, some, turns[file])


def _finding(case: Case, file: str, some: list[Process], turns: int) -> Finding:
    records = sum(process.counters[f"rotating\t{file}"] for process in some)
    name = os.path.basename(file)
    sites = [pool.site for pool in case.pools if any(each in pool.workers for each in some)]
    sites += [process.started_at for process in some if process.start is not None]
    return Finding(
        id="logs-rotated",
        level="wrong",
        title=f"{len(some)} processes rotate one log file, {name}: each renames it while others write",
        evidence=f"They wrote {count(records, 'record')} and renamed it {count(turns, 'time')}: the others "
        "write on to the file that was renamed, and old ones go too early.",
        where=next((site for site in sites if site.file), NOWHERE),
        change=tuple(_change(next((site for site in sites if site.file), NOWHERE))),
        advice="Records of onecopy's workers reach the handlers of the main process by themselves.",
        figures={"processes": len(some), "records": records, "turns": turns},
    )


def _change(site: Site) -> Iterator[Line]:
    """One process writes the file, and gets the records of the others by a queue."""
    made = [
        each
        for name in ("RotatingFileHandler", "TimedRotatingFileHandler")
        for each in source.calls(site.file, name)
    ]
    handler = source.text_of(site, made[0]) if made else "handler"
    yield Line(0, " ", "# in the main process, which alone has the rotating handler:")
    yield Line(0, "+", "queue = multiprocessing.Queue()")
    yield Line(0, "+", f"listener = QueueListener(queue, {handler})")
    yield Line(0, "+", "listener.start()    # and listener.stop() in the end")
    yield Line(0, " ", "# in the workers' initializer, which is given the queue:")
    if made:
        number = made[0].lineno
        before, after = source.replaced(site, made[0], "QueueHandler(queue)")
        yield Line(number, "-", before)
        yield Line(number, "+", after)
    else:
        yield Line(0, "+", "logging.getLogger().addHandler(QueueHandler(queue))")
