"""Chunks of a job that have not ended as they were given out. With the table's lock held."""

from __future__ import annotations

from collections.abc import Container

from .._schedule import events
from .._schedule.events import Event
from .runs import Run
from .work import Entry


def halved(entry: Entry | None, work: Container[int]) -> tuple[Event, ...]:
    """Return the events that halve an assignment, so that one bad item does not fail the others.

    Nothing of it was run. No events for a single item, or if the rest of the job was dropped: then
    the assignment is None, or the job not among ``work``.
    """
    if entry is None:
        return ()
    assignment = entry.assignment
    size = assignment.stop - assignment.start
    if size < 2 or type(entry.work) is Run or assignment.work not in work:
        return ()
    return (events.JobHalved(assignment.work, assignment.start, assignment.stop),)


def cut_short(entry: Entry, upto: int, failed: bool) -> tuple[Event, ...]:
    """Return the events of a chunk that its worker has ended early, at a result too large to be
    delivered early or at an item that failed: the rest is assigned again."""
    assignment = entry.assignment
    stop = assignment.start + upto
    if not (entry.work.streams and entry.can_be_cut() and stop < assignment.stop):
        return ()
    entry.assignment = assignment._replace(stop=stop)
    return (events.Cut(entry.worker, assignment.id, stop, None, not failed),)
