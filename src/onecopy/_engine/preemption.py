"""Ending a worker because of what it runs, and taking work back that it has not begun.

The part of the engine on processes that uses the second word beside a worker's claim (see
ARCHITECTURE.md and ``Worker._task``), and that keeps the limits of tasks. All of it runs in
the driver thread, but for what is called under the engine's lock.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from time import monotonic

from .. import errors
from .._schedule import events
from .channel import Channel
from .engine import Engine
from .limits import Limits
from .options import Options
from .work import Entry
from .worker_handle import Member, flush
from .workers import Fleet

# How soon to look again whether a worker has come to what is to be ended, in seconds.
_SOON = 0.02
# What waits behind something that takes longer than this, and several times longer than was
# estimated, is given to an idle worker; in seconds.
_PATIENCE = 0.01
_TIMES = 2.5


class Revoking(Engine):
    """See the module."""

    _fleet: Fleet

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._limits = Limits()
        # What each worker is at that holds more than that, and since when.
        self._heads: dict[int, tuple[int, float]] = {}

    def _limit(self, member: Member, entry: Entry) -> None:
        assignment, work = entry.assignment, entry.work
        assert isinstance(member, Channel)
        assert work.rules is not None
        self._limits.add(assignment.id, member, work.rules, work.describe(assignment))

    def _unlimit(self, assignment: int) -> None:
        self._limits.remove(assignment)

    def _keep_limits(self) -> float | None:
        """Ends the workers whose tasks have broken a limit; in how many seconds to look."""
        breaches, soon = self._limits.look()
        for number, guarded, error in breaches:
            assert isinstance(guarded, Channel)
            ended = self._end_worker(guarded, number, error)
            if ended and isinstance(error, errors.TaskTimeout):
                guarded.claimed = number  # its time is over, begun or not
        return soon

    def _end_given_up(self) -> float | None:
        """Ends the workers that run what nobody wants any more; in how many seconds to look
        again, when one has not come to it yet.

        A worker may be about to finish that and to begin with another's task, which must
        not be lost. So it is told, by a word that both map, to begin with nothing more, and
        only then is its claim read (see ``Worker._task`` for its side). Either the claim
        is the unwanted one: then the worker will be at nothing else when it is killed. Or
        it is not: then the worker is told to go on.
        """
        left = False
        for number in list(self._given_up):
            with self._lock:
                found = self._assigned.get(number)
                if found is None:
                    self._given_up.discard(number)
                    continue
            channel = self._fleet.channels[found.worker]
            if channel.ended:
                continue
            begun = self._fleet.hold(channel) == number
            if begun and self._end_worker(channel, number, None):
                channel.claimed = number
                continue
            channel.let_go([])
            channel.flush()
            left = True
        return _SOON if left else None

    def _take_back(self) -> float | None:
        """Gives work that waits behind something long to workers that have nothing to do;
        in how many seconds to look again."""
        with self._lock:
            stuck = self._scheduler.stuck()
        if not stuck:
            self._heads.clear()
            return None
        now = monotonic()
        before, self._heads = self._heads, {}
        waits = []
        for worker, head, estimate in stuck:
            known, since = before.get(worker, (0, 0.0))
            since = since if known == head else now
            left = since + max(_PATIENCE, _TIMES * estimate / 1e9) - now
            if left > 0:
                self._heads[worker] = head, since
                waits.append(left)
            elif not self._fleet.channels[worker].ended:
                self._take_back_from(self._fleet.channels[worker], now - since)
        return min(waits, default=None)

    def _take_back_from(self, channel: Channel, seconds: float) -> None:
        """The worker, which has been at something for so long at least, begins with nothing
        while its claim is read: what comes after that in the order in which it was sent has
        not been begun, and is left out by the worker; and so is what it has not begun of
        the chunk that it is at (see ``Worker._begin``)."""
        claimed = self._fleet.hold(channel)
        begun = self._fleet.begun(channel, claimed)
        happened: list[events.Event] = []
        with self._lock:
            at = self._assigned.get(claimed)
            if at is not None and begun is not None and at.can_be_cut():
                # A worker whose result is on its way has said that it has begun with all.
                stop = min(at.assignment.start + begun, at.assignment.stop)
                if stop < at.assignment.stop and at.assignment.work in self._work:
                    at.assignment = at.assignment._replace(stop=stop)
                    channel.cut(claimed, begun)
                nanoseconds = int(seconds * 1e9)
                happened.append(events.Cut(channel.worker, claimed, stop, nanoseconds))
            back = [
                number
                for number, entry in self._assigned.items()
                if entry.worker == channel.worker
                and number > claimed
                and entry.assignment.work in self._work
            ]
            for number in back:
                del self._assigned[number]
            channel.let_go(back)  # before there is anything else for it
            happened.append(events.TakenBack(channel.worker, tuple(back)))
            dirty, later = self._take(happened)
        channel.flush()
        flush(dirty, later)

    def _end_worker(self, channel: Channel, number: int, why: BaseException | None) -> bool:
        """Ends a worker because of an assignment: nothing else is sent to it from here on.
        False when that has come to its end meanwhile."""
        with self._lock:
            if number not in self._assigned:
                return False
            self._take([events.WorkerEnding(channel.worker)])
            self._given_up.discard(number)
        channel.verdict = why
        self._end_process(channel)
        return True

    def _end_process(self, channel: Channel) -> None:
        """Ends a worker from outside; its socket then comes to its end, as with any other."""
        if channel.pid and not channel.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(channel.pid, self._signal)
            if self._signal != signal.SIGKILL:
                # One that has a handler for the signal and lives ends after its task.
                with contextlib.suppress(OSError):
                    channel.sock.shutdown(socket.SHUT_WR)
        elif not channel.ended:
            channel.sock.shutdown(socket.SHUT_RDWR)
