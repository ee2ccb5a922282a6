"""The text of a report: one sentence of verdict, and advice.

Advice is about one call of the program, or about the pool, and is given only if something is
clearly wrong: nothing that would save less than 3 % of the run's time or 50 ms is mentioned. Each
piece has its evidence from this very run, an estimate of the gain, and the change as code.
``causes`` has the causes in a call, ``pools`` those in the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from . import causes, pools
from .calls import Call, calls
from .face import Advice, Look, of_all
from .hosts import staff
from .kinds import spent
from .model import Run
from .program import NONE
from .words import count, human_bytes, percent, seconds

__all__ = ["Advice", "advice", "failed", "saved_by_sharing", "verdict"]


def verdict(run: Run) -> str:
    """Return how well the workers were used, with figures; failures first."""
    parts = run.accounting()
    if not run.tasks:
        return f"No task has ended yet ({staff(run)} by {run.method})."
    said = failed(run)
    said += (
        f"Your functions ran for {percent(parts.compute, parts.total)} of the time "
        f"({staff(run)}, {seconds(parts.wall)}, {count(run.tasks, 'task')})"
    )
    if parts.running < 0.9 * parts.compute:
        said += f", and were on a CPU for {percent(parts.running, parts.total)}"
    losses = [(value, kind.lost) for kind, value in spent(parts) if kind.lost]
    most, name = max(losses, default=(0.0, ""))
    if most > 0.02 * parts.total:
        said += f". The largest loss: {percent(most, parts.total)} {name}"
    if saved := saved_by_sharing(run):
        said += f". One copy of the shared data saved {human_bytes(saved)}"
    return said + "."


def saved_by_sharing(run: Run) -> int:
    """Return the bytes that one copy of shared data saved, or 0 if they are few.

    Processes also share the interpreter's pages and message buffers: these are no shared data.
    """
    saved = int(run.facts.get("saved_bytes", 0))
    return saved if saved > 1e6 and run.facts.get("segment_bytes", 0) > 1e6 else 0


def failed(run: Run) -> str:
    """Return ``10 of 100 tasks failed: ValueError('bad 3') and 9 more.``, or an empty string."""
    number = sum(each.number for each in run.failures)
    if not number:
        return ""
    first = run.failures[0]
    others = f" and {number - 1:,} more" if number > 1 else ""
    what = f"{first.kind}({first.message!r})" if first.message else first.kind
    return f"{of_all(run, number)} failed: {what}{others}. "


def advice(run: Run) -> list[Advice]:
    """Return the advice: failures first, then by the time that it would save; often none."""
    look = Look(run, run.accounting())
    found = list(pools.failures(look))
    if run.tasks:
        timed = [each for call in calls(run) for each in _of_call(look, call)]
        timed += pools.timed(look, timed)
        found += sorted(timed, key=lambda each: -max(each.saves, each.cpu))
    found += pools.memory(look)
    return [_in_words(run, each) for each in found]


def _in_words(run: Run, given: Advice) -> Advice:
    """Return advice with the names of the program at its line; advice on a whole pool has no line,
    and gets the names of the first call."""
    own = {
        f"{file}:{line}": words
        for (_, _, file, line, _), words in zip(run.sites, run.words, strict=False)
    }
    first = next((words for words in run.words if words != NONE), NONE)
    words = own.get(given.line, NONE) if given.line else first
    return replace(given, change=words.of_library(given.change))


def _of_call(look: Look, call: Call) -> Iterator[Advice]:
    """Yield the first cause that explains most of a call. Others would count the same time again,
    unless they are about another part of it."""
    found = [each for cause in causes.CAUSES for each in cause(look, call)]
    worth = [each for each in found if max(each.saves, each.cpu) >= look.worth]
    said: set[str] = set()
    for each in worth:
        if each.part not in said:
            said.add(each.part)
            yield each
