"""The threads that send to hosts: order, one at a time for a host, and hosts that have to be waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from onecopy._cluster.senders import Line, Senders

# Only so that a test that fails ends.
WAIT = 60


class Host:
    """Takes what its line has, as ``Sending`` does; it can be told to wait for a host that is slow."""

    def __init__(self, senders: Senders) -> None:
        self.line = Line(senders)
        self.sent: list[Any] = []
        self.at_once = 0
        self.most = 0
        self.go = threading.Event()
        self.waits = threading.Event()
        self._senders = senders

    def send(self) -> bool:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        leads = True
        while self.line.items:
            item = self.line.items.popleft()
            if item == ("wait",):
                if leads:
                    leads = not self._senders.step_aside()
                self.waits.set()
                assert self.go.wait(WAIT)
            assert isinstance(item, tuple)
            if item[0] == "mark":
                item[1].set()
            else:
                self.sent.append(item)
        self.at_once -= 1
        return leads


@contextmanager
def hosts(number: int) -> Iterator[tuple[Senders, list[Host]]]:
    senders = Senders()
    senders.start()
    made = [Host(senders) for _ in range(number)]
    try:
        yield senders, made
    finally:
        for host in made:
            host.go.set()
        senders.close()


def threads() -> int:
    return sum(1 for each in threading.enumerate() if each.name == "onecopy-to-hosts")


def mark(host: Host) -> threading.Event:
    """Put a mark behind the others; return an event that is set when it is sent."""
    there = threading.Event()
    host.line.put(("mark", there))
    return there


def test_what_was_put_before_the_line_was_open_is_sent_first() -> None:
    with hosts(1) as (_, (host,)):
        host.line.append(("begin",))
        host.line.put(("more",))
        host.line.open(host.send)
        host.line.put(("last",))
        assert mark(host).wait(WAIT)
        assert host.sent == [("begin",), ("more",), ("last",)]


def test_many_threads_put_and_one_at_a_time_sends() -> None:
    with hosts(3) as (_, made):
        for host in made:
            host.line.open(host.send)

        def put(number: int) -> None:
            for i in range(2000):
                for host in made:
                    host.line.put((number, i))

        putting = [threading.Thread(target=put, args=(number,)) for number in range(4)]
        for each in putting:
            each.start()
        for each in putting:
            each.join()
        for host in made:
            assert mark(host).wait(WAIT)
        for host in made:
            assert host.most == 1
            for number in range(4):
                mine = [i for each, *rest in host.sent for i in rest if each == number]
                assert mine == list(range(2000))
        assert threads() == 1


def test_a_host_that_is_waited_for_keeps_no_other_waiting() -> None:
    with hosts(4) as (_, made):
        for host in made:
            host.line.open(host.send)
        *slow, quick = made
        for host in slow:
            host.line.put(("wait",))
            assert host.waits.wait(WAIT)
        behind = [mark(host) for host in slow]
        assert mark(quick).wait(WAIT)
        assert [host.sent for host in slow] == [[], [], []]
        assert threads() == 4
        assert not any(each.is_set() for each in behind)
        for host in slow:
            host.go.set()
        for each in behind:
            assert each.wait(WAIT)
        assert [host.most for host in made] == [1] * 4
        # The threads are kept for the next time, and no more come.
        slow[0].go.clear()
        slow[0].waits.clear()
        slow[0].line.put(("wait",))
        assert slow[0].waits.wait(WAIT)
        assert threads() == 4


def test_without_another_thread_the_others_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with hosts(2) as (senders, (slow, quick)):
        for host in (slow, quick):
            host.line.open(host.send)

        def refuse() -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(senders, "_start", refuse)
        slow.line.put(("wait",))
        assert slow.waits.wait(WAIT)
        there = mark(quick)
        assert not there.is_set()
        slow.go.set()
        assert there.wait(WAIT)


def test_the_end_drops_what_is_left_and_waits_for_all_threads() -> None:
    with hosts(2) as (senders, (slow, other)):
        for host in (slow, other):
            host.line.open(host.send)
        slow.line.put(("wait",))
        assert slow.waits.wait(WAIT)
        closing = threading.Thread(target=senders.close)
        closing.start()
        slow.go.set()
        closing.join(WAIT)
        assert not closing.is_alive()
        other.line.put(("late",))
        assert other.sent == []
    assert threads() == 0


def test_in_a_forked_child_nothing_is_sent() -> None:
    with hosts(1) as (senders, (host,)):
        host.line.open(host.send)
        with senders._lock:  # another thread holds it while this one forks
            senders.after_fork()
            host.line.put(("child",))
        assert host.sent == []
        senders._leads = False
