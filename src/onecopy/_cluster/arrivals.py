"""The messages from the hosts: results, errors, output, workers that come and go.

Called by the carrier's threads, one at a time per host. As in ``_engine.receiver`` the table is
told first, so that the host gets more work; then each result is unpickled and delivered.
"""

from __future__ import annotations

import marshal
import pickle
import threading
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from .. import errors
from .._codec.parcel import Parcel, unpack
from .._engine.core import Core, Ended
from .._engine.effects import Effects
from .._engine.history import WorkerRow
from .._engine.lifetime import Lifetime
from .._engine.outcomes import Outcomes
from .._engine.output_dispatch import OutputDispatcher, OutputItem
from .._engine.work import Call, Entry
from .._observe.columns import DONE, FAILED
from .._observe.diary import RESULTS
from .._observe.series import Row
from .._protocol import wire
from .._protocol.failures import fits_failures, fits_values, revive, revived
from .._schedule import events
from .host import PONG, Host, State
from .interface import Item
from .large_results import Key, Landing, Piece, key_of
from .questions import Questions
from .relays import Relays
from .room import Room, take_in

_LARGE = 64 << 10
# Seconds between two looks for blocked slots.
LOOK = 0.015


class Arrivals:
    """See the module.

    Args:
        core: the pool's table.
        outcomes: delivers results.
        lifetime: fails the pool if a host cannot start workers.
        output: dispatches what workers log and print.
        wake: wakes the service.
        room: what hosts have no room for.
        relays: which host has what.

    Attributes:
        questions: to hosts, which callers wait for.
        due: the service has to look for blocked slots, ``LOOK`` after ``looked`` (monotonic, seconds):
            that takes time in proportion to their number, so it is not done for each result.
    """

    def __init__(
        self,
        core: Core,
        outcomes: Outcomes,
        lifetime: Lifetime,
        output: OutputDispatcher,
        wake: Callable[[], None],
        room: Room,
        relays: Relays,
    ) -> None:
        self._core = core
        self._outcomes = outcomes
        self._lifetime = lifetime
        self._output = output
        self._wake = wake
        self.room = room
        self.relays = relays
        self.hushed: list[tuple[Host, int]] = []
        self.questions = Questions()
        self.due = False
        self.looked = 0.0
        # Threads of many hosts wait for this once each, and not for the table's lock at each slot.
        self._ending = threading.Lock()

    def take(self, host: Host, items: list[Item]) -> None:
        """Handle what an agent has sent."""
        for name, *values in items:
            if name == "cut":  # the chunk's result may be here too
                self._cut(host, *values)
        parcels = {item[1]: _whole(host, item) for item in items if item[0] == "ended"}
        # Not those of a host that was lost meanwhile: their work is given to others.
        ended = [item for item in items if item[0] == "ended" and parcels[item[1]] is not None]
        entries = self._end(host, ended) if ended else {}
        for name, *values in items:
            if name == "ended":
                number, who, spent, flags, _ = values
                entry, parcel = entries.pop(number, None), parcels.pop(number)
                if entry is not None:
                    self._deliver(host, entry, who, spent, flags, parcel)
                else:
                    host.values.pop(number, None)
            elif name != "cut":
                getattr(self, f"_on_{name}")(host, *values)

    def _end(self, host: Host, items: list[Item]) -> dict[int, Entry]:
        """Tell the table which assignments have ended; return those whose outcome is delivered."""
        by_slot: dict[int, list[Ended]] = {}
        with self._core.lock:
            entries = [self._core.assigned.get(number) for _, number, *_ in items]
        for entry, (_, number, _, spent, flags, _) in zip(entries, items, strict=True):
            if entry is not None:
                received, decoded, started, finished, _ = wire.TIMES.unpack_from(spent)
                unrun = bool(flags & wire.UNRUN)
                took = None if unrun else finished - started + decoded - received
                failed = bool(flags & wire.ERRORS)
                by_slot.setdefault(entry.worker, []).append((number, took, 0, failed, unrun))
        found: dict[int, Entry] = {}
        due: list[Effects] = []
        with self._ending:
            look = self._may_look()
            for slot in host.slots:
                if slot.number in by_slot:
                    slot.last = monotonic_ns()
                    ended, _, effects = self._core.ended(
                        slot.number, by_slot[slot.number], look_for_blocked=look
                    )
                    due.append(effects)
                    found.update(ended)
                    look = False
        for effects in due:
            effects.carry_out()
        return found

    def _may_look(self) -> bool:
        """Return True if it is time to look for blocked slots; else the service does, later."""
        now = monotonic()
        if now >= self.looked + LOOK:
            self.looked = now
            return True
        if not self.due:
            self.due = True
            self._wake()
        return False

    def _cut(self, host: Host, number: int, begun: int) -> None:
        """Give the items of a chunk to others that its worker has not started, and will not."""
        with self._core.lock:
            entry = self._core.assigned.get(number)
            if entry is None:
                return
            stop = entry.assignment.start + begun
            entry.assignment = entry.assignment._replace(stop=stop)
            took = monotonic_ns() - entry.sent
            effects = self._core.take([events.Cut(entry.worker, number, stop, took)])
        effects.carry_out()

    def _deliver(
        self, host: Host, entry: Entry, who: tuple[int, int], spent: bytes, flags: int, parcel: Any
    ) -> None:
        worker, pid = who
        # What is recorded from here on is the process that ran it.
        entry.worker = host.number(worker)
        spent = host.clock.spent(spent)
        host.last[worker] = wire.TIMES.unpack_from(spent)[-1]
        bad = bool(flags & wire.ERRORS)
        conclude, outcomes = self._outcomes.conclude, self._outcomes
        apart = host.values.pop(entry.assignment.id, {})
        began, moved = monotonic_ns(), 0
        for each in (parcel, *apart.values()):
            moved += each.moved if isinstance(each, Parcel) else 0
        host.traffic[1] += moved
        if isinstance(parcel, errors.NotEnoughMemory):
            errors.add_note(parcel, _no_room(entry))
            conclude(pid, entry, spent, FAILED, outcomes.failed, parcel)
            return
        try:
            value = _unpacked(host, entry, parcel, bad=bad)
        except BaseException as error:
            errors.add_note(error, _not_unpickled(entry))
            conclude(pid, entry, spent, FAILED, outcomes.failed, error)
            return
        if apart:
            value, bad = _joined(host, entry, value, apart, bad=bad)
        if moved > _LARGE:
            outcomes.history.diary.add(RESULTS, began, monotonic_ns())
        if bad:
            conclude(pid, entry, spent, FAILED, outcomes.partly, *value)
        else:
            conclude(pid, entry, spent, DONE, outcomes.delivered, value)

    # Items. Each is called ``_on_`` and its name.

    def _on_lands(self, host: Host, key: Key, sizes: list[int]) -> None:
        """A large result comes, in pieces."""
        host.inbox.lands(key, sizes)

    def _on_landed(self, host: Host, key: Key, pieces: list[Piece]) -> None:
        landing = host.inbox.landings.get(key)
        if isinstance(landing, Landing):
            landing.fill(pieces)

    def _on_value(self, host: Host, number: int, at: int, parcel: Parcel) -> None:
        """A large value of a chunk, whose result comes next."""
        whole = _whole(host, ("value", number, at, parcel))
        if whole is not None:
            host.values.setdefault(number, {})[at] = whole

    def _on_failed(self, host: Host, number: int, worker: int, pickled: bytes) -> None:
        """No worker has answered: it has died, was killed, or could not be sent this."""
        error = pickle.loads(pickled)
        errors.add_note(error, f"onecopy: on {host.name}")
        with self._core.lock:
            entry = self._core.assigned.get(number)
        if entry is None:
            return
        # Refused before a worker was given it.
        no_room = isinstance(error, errors.NotEnoughMemory) and not worker
        if no_room and self.room.refused(host, entry, error):
            return
        found, effects = self._core.finished(entry.worker, number, None)
        effects.carry_out()
        if found is not None:
            # What is recorded is the process that ran it, if one has.
            found.worker = host.number(worker) if worker else 0
            (self._outcomes.unsent if no_room else self._outcomes.lose)(found, error)

    def _on_withdrawn(self, host: Host, numbers: list[int]) -> None:
        """No worker there has begun these."""
        for slot in host.slots:
            self._core.requeue(slot.number, numbers).carry_out()

    def _on_said(self, host: Host, worker: int, said: list[OutputItem]) -> None:
        number = host.number(worker)
        self._output.put(number, said)
        if self._output.is_full(number) and (host, worker) not in self.hushed:
            self.hushed.append((host, worker))
            host.queue.put(("hush", worker, True))

    def relieve(self) -> None:
        """Read again from workers whose output has been handled."""
        for host, worker in list(self.hushed):
            if not self._output.is_full(host.number(worker)):
                self.hushed.remove((host, worker))
                host.queue.put(("hush", worker, False))

    def _on_worker(self, host: Host, row: WorkerRow) -> None:
        host.row(row)
        if host.state is State.STARTING:
            ready = sum(1 for each in host.workers.values() if each[3])
            if ready <= len(host.slots):
                take_in(self._core, host.slots[ready - 1])
            # A pool that is closed may have retired the slot at once.
            if ready >= len(host.slots) and host.state is State.STARTING:
                host.state = State.READY

    def _on_broken(self, host: Host, pickled: bytes, cause: Any) -> None:
        failure = pickle.loads(pickled)
        errors.add_note(failure, f"onecopy: on {host.name}")
        self._lifetime.fail(failure, None if cause is None else revive(cause))

    def _on_mapped(self, host: Host, segment_id: int, why: str) -> None:
        host.answers.put((segment_id, why))

    def _on_has(self, host: Host, segment_id: int, offset: int, size: int) -> None:
        """Bytes of a segment have arrived: other hosts may get them there."""
        self.relays.has(host, segment_id, (offset, offset + size))

    def _on_fetched(self, host: Host, segment_id: int, why: str) -> None:
        host.answers.put((segment_id, why))

    def _on_room(self, host: Host, number: int, refusal: bytes) -> None:
        host.answers.put((number, pickle.loads(refusal) if refusal else ""))

    def _on_lacks(self, host: Host, what: str, number: int) -> None:
        """It had no room for something that was sent to it."""
        if what == "segment":
            self.relays.lacks(host, number)  # at once: others may wait for what is on its way there
        host.queue.put(("lacks", what, number))

    def _on_forgotten(self, host: Host, segment_id: int) -> None:
        host.link.forgotten(segment_id)

    def _on_imported(self, host: Host, body: bytes) -> None:
        self._outcomes.history.recorder.imported(marshal.loads(body))

    def _on_profile(self, host: Host, body: bytes) -> None:
        self._outcomes.history.profile.add(marshal.loads(body))

    def _on_memory(self, host: Host, rows: list[Row]) -> None:
        host.read(rows)

    def _on_answer(self, host: Host, number: int, answer: Any) -> None:
        self.questions.answered(host, number, answer)

    def _on_pong(self, host: Host, sent: int, theirs: int) -> None:
        host.clock.answered(sent, theirs, monotonic_ns())
        host.answers.put((PONG, ""))

    def _on_bye(self, host: Host) -> None:
        """The agent ends because it was told to."""


def _whole(host: Host, item: Item) -> Any:
    """Return the parcel of a result, or of a value of it, with the parts that came before it; the error if
    there was no room for them; None if they are there no more, because the host was lost."""
    parcel = item[-1]
    if parcel.stream is not None:
        return _writable(parcel)
    landing = host.inbox.landings.pop(key_of(item), None)
    return landing.whole(parcel) if isinstance(landing, Landing) else landing


def _writable(parcel: Parcel) -> Parcel:
    """Return a parcel of whose buffers arrays can be made that the program may write to."""
    if not any(memoryview(each).readonly for each in parcel.buffers):
        return parcel
    return parcel._replace(buffers=tuple(map(bytearray, parcel.buffers)))


def _unpacked(host: Host, entry: Entry, parcel: Parcel, *, bad: bool) -> Any:
    """Return the value of a result, or its values and errors. Raises what unpickling raises."""
    assignment = entry.assignment
    value = unpack(parcel, host.link)
    size = None if isinstance(entry.work, Call) else assignment.stop - assignment.start
    whole = size is None or (not bad and fits_values(value, size))  # a call: anything
    if not (fits_failures(value, size or 1) if bad else whole):
        raise errors.BrokenWorker(f"{host.name} answered what it was not asked for")
    if bad:
        return value[0], revived(value[1], None if size is None else assignment.start)
    return value


def _joined(
    host: Host,
    entry: Entry,
    value: Any,
    apart: dict[int, Parcel | errors.NotEnoughMemory],
    *,
    bad: bool,
) -> tuple[Any, bool]:
    """Return the outcome of a chunk with the values that came by themselves, and True if some have
    failed, as ``_unpacked`` does."""
    values, failed = value if bad else (dict(enumerate(value)), {})
    for at, parcel in apart.items():
        failed.pop(at, None)
        if isinstance(parcel, errors.NotEnoughMemory):
            errors.add_note(parcel, _no_room(entry))
            failed[at] = parcel
            continue
        try:
            values[at] = unpack(parcel, host.link)
        except BaseException as error:
            errors.add_note(error, _not_unpickled(entry))
            failed[at] = error
    return ((values, failed), True) if failed else (list(values.values()), False)


def _no_room(entry: Entry) -> str:
    name = entry.work.describe(entry.assignment)
    return f"onecopy: the driver has no room for the result of {name}"


def _not_unpickled(entry: Entry) -> str:
    return f"raised while the result of {entry.work.describe(entry.assignment)} was unpickled"
