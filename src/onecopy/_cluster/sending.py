"""Sending to one host: encodes what was assigned to it, and ships what that needs.

It sends in the order of the host's queue, so what an assignment refers to (segments, functions,
variables, log settings) is always there before it. Whatever was posted while the last message was
written goes into the next one. Runs in the threads of ``senders``, in one at a time; before it waits
for the host, another one takes over for the other hosts.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from .._codec.codec import Encoded, Payload
from .._codec.parcel import Parcel, Wanted, pack
from .._engine.functions import Function
from .._engine.rules import Rules
from .._engine.work import Entry
from .._memory.segment import Segment
from .._protocol.log_settings import settings
from .._protocol.versions import NO_VERSIONS, Version
from .._schedule.events import Assignment
from ..errors import NotEnoughMemory
from .bulk import Bulk
from .host import PONG, Host, State
from .interface import Carrier, Item
from .messages import LACKING, NO_ROOM, Order
from .relays import LEAST, Lot, Piece, Relays
from .senders import Posted

_log = logging.getLogger(__name__)

# A message is sent when its arguments have this many bytes, or it has this many assignments.
_BATCH = 1 << 20
_MOST = 500
# The host is asked for room if this many bytes are to come for one assignment.
_ASKED = 64 << 20
# Pieces that a host is told to get from others before it has answered.
_FETCHES = 2
# In place of an assignment's number, if they are for the initializer.
_INITIALIZER = -2

Unsendable = Callable[[int, Assignment, BaseException], None]


class Gone(Exception):
    """The host has gone, so nothing more is sent."""


class NoRoom(Exception):
    """The host has no room for what comes next: ``refusal``."""

    def __init__(self, refusal: NotEnoughMemory) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Sending:
    """See the module; one for each host.

    Args:
        host: the host.
        carrier: brings the messages.
        relays: which host has what.
        unsendable: called with an assignment that could not be sent, and the reason.
        unprepared: called with the host's error if it has no room for the initializer.
        versions: returns the variables that functions and classes read.
        speaks: workers log to the driver, and need its settings.
    """

    def __init__(
        self,
        host: Host,
        carrier: Carrier,
        relays: Relays,
        *,
        unsendable: Unsendable,
        unprepared: Callable[[Host, NotEnoughMemory], None],
        versions: Callable[[list[Any]], tuple[Version, ...]],
        speaks: bool,
    ) -> None:
        self._host = host
        self._carrier = carrier
        self._relays = relays
        self._unsendable = unsendable
        self._unprepared = unprepared
        self._versions = versions
        self._speaks = speaks
        self._orders: list[Order] = []
        self._size = 0
        self._kept: list[Payload] = []  # their buffers are in ``_orders``
        self._leads = True
        self._gone = False
        host.queue.open(self._run)

    def _run(self) -> bool:
        """Send what waits; see ``Line.send``."""
        self._leads = True
        items = self._host.queue.items
        try:
            if not self._gone:
                self._send_settings()
                while items:
                    self._take(items.popleft())
                self._flush()
        except Gone:
            self._gone = True  # the carrier reports that the host has gone
        except BaseException:  # a bug: what the host has is given to others
            self._gone = True
            _log.exception("sending to %s has failed", self._host.name)
            self._carrier.end(self._host.info.key)
        if self._gone:
            items.clear()
            self._orders.clear()
            self._kept.clear()
        return self._leads

    def _step_aside(self) -> None:
        """Let another thread send to the other hosts: this one is about to wait for its host."""
        if self._leads:
            self._leads = not self._host.queue.step_aside()

    def _take(self, posted: Posted) -> None:
        if isinstance(posted, Entry):
            self._add(posted)
            if self._size >= _BATCH or len(self._orders) >= _MOST:
                self._flush()
            return
        self._flush()
        name, *values = posted
        if name == "forget":
            # A view may have been made again since.
            if self._host.link.retire(values[0]):
                self._host.shipping.forget(values[0])
                self._relays.forget(values[0])
                self._send([posted])
        elif name == "forget_function":
            if values[0] in self._host.sent.functions:
                self._host.sent.functions.discard(values[0])
                self._send([posted])
        elif name == "initializer":
            self._send_initializer(*values)
        elif name == "lacks":
            self._host.lacks(*values)
        elif name == "ping":
            # Answered before anything else is sent, so that the host is at nothing else meanwhile.
            self._send([(name, monotonic_ns())])
            self._answer(PONG)
        else:
            self._send([posted])

    def _send(self, items: list[Item]) -> None:
        if self._host.state is State.GONE:
            raise Gone
        try:
            self._host.traffic[0] += self._carrier.send(
                self._host.info.key, items, self._step_aside
            )
        except OSError as error:
            raise Gone from error

    def _answer(self, asked: int) -> str:
        """Wait for the host's answer to the last item. Raises Gone if none will come, and NoRoom."""
        self._step_aside()
        answered, why = self._host.answers.get()
        if answered != asked:
            raise Gone
        if isinstance(why, NotEnoughMemory):
            raise NoRoom(why)
        return why

    def _flush(self) -> None:
        if self._orders:
            orders, self._orders, self._size = self._orders, [], 0
            self._send([("give", orders)])
            self._kept.clear()

    def _send_settings(self) -> None:
        version, body = settings.now()
        if version != self._host.sent.settings and self._speaks:
            self._host.sent.settings = version
            self._send([("settings", body)])

    # Assignments.

    def _add(self, entry: Entry) -> None:
        assignment, work = entry.assignment, entry.work
        entry.begun = monotonic_ns()
        try:
            encoded = work.encoded(assignment.start, assignment.stop)
            numbers = self._send_versions(work.versions, assignment.id)
            if work.refers and isinstance(encoded, Encoded) and encoded.references:
                # Items that are pickled as they are sent.
                numbers += self._send_versions(self._versions(encoded.references), assignment.id)
            function = work.function
            if function is not None and function.id not in self._host.sent.functions:
                self._send_function(function, assignment.id)
            parcel, wanted = pack(encoded)
            self._make_way(parcel, wanted, assignment.id)
        except Gone:
            raise
        except NoRoom:
            return  # the host says so itself, as of work that it was given
        except BaseException as error:
            self._unsendable(entry.worker, assignment, error)
            return
        rules = work.rules
        order = Order(
            id=assignment.id,
            task=work.number,
            name=work.describe(assignment),
            function=function.id if function is not None else 0,
            call_kind=work.call_kind,
            size=assignment.stop - assignment.start,
            cuttable=entry.can_be_cut(),
            rules=_limits(rules) if rules is not None and rules.limited else None,
            versions=tuple(dict.fromkeys(numbers)),
            parcel=parcel,
        )
        entry.moved, entry.shared = parcel.moved, parcel.shared
        entry.sent = monotonic_ns()
        self._host.traffic[2] += parcel.copied
        self._host.traffic[3] += entry.shared
        self._orders.append(order)
        self._kept.append(encoded)
        self._size += entry.moved

    def _make_way(self, parcel: Parcel, wanted: list[Wanted], number: int) -> None:
        """Ship what a parcel refers to. Raises NoRoom if the host has none for that and the parcel.

        Args:
            parcel: it is sent next, in one message, which comes whole.
            wanted: the bytes that it refers to.
            number: of the assignment that needs it, or ``_INITIALIZER``.
        """
        self._offer(wanted)
        size = parcel.copied
        if (stream := memoryview(parcel.stream).nbytes) >= _ASKED:
            size += stream
        if size + sum(stop - start for _, start, stop in wanted) >= _ASKED:
            size += self._host.shipping.lacking(wanted)
            if size >= _ASKED:
                self._flush()
                self._send([("room", number, size)])
                self._answer(number)
        self._ship(wanted)

    def _send_function(self, function: Function, number: int) -> None:
        assert function.encoded is not None
        parcel, wanted = pack(function.encoded)
        self._make_way(parcel, wanted, number)
        self._send([("function", function.id, function.name, parcel)])
        self._host.sent.functions.add(function.id)

    def _send_versions(self, versions: tuple[Version, ...], number: int) -> tuple[int, ...]:
        """Send the variables that the host does not have; return the numbers of all."""
        sent = self._host.sent.versions
        for version in versions or NO_VERSIONS:
            key = (version.home, version.path)
            if sent.get(key) != version.number:
                parcel: Parcel | None = None
                if version.encoded is not None:
                    parcel, wanted = pack(version.encoded)
                    self._make_way(parcel, wanted, number)
                said = (*key, version.number, version.digest, version.reason)
                # Orders before it may name the earlier value.
                self._flush()
                self._send([("version", said, parcel, version.later)])
                sent[key] = version.number
        return tuple(version.number for version in versions)

    def _send_initializer(self, function: Function) -> None:
        assert function.encoded is not None
        try:
            numbers = self._send_versions(function.versions, _INITIALIZER)
            parcel, wanted = pack(function.encoded)
            self._make_way(parcel, wanted, _INITIALIZER)
        except NoRoom as error:
            self._unprepared(self._host, error.refusal)
        else:
            self._send([("initializer", numbers, parcel)])

    # Segments.

    def _offer(self, wanted: list[Wanted]) -> None:
        """Let the host map or decode files that it sees itself."""
        host = self._host
        for segment, start, stop in wanted:
            segment.require_whole()
            host.link.reference(segment, stop - start)
            offer = host.shipping.offers(segment)
            if offer is not None:
                self._send([offer])
                if why := self._answer(segment.id):
                    host.shipping.refused(segment, host.name, why)

    def _ship(self, wanted: list[Wanted]) -> None:
        host = self._host
        for each in wanted:
            segment = each[0]
            try:
                bulk = self._carrier.bulk(host.info.key)
                if bulk is not None:
                    self._send_aside(each, bulk)
                    continue
                for items in host.shipping.items(each):
                    self._send(items)
            except BaseException:
                # It may lack some of it: all of it comes again.
                host.shipping.forget(segment.id)
                self._relays.lacks(host, segment.id)
                raise
        host.link.new.clear()

    def _send_aside(self, wanted: Wanted, bulk: Bulk) -> None:
        """Send the bytes that the host does not have beside the messages."""
        shipping, segment = self._host.shipping, wanted[0]
        begin, ranges = shipping.missing(wanted)
        if begin:
            # Before that: the host may answer at once that it has no room.
            self._relays.begin(self._host, segment.id)
            self._send(begin)
        if sum(high - low for low, high in ranges) >= LEAST and self._relays.serve(segment.id):
            self._step_aside()
            self._get_around(segment, ranges, bulk)
            return
        for low, high in ranges:
            self._put_aside(segment, low, high, bulk, asked=False)

    def _put_aside(self, segment: Segment, low: int, high: int, bulk: Bulk, *, asked: bool) -> None:
        """Send bytes beside the messages; ``asked``: the host says when it has them."""
        self._send([("bytes", segment.id, low, high - low, asked)])
        self._step_aside()
        try:
            bulk.send(segment, low, high)
        except ConnectionError as error:
            bulk.shut()  # the agent waits for the rest: now it ends
            raise Gone from error
        except Exception:
            self._relays.spoil(segment.id)  # the rest came as zeros
            raise
        self._host.traffic[0] += high - low
        self._host.shipping.shipped += high - low

    def _get_around(self, segment: Segment, ranges: list[tuple[int, int]], bulk: Bulk) -> None:
        """Send many bytes, or tell the host to get them from others. They are there at the end."""
        lot = self._relays.lot(self._host, segment.id, ranges)
        asked: deque[tuple[Piece, Host]] = deque()
        try:
            while True:
                # It does not wait for pieces that are on their way elsewhere while some are on their way here.
                turn = lot.next(wait=not asked)
                if turn is None and not asked:
                    return
                if turn is not None:
                    piece, source = turn
                    low, high = piece
                    if source is None:
                        try:
                            self._put_aside(segment, low, high, bulk, asked=True)
                        finally:
                            lot.sent()
                        continue
                    asked.append((piece, source))
                    self._send([("fetch", segment.id, low, high - low, source.info.key)])
                if turn is None or len(asked) >= _FETCHES:
                    self._fetched(lot, asked)
        finally:
            # After an error too: what is asked next has its own answer.
            while asked:
                self._fetched(lot, asked)

    def _fetched(self, lot: Lot, asked: deque[tuple[Piece, Host]]) -> None:
        """Wait until the host has got a piece from another one, or has not."""
        piece, source = asked.popleft()
        try:
            why = self._answer(lot.segment)
        except Gone:
            for _, each in ((piece, source), *asked):  # nothing is answered any more
                lot.dropped(each)
            asked.clear()
            raise
        if why == LACKING:
            lot.lacking(piece, source)
        elif why == NO_ROOM:
            lot.dropped(source)
            lot.pieces.clear()  # work that needs it fails there
        else:
            lot.fetched(piece, source)
            self._host.shipping.shipped += piece[1] - piece[0]


def _limits(rules: Rules) -> Rules:
    """Return the rules that the host keeps: retries are decided here, where another host can be
    chosen."""
    return Rules(timeout=rules.timeout, memory_limit=rules.memory_limit, name=rules.name)
