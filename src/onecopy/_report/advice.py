"""What a report says in words: one sentence of verdict, and what to change.

Advice is given for one call of the program, or for the pool, and only when something is
plainly off: nothing that would save less than 3 % of the run's time or 50 ms is spoken of.
Each has its evidence from this very run, an estimate of what would be gained, and the
change as code. What to look for in a call is in ``causes``, in the pool in ``pools``.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import causes, pools
from .calls import Call, calls
from .face import Advice, Look
from .kinds import spent
from .model import Run
from .words import count, human_bytes, percent, seconds

__all__ = ["Advice", "advice", "failed", "verdict"]


def verdict(run: Run) -> str:
    """How well the workers were used, with figures; failures first."""
    parts = run.accounting()
    if not run.tasks:
        return f"No task has ended in {seconds(parts.wall)}."
    said = failed(run)
    said += (
        f"Your functions ran for {percent(parts.compute, parts.total)} of the time "
        f"({count(parts.workers, 'worker')}, {seconds(parts.wall)}, {count(run.tasks, 'task')})"
    )
    if parts.running < 0.9 * parts.compute:
        said += f", and were on a CPU for {percent(parts.running, parts.total)}"
    losses = [(value, kind.lost) for kind, value in spent(parts) if kind.lost]
    most, name = max(losses, default=(0.0, ""))
    if most > 0.02 * parts.total:
        said += f". The largest loss: {percent(most, parts.total)} {name}"
    saved = run.facts.get("saved_bytes", 0)
    # Every process shows the same pages of the interpreter: that is nothing that was shared.
    if saved > 1e6 and run.facts.get("segment_bytes", 0) > 1e6:
        said += f". One copy of the shared data saved {human_bytes(int(saved))}"
    return said + "."


def failed(run: Run) -> str:
    """``10 of 100 tasks failed: ValueError('bad 3') and 9 more.``, or nothing."""
    number = sum(each.number for each in run.failures)
    if not number:
        return ""
    first = run.failures[0]
    others = f" and {number - 1:,} more" if number > 1 else ""
    what = f"{first.kind}({first.message!r})" if first.message else first.kind
    all_ = int(run.totals["items"].sum())
    return f"{number:,} of {count(max(all_, number), 'task')} failed: {what}{others}. "


def advice(run: Run) -> list[Advice]:
    """What to change: what failed first, then by what it would save; often nothing."""
    look = Look(run, run.accounting())
    found = list(pools.failures(look))
    if run.tasks:
        timed = [each for call in calls(run) for each in _of_call(look, call)]
        timed += pools.timed(look, timed)
        found += sorted(timed, key=lambda each: -max(each.saves, each.cpu))
    return found + list(pools.memory(look))


def _of_call(look: Look, call: Call) -> Iterator[Advice]:
    """The first cause that explains most of a call; others would count the same time again,
    unless they are about another part of it."""
    found = [each for cause in causes.CAUSES for each in cause(look, call)]
    worth = [each for each in found if max(each.saves, each.cpu) >= look.worth]
    said: set[str] = set()
    for each in worth:
        if each.part not in said:
            said.add(each.part)
            yield each
