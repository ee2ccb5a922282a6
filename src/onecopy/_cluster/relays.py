"""Shared data from host to host: who has which piece, and from whom a host gets the next one.

The driver sends each piece once, to one host; the others get it from that host, and from each other, so the
driver's link carries the data once and not once for each host. Large ranges are cut into pieces. A host that
lacks some takes, in this order: a piece that is nowhere yet, from the driver, while that sends to few hosts; a
piece that another host has; one that it cannot get there, from the driver, while that sends to few; and else
it waits until one has arrived somewhere. As long as the driver is seen to be faster than other hosts, as it is
on one machine, it sends those pieces too. Which pieces come first differs from host to host, so that each soon
has something that others lack, as in BitTorrent (B. Cohen, "Incentives Build Robustness in BitTorrent", 2003),
without its incentives: these hosts are friends.

Nothing depends on another host: a piece that one does not deliver comes from the driver.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic

from .host import Host, State

# Smaller ranges come from the driver, which is faster than asking around.
LEAST = 16 << 20
# Each piece costs some messages, and each choice looks at all that are left: so they are larger where there
# are many bytes. Sizes at least, and the numbers of pieces from which on they are doubled.
_PIECE, _LARGE = 8 << 20, 64 << 20
_PIECES, _MOST_PIECES = 32, 512
# Hosts to which the driver sends at once, as long as others can help.
_AT_ONCE = 2
# Pieces that are on their way from one host: it gives no more then, and the driver helps. What waits is soon
# to be had from those that have got it: 1 GB to 100 hosts takes a fifth of the time that it takes without this limit
# (``bench.simulate_hosts``).
_BUSY = 4
# Weight of the last piece in what is known of speed.
_LEARNT = 0.2
# Other hosts that one host gets pieces from: each is a descriptor at both ends, and a thread at one.
_LINKS = 32
# Other hosts that have failed it: then it gets all from the driver.
_FAILURES = 2
# Seconds without a change anywhere after which a host that waits for others gets its piece from the driver.
_PATIENCE = 5.0

_DRIVER = 0

Piece = tuple[int, int]
"""A range of bytes of a segment."""


class _Known:
    """The pieces of one segment that have been sent to hosts.

    Attributes:
        held: the hosts that have said they have a piece.
        coming: the host to which the driver has sent a piece, until it says so.
    """

    def __init__(self) -> None:
        self.held: dict[Piece, list[Host]] = {}
        self.coming: dict[Piece, Host] = {}


class Relays:
    """See the module. Any thread; the lock is held for no call that waits.

    Args:
        hosts: returns every host so far.
        link: gives two agents a stream, the first to ask and the second to answer; returns False if that
            cannot be. It may take seconds.
    """

    def __init__(self, hosts: Callable[[], list[Host]], link: Callable[[int, int], bool]) -> None:
        self._hosts = hosts
        self._link = link
        self._changed = threading.Condition()
        self._known: dict[int, _Known] = {}
        self._busy: Counter[int] = Counter()  # pieces on their way, by who sends them
        self._links: dict[tuple[int, int], bool] = {}  # who asks whom, and whether that works
        self._linked: Counter[int] = Counter()  # how many work, by who asks
        self._failed: dict[int, set[int]] = {}  # who has failed, by who asked
        self._spoilt: set[int] = set()
        self._refused: set[tuple[int, int]] = set()  # hosts that have no room for a segment
        # What hosts were told of: when, and whether it comes from the driver; and what has come last.
        self._due: dict[tuple[int, int, Piece], tuple[float, bool]] = {}
        self._latest: dict[int, tuple[float, bool]] = {}
        self._paces: dict[bool, float] = {}  # seconds per byte: of the driver (True), of others
        self._closed = False

    def serve(self, segment: int) -> bool:
        """Return True if hosts may get a segment from each other: there are two, and it is not spoilt."""
        there = sum(1 for host in self._hosts() if host.state is not State.GONE)
        return there > 1 and segment not in self._spoilt

    def begin(self, host: Host, segment: int) -> None:
        """A host is about to be told to make room for a segment: it may have had none before."""
        with self._changed:
            self._refused.discard((host.info.key, segment))

    def lot(self, host: Host, segment: int, ranges: list[Piece]) -> Lot:
        """Return the pieces of a segment that a host lacks, to be got one after another."""
        there = sorted(each.info.key for each in self._hosts() if each.state is not State.GONE)
        pieces = _cut(ranges)
        if host.info.key in there:
            pieces.rotate(-(len(pieces) * there.index(host.info.key) // len(there)))
        return Lot(self, host, segment, pieces)

    def has(self, host: Host, segment: int, piece: Piece) -> None:
        """A host has said that it has a piece."""
        with self._changed:
            self._learn(host, segment, piece)
            known = self._known.get(segment)
            if known is not None and segment not in self._spoilt:
                if known.coming.get(piece) is host:
                    del known.coming[piece]
                holders = known.held.setdefault(piece, [])
                if host not in holders:
                    holders.append(host)
                self._changed.notify_all()

    def lacks(self, host: Host, segment: int) -> None:
        """A host has nothing of a segment any more, or not all that it was sent."""
        key = host.info.key
        with self._changed:
            gone = [each for each in self._due if each[:2] == (key, segment)]
            for each in gone:
                del self._due[each]
            self._refused.add((key, segment))
            if (known := self._known.get(segment)) is not None:
                self._remove(host, known)

    def lost(self, host: Host) -> None:
        """A host has gone."""
        with self._changed:
            for known in self._known.values():
                self._remove(host, known)
            key = host.info.key
            self._due = {each: told for each, told in self._due.items() if each[0] != key}
            self._latest.pop(key, None)
            self._links = {pair: works for pair, works in self._links.items() if key not in pair}
            self._linked = Counter(asks for (asks, _), works in self._links.items() if works)
            self._refused = {each for each in self._refused if each[0] != key}
            for failed in self._failed.values():
                failed.discard(key)  # it has gone, and says nothing about the others

    def forget(self, segment: int) -> None:
        """The driver has no view of a segment any more."""
        with self._changed:
            self._known.pop(segment, None)
            self._spoilt.discard(segment)
            self._refused = {each for each in self._refused if each[1] != segment}

    def spoil(self, segment: int) -> None:
        """A host may have been sent other bytes than those of a segment, a file that was truncated: from
        now on all get it from the driver."""
        with self._changed:
            self._known.pop(segment, None)
            self._spoilt.add(segment)

    def close(self) -> None:
        """Let no host wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after_fork(self) -> None:
        """Replace the lock, in a forked child: another thread of the parent may have held it."""
        self._changed = threading.Condition()

    def _remove(self, host: Host, known: _Known) -> None:
        known.coming = {piece: each for piece, each in known.coming.items() if each is not host}
        for holders in known.held.values():
            if host in holders:
                holders.remove(host)
        self._changed.notify_all()

    # For ``Lot``.

    def choose(self, lot: Lot, *, wait: bool) -> tuple[Piece, Host | None] | None:
        """Choose the next piece of a lot, and who sends it (None: the driver). With ``wait`` it waits
        for one that is on its way to another host, or for a host that may send one, as long as something
        changes; without, it returns None then, and also if the host has no room for any. The one who
        sends counts as busy until ``ended``."""
        patient = True
        with self._changed:
            while True:
                if (lot.host.info.key, lot.segment) in self._refused:
                    lot.pieces.clear()
                    return None
                known = self._known.setdefault(lot.segment, _Known())
                chosen = self._next(lot, known)
                if chosen is None and wait and (self._closed or not patient):
                    chosen = lot.pieces[0], None
                if chosen is not None:
                    piece, source = chosen
                    lot.pieces.remove(piece)
                    self._busy[_key(source)] += 1
                    if source is None:
                        known.coming.setdefault(piece, lot.host)
                    return chosen
                if not wait:
                    return None
                patient = self._changed.wait(_PATIENCE)

    def _next(self, lot: Lot, known: _Known) -> tuple[Piece, Host | None] | None:
        """Return the best piece to get now; None if all are on their way to others."""
        if len(self._failed.get(lot.host.info.key, ())) >= _FAILURES:
            return lot.pieces[0], None
        idle = self._busy[_DRIVER] < _AT_ONCE
        fresh: Piece | None = None
        held: tuple[Piece, Host] | None = None
        later: Piece | None = None  # no host may send it now
        least = (0, 0)
        for piece in lot.pieces:
            holders = known.held.get(piece)
            if not holders:
                if fresh is None and piece not in known.coming:
                    fresh = piece
                continue
            source = self._holder(lot.host, holders)
            if source is None:
                later = later or piece
                continue
            # From a host that sends little, and of these pieces the one that the fewest have.
            load = self._busy[source.info.key], len(holders)
            if held is None or load < least:
                held, least = (piece, source), load
        if fresh is not None and (idle or held is None):
            return fresh, None
        if held is not None:
            return held[0], None if self._is_faster() else held[1]
        return (later, None) if later is not None and idle else None

    def _is_faster(self) -> bool:
        """Return True if the driver sends faster than other hosts do, with all that it sends at once: on
        one machine, say, where it has all in its cache."""
        ours, theirs = self._paces.get(True), self._paces.get(False)
        return ours is not None and theirs is not None and ours < theirs

    def _holder(self, host: Host, holders: list[Host]) -> Host | None:
        """Return the host that should give this one a piece: the least busy of those that it is linked
        with, or may be; None if all send enough already."""
        best: Host | None = None
        full = self._linked[host.info.key] >= _LINKS
        for each in holders:
            works = self._links.get((host.info.key, each.info.key))
            if each is host or works is False or each.state is State.GONE:
                continue
            if (works is None and full) or self._busy[each.info.key] >= _BUSY:
                continue
            if best is None or self._busy[each.info.key] < self._busy[best.info.key]:
                best = each
        return best

    def linked(self, host: Host, source: Host) -> bool:
        """Connect two hosts if they are not yet; return False if that cannot be. One thread for a host."""
        pair = host.info.key, source.info.key
        works = self._links.get(pair)
        if works is None:
            works = self._link(*pair)
            with self._changed:
                self._links[pair] = works
                self._linked[pair[0]] += works
                if not works:
                    self._failed.setdefault(host.info.key, set()).add(source.info.key)
        return works

    def ended(self, source: Host | None) -> None:
        """A piece is not on its way from there any more."""
        with self._changed:
            self._busy[_key(source)] -= 1
            self._changed.notify_all()

    def begins(self, lot: Lot, piece: Piece, source: Host | None) -> None:
        """A host is told of a piece that is to come."""
        with self._changed:
            self._due[lot.host.info.key, lot.segment, piece] = monotonic(), source is None

    def _learn(self, host: Host, segment: int, piece: Piece) -> None:
        """Learn how fast the driver and other hosts are from a piece that has come. With the lock held.

        A host gets one piece after another. The time of each is that since it was told of it, or since it
        had the one before; but what the driver has sent may have come while it got one from elsewhere.
        """
        key, now = host.info.key, monotonic()
        told, ours = self._due.pop((key, segment, piece), (now, False))
        before, was_ours = self._latest.get(key, (0.0, True))
        self._latest[key] = now, ours
        began = max(told, before)
        if began < now and (was_ours or not ours or before <= told):
            low, high = piece
            pace = (now - began) / (high - low)
            known = self._paces.get(ours, pace)
            self._paces[ours] = known + _LEARNT * (pace - known)

    def failed(self, host: Host, source: Host) -> None:
        """A piece has not come from there: nothing more is asked of it."""
        with self._changed:
            self._links[host.info.key, source.info.key] = False
            self._linked[host.info.key] -= 1
            self._failed.setdefault(host.info.key, set()).add(source.info.key)


class Lot:
    """The pieces of one segment that one host lacks. The thread that sends to it.

    Attributes:
        host, segment: which, and of what.
        pieces: those that it has not got yet, and that are not on their way to it.
    """

    def __init__(self, relays: Relays, host: Host, segment: int, pieces: deque[Piece]) -> None:
        self._relays = relays
        self.host = host
        self.segment = segment
        self.pieces = pieces

    def next(self, *, wait: bool) -> tuple[Piece, Host | None] | None:
        """Return the next piece to send, and who is to send it: None is the driver. None if there is
        nothing left, or, without ``wait``, nothing to be had now. Blocks for some seconds at most."""
        while self.pieces:
            chosen = self._relays.choose(self, wait=wait)
            if chosen is None:
                return None
            piece, source = chosen
            if source is None or self._relays.linked(self.host, source):
                self._relays.begins(self, piece, source)
                return chosen
            self._relays.ended(source)
            self.pieces.append(piece)
        return None

    def sent(self) -> None:
        """The driver has sent a piece; the host says when it has it."""
        self._relays.ended(None)

    def dropped(self, source: Host) -> None:
        """A piece does not come any more from another host: this one has no room, or has gone."""
        self._relays.ended(source)

    def fetched(self, piece: Piece, source: Host) -> None:
        """A piece has come from another host."""
        self._relays.ended(source)
        self._relays.has(self.host, self.segment, piece)

    def lacking(self, piece: Piece, source: Host) -> None:
        """A piece has not come from another host."""
        self._relays.ended(source)
        self._relays.failed(self.host, source)
        self.pieces.append(piece)


def _key(source: Host | None) -> int:
    return _DRIVER if source is None else source.info.key


def _cut(ranges: list[Piece]) -> deque[Piece]:
    """Cut ranges at multiples of one size, so that all hosts have the same pieces."""
    size, total = _PIECE, sum(high - low for low, high in ranges)
    while total > size * (_PIECES if size < _LARGE else _MOST_PIECES):
        size *= 2
    pieces: deque[Piece] = deque()
    for low, high in ranges:
        while low < high:
            stop = min(high, low - low % size + size)
            pieces.append((low, stop))
            low = stop
    return pieces
