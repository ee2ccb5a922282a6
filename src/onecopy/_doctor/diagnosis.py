"""From a recording to what is shown: history, pools, findings."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._report.model import Run
from . import findings, joined, own
from .finding import Case, Finding
from .history import History
from .inside import kinds
from .pools import Pool
from .recording import Facts, Recording


@dataclass(frozen=True)
class Diagnosis:
    """The results of one analysis.

    Attributes:
        history, pools: what happened.
        findings: what to change, in order.
        notes: what could not be seen, or was not recorded.
        own: runs of onecopy's own pools.
    """

    history: History
    pools: list[Pool]
    findings: list[Finding]
    notes: list[str]
    own: list[Run] = field(default_factory=list)

    @property
    def facts(self) -> Facts:
        """The launcher's."""
        return self.history.facts

    @property
    def well(self) -> bool:
        """Nothing is to be changed: notes at most."""
        return all(each.level == "note" for each in self.findings)


def of(recording: Recording) -> Diagnosis:
    """Analyse a recording."""
    history = History(recording)
    ours = own.runs(recording)
    own.name(history, ours)
    found = joined.find(history)
    notes = _notes(history)
    return Diagnosis(history, found, findings.find(Case(history, found), notes), notes, ours)


def _notes(history: History) -> list[str]:
    notes = []
    unseen = history.unseen()
    if unseen:
        some = "1 Python process" if len(unseen) == 1 else f"{len(unseen)} Python processes"
        notes.append(
            f"{some} could not be looked into (started with -I, -E or -S, with an environment of "
            f"its own, or by an old Python): {unseen[0]}"
        )
    lost = sum(process.lost for process in history.processes)
    if lost:
        notes.append(
            f"{lost:,} records are missing: there was no room for them, or they were overwritten"
        )
    failed = set()
    for process in history.processes:
        for row in process.of(kinds.ERROR):
            if int(row["a"]) == kinds.HOOK:
                failed.add(process.text(row["d"]))
    notes += [f"not looked at in this version of the library: {each}" for each in sorted(failed)]
    thinned = max((process.thinned for process in history.processes), default=1)
    if thinned > 1:
        notes.append(f"of so long a run 1 task in {thinned} was kept; the rest is told from these")
    return notes
