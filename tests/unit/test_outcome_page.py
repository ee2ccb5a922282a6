"""The page of a run's outcomes: written by a worker, sent as frames, read by the owner at any time."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecopy._protocol import wire
from onecopy._protocol.early import ROOM
from onecopy._protocol.outcome_page import LONGEST_NS, Outcome, OutcomePage, parse, read
from onecopy._protocol.strides import PUBLISHED, WORDS
from onecopy._system import barrier

RUN = 7
SPENT = bytes(range(wire.SPENT.size % 256)) * 2
SPENT = (SPENT * 2)[: wire.SPENT.size]


class Worker:
    """A worker's page, and what it has sent."""

    def __init__(self) -> None:
        self.words = memoryview(bytearray(8 * WORDS)).cast("Q")
        self.room = memoryview(bytearray(ROOM))
        self.frames: list[tuple[int, int, bytes]] = []  # flags, run, body
        self.page = OutcomePage(self.words, self.room, self._send)
        self.page.begin(RUN)
        self.added: list[Outcome] = []

    def _send(self, frame: bytes) -> None:
        length, kind, flags, fds, run = wire.HEADER.unpack_from(frame)
        assert (kind, fds, length) == (wire.OUTCOMES, 0, len(frame) - wire.HEADER.size)
        self.frames.append((flags, run, frame[wire.HEADER.size :]))

    def add(self, body: bytes = b"outcome", flags: int = 0, now: int = 0) -> None:
        self.added.append(Outcome(flags, SPENT, body))
        self.page.add(flags, SPENT, body, now)

    def sent(self) -> list[Outcome]:
        """All that was sent; each frame begins where the one before has ended."""
        found: list[Outcome] = []
        for _, run, body in self.frames:
            start, outcomes = parse(body)
            assert (run, start) == (RUN, len(found))
            found += outcomes
        return found

    def read(self, run: int = RUN) -> tuple[int, list[Outcome]] | None:
        return read(self.words, self.room, run)


@pytest.fixture(autouse=True)
def registered() -> None:
    barrier.register()


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=ROOM + 100),
            st.integers(0, 7),
            st.integers(0, LONGEST_NS),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_nothing_is_lost_or_told_twice(steps: list[tuple[bytes, int, int, bool]]) -> None:
    """The outcomes that were sent, and those that the owner reads in the page, are all so far."""
    worker, now = Worker(), 0
    for body, flags, later, large in steps:
        now += later
        if large:
            worker.added.append(Outcome(flags, SPENT, body))
            worker.page.add_large(flags, SPENT, body)
        else:
            worker.add(body, flags, now)
        sent, found = worker.sent(), worker.read()
        start, rest = (len(sent), []) if found is None else found
        assert start == len(sent)
        assert sent + rest == worker.added
    worker.page.flush(last=True)
    assert worker.sent() == worker.added
    assert [flags for flags, _, _ in worker.frames] == [0] * (len(worker.frames) - 1) + [wire.LAST]
    assert worker.read() is None


def test_the_page_is_sent_when_it_is_old_or_full() -> None:
    worker = Worker()
    worker.add(now=1_000)
    worker.add(now=1_000 + LONGEST_NS)
    assert worker.frames == []
    worker.add(now=1_001 + LONGEST_NS)
    assert len(worker.sent()) == 3
    for _ in range(60):
        worker.add(now=2_000 + LONGEST_NS)
    assert 3 < len(worker.sent()) < 63


def test_another_run_s_outcomes_are_not_there() -> None:
    worker = Worker()
    worker.add()
    assert worker.read(RUN + 1) is None
    worker.page.begin(RUN + 1)
    assert worker.read() is None
    assert worker.read(RUN + 1) is None


@pytest.mark.parametrize("steps", ["empty", "add", "flush", "flush and add", "another run", "half"])
@pytest.mark.parametrize("at", range(4))
def test_a_worker_that_goes_on_while_the_owner_reads(
    monkeypatch: pytest.MonkeyPatch, steps: str, at: int
) -> None:
    """Whatever it does between two reads of the owner, these get whole outcomes of the run, or none."""
    worker = Worker()
    for number in range(5):
        worker.add(b"%d" % number * 9)
    calls = iter(range(10))

    def meanwhile() -> None:
        if next(calls) != at:
            return
        if steps.startswith("add"):
            worker.add(b"more")
        if steps.startswith(("flush", "half")):
            worker.page.flush()
        if steps == "flush and add":
            for number in range(9):
                worker.add(b"%d" % (number + 5) * 20)
        if steps == "half":  # the next outcome is being written
            worker.room[8:200] = b"\xff" * 192
        if steps == "another run":
            worker.page.begin(RUN + 1)
            worker.page.add(0, SPENT, b"of another", 0)

    monkeypatch.setattr(barrier, "everywhere", meanwhile)
    found = worker.read()
    if found is not None:
        start, outcomes = found
        assert outcomes == worker.added[start : start + len(outcomes)]
        assert outcomes


@pytest.mark.parametrize("cut", [1, 7, 8, 100])
def test_outcomes_that_are_cut_off(cut: int) -> None:
    worker = Worker()
    worker.add()
    worker.page.flush()
    body = worker.frames[0][2]
    with pytest.raises(struct.error):
        parse(body[:-cut])
    with pytest.raises(struct.error):
        parse(body[:4])


def test_the_word_of_a_new_run_is_written_before_its_outcomes() -> None:
    worker = Worker()
    worker.add()
    word = int(worker.words[PUBLISHED])
    worker.page.begin(RUN + 1)
    assert int(worker.words[PUBLISHED]) > word
