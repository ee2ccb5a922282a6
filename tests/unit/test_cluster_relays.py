"""Pieces of shared data: from whom each host gets which."""

from __future__ import annotations

import random
import threading
from collections import Counter
from itertools import count, pairwise
from typing import Any

import pytest

from onecopy._cluster import relays
from onecopy._cluster.host import Host, State
from onecopy._cluster.interface import HostInfo
from onecopy._cluster.relays import Lot, Piece, Relays
from onecopy._cluster.senders import Senders

_MB = 1 << 20
_SEGMENT = 7


class Made:
    """Hosts that need no network, and what was sent among them."""

    def __init__(self, hosts: int, *, linkable: bool = True, learns: bool = False) -> None:
        nothing: Any = None
        senders = Senders()
        numbers = count(1)
        self.hosts = [
            Host(HostInfo(key, f"host-{key}", 1), [key], nothing, "auto", numbers, senders)
            for key in range(1, hosts + 1)
        ]
        self.links: list[tuple[int, int]] = []
        self.linkable = linkable
        self.relays = Relays(lambda: self.hosts, self._link)
        if not learns:
            self.relays._learn = lambda *about: None  # type: ignore[method-assign]  # all are as fast
        self.sent: Counter[Piece] = Counter()
        self.fetched: Counter[int] = Counter()

    def _link(self, reader: int, source: int) -> bool:
        self.links.append((reader, source))
        return self.linkable

    def lots(self, size: int) -> list[Lot]:
        return [self.relays.lot(host, _SEGMENT, [(0, size)]) for host in self.hosts]

    def step(self, lot: Lot, *, wait: bool = False) -> bool:
        """Let a host get its next piece; return False if it gets none now."""
        turn = lot.next(wait=wait)
        if turn is None:
            return False
        piece, source = turn
        if source is None:
            self.sent[piece] += 1
            lot.sent()
            self.relays.has(lot.host, _SEGMENT, piece)
        else:
            self.fetched[source.info.key] += 1
            lot.fetched(piece, source)
        return True


def test_each_piece_leaves_the_driver_once() -> None:
    made = Made(8)
    lots = made.lots(100 * _MB)
    order = random.Random(3)
    while left := [lot for lot in lots if lot.pieces]:
        assert made.step(order.choice(left))
    assert set(made.sent.values()) == {1}
    assert len(made.sent) == 13
    assert sum(made.fetched.values()) == 7 * 13
    assert not any(made.relays._busy.values())


def test_one_that_comes_later_gets_all_from_the_others() -> None:
    made = Made(3)
    first, second, third = made.lots(64 * _MB)
    for lot in (first, second):
        while made.step(lot):
            pass
    before = sum(made.sent.values())
    while made.step(third):
        pass
    assert sum(made.sent.values()) == before == 8
    assert made.fetched[1] > 0


def test_the_driver_helps_one_that_is_asked_by_many() -> None:
    made = Made(12)
    first, *others = made.lots(512 * _MB)
    while made.step(first):
        pass
    # Nothing that they take arrives.
    taken = [lot.next(wait=False) for lot in others]
    assert [turn[1] for turn in taken if turn is not None].count(None) == 2
    assert made.relays._busy[1] == 4
    assert taken.count(None) == 5, "they wait for what the others get"


def test_one_that_waits_for_a_busy_host_gets_its_piece_when_that_is_free() -> None:
    made = Made(12)
    first, *others = made.lots(8 * _MB)
    while made.step(first):
        pass
    taken = [lot.next(wait=False) for lot in others[:6]]
    assert None not in taken
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(others[6].next(wait=True)))
    thread.start()
    others[0].lacking((0, 8 * _MB), first.host)
    thread.join()
    assert got == [((0, 8 * _MB), first.host)]


# Who is faster.


@pytest.mark.parametrize(("ours", "theirs"), [(0.01, 0.1), (1.0, 0.1)])
def test_a_driver_that_is_faster_helps(
    monkeypatch: pytest.MonkeyPatch, ours: float, theirs: float
) -> None:
    """As on one machine, where it has all in its cache; and not one whose link is slow."""
    now = 100.0
    monkeypatch.setattr(relays, "monotonic", lambda: now)
    made = Made(4, learns=True)
    lots = made.lots(256 * _MB)
    order = random.Random(3)
    while left := [lot for lot in lots if lot.pieces]:
        lot = order.choice(left)
        piece, source = lot.next(wait=True) or pytest.fail("there is a piece")
        now += ours if source is None else theirs
        if source is None:
            made.sent[piece] += 1
            lot.sent()
            made.relays.has(lot.host, _SEGMENT, piece)
        else:
            lot.fetched(piece, source)
    assert len(made.sent) == 32
    assert (sum(made.sent.values()) > 2 * 32) == (ours < theirs)
    assert not made.relays._due


def test_bytes_that_came_while_a_host_was_at_something_else_tell_no_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(relays, "monotonic", lambda: now)
    made = Made(2, learns=True)
    (host, other), found = made.hosts, made.relays
    lot = found.lot(host, _SEGMENT, [(0, 64 * _MB)])
    one, two, three = list(lot.pieces)[:3]
    for piece, source in ((one, other), (two, None), (three, None)):
        found.begins(lot, piece, source)
    now += 0.8
    found.has(host, _SEGMENT, one)
    assert found._paces == {False: pytest.approx(0.8 / (8 * _MB))}
    now += 0.01
    found.has(host, _SEGMENT, two)
    assert True not in found._paces
    now += 0.4
    found.has(host, _SEGMENT, three)
    assert found._paces[True] == pytest.approx(0.4 / (8 * _MB))


def test_pieces_are_the_same_for_all_and_few() -> None:
    made = Made(2)
    one, other = (set(lot.pieces) for lot in made.lots(10_000 * _MB + 5))
    assert one == other
    assert len(one) <= 512
    cut = sorted(one)
    assert cut[0][0] == 0
    assert cut[-1][1] == 10_000 * _MB + 5
    assert all(low == high for (_, high), (low, _) in pairwise(cut))


def test_it_waits_for_a_piece_that_is_on_its_way_to_another() -> None:
    made = Made(2)
    first, second = made.lots(8 * _MB)
    assert first.next(wait=False) == ((0, 8 * _MB), None)
    assert second.next(wait=False) is None
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(second.next(wait=True)))
    thread.start()
    made.relays.has(first.host, _SEGMENT, (0, 8 * _MB))
    thread.join()
    assert got == [((0, 8 * _MB), first.host)]


@pytest.mark.parametrize("how", ["host lost", "closed", "too late", "no room there"])
def test_it_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    made = Made(2)
    first, second = made.lots(8 * _MB)
    assert first.next(wait=False) is not None
    if how == "too late":
        monkeypatch.setattr(relays, "_PATIENCE", 0.01)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(second.next(wait=True)))
    thread.start()
    if how == "host lost":
        first.host.state = State.GONE
        made.relays.lost(first.host)
    elif how == "closed":
        made.relays.close()
    elif how == "no room there":
        made.relays.lacks(first.host, _SEGMENT)
    thread.join()
    assert got == [((0, 8 * _MB), None)]


def test_who_does_not_deliver_is_not_asked_again() -> None:
    made = Made(3)
    lots = made.lots(64 * _MB)
    for lot in lots[:2]:
        while made.step(lot):
            pass
    third = lots[2]
    turn = third.next(wait=False)
    assert turn is not None
    piece, source = turn
    assert source is not None
    third.lacking(piece, source)
    others: set[Host | None] = set()
    while (turn := third.next(wait=False)) is not None:
        others.add(turn[1])
        if turn[1] is None:
            third.sent()
            made.relays.has(third.host, _SEGMENT, turn[0])
        else:
            third.fetched(turn[0], turn[1])
    assert source not in others
    assert piece not in third.pieces, "it came from elsewhere"


def test_a_host_that_no_other_can_reach_gets_all_from_the_driver() -> None:
    made = Made(4, linkable=False)
    for lot in made.lots(64 * _MB):
        while made.step(lot, wait=True):
            pass
    assert set(made.sent.values()) == {4}
    assert max(Counter(reader for reader, _ in made.links).values()) == 2, (
        "it is not tried for ever"
    )
    assert not any(made.relays._busy.values())


def test_a_host_that_went_is_no_reason_to_ask_no_other() -> None:
    made = Made(4)
    others = made.hosts[1:]
    lots = made.lots(128 * _MB)
    for lot in lots[1:]:
        while made.step(lot):
            pass
    for source in others[:2]:
        turn = next(
            turn for turn in iter(lambda: lots[0].next(wait=False), None) if turn[1] is source
        )
        lots[0].lacking(turn[0], source)
        source.state = State.GONE
        made.relays.lost(source)
    turns = list(iter(lambda: lots[0].next(wait=False), None))
    assert others[2] in {source for _, source in turns}
    assert not any(made.relays._failed.values())


def test_a_host_without_room_gets_no_more_and_is_not_waited_for() -> None:
    made = Made(2)
    first, second = made.lots(64 * _MB)
    assert first.next(wait=False) is not None
    assert second.next(wait=False) is not None
    made.relays.lacks(first.host, _SEGMENT)
    assert first.next(wait=True) is None
    assert not first.pieces
    while (turn := second.next(wait=False)) is not None:
        assert turn[1] is None
        second.sent()
        made.relays.has(second.host, _SEGMENT, turn[0])
    assert not second.pieces
    made.relays.begin(first.host, _SEGMENT)
    (again, _) = made.lots(64 * _MB)
    assert again.next(wait=False) is not None, "it is tried again when it is needed again"


def test_a_file_that_was_truncated_comes_from_the_driver() -> None:
    """A host has zeros in place of what was not there, and says that it has the piece."""
    made = Made(2)
    first, other = made.lots(64 * _MB)
    piece, _ = first.next(wait=False) or pytest.fail("there is one")
    assert made.relays.serve(_SEGMENT)
    made.relays.spoil(_SEGMENT)
    first.sent()
    before = len(other.pieces)
    assert made.step(other)
    made.relays.has(first.host, _SEGMENT, piece)
    while made.step(other):
        pass
    assert sum(made.sent.values()) == before, "none of them came from the first host"
    assert not made.relays.serve(_SEGMENT)
    made.relays.forget(_SEGMENT)
    assert made.relays.serve(_SEGMENT)


def test_what_is_forgotten_is_not_kept() -> None:
    made = Made(2)
    for lot in made.lots(64 * _MB):
        while made.step(lot):
            pass
    made.relays.forget(_SEGMENT)
    made.relays.has(made.hosts[0], _SEGMENT, (0, 8 * _MB))
    assert not made.relays._known
    (first, *_) = made.lots(64 * _MB)
    turn = first.next(wait=False)
    assert turn is not None
    assert turn[1] is None


def test_one_has_few_links() -> None:
    made = Made(100)
    lots = made.lots(8192 * _MB)
    order = random.Random(5)
    while left := [lot for lot in lots if lot.pieces]:
        made.step(order.choice(left))
    assert max(Counter(reader for reader, _ in made.links).values()) == 32
    assert sum(made.sent.values()) < 2 * 128
