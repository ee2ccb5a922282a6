"""Rings as a process writes them and the observer empties them, in one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onecopy._doctor import recording, rings
from onecopy._doctor.inside import kinds, ring
from onecopy.errors import BadFile
from tests.doctor.made import Made


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A ring that this process writes."""
    monkeypatch.setattr(ring, "session", str(tmp_path))
    ring.open_ring(kinds.FRESH)
    yield tmp_path
    ring.buffer = None
    ring._kept.pop().close()  # inside a program it would stay; here its descriptor is counted


def notes(taken: rings.Ring) -> list[int]:
    """The first words of the records of a kind that nothing else writes."""
    table = rings.table(taken.records)
    return [int(row["a"]) for row in table[table["head"] & 0xFF == kinds.BURST]]


def test_what_is_written_is_taken_once_and_in_order(writer: Path) -> None:
    found = rings.Rings(writer)
    for number in range(100):
        ring.note(kinds.BURST, 1, number)
        if number % 30 == 0:
            found.empty()
    found.empty(last=True)
    [taken] = found.taken()
    assert notes(taken) == list(range(100))
    assert taken.lost == 0
    assert not list(writer.glob("*.ring")), "what was taken goes"


def test_a_record_that_was_begun_and_never_written_holds_up_no_other(writer: Path) -> None:
    """A thread that was interrupted between its number and its record."""
    found = rings.Rings(writer)
    for number in range(10_000):
        if number in (0, 1, 70, 5_000):
            next(ring._counter)
        ring.note(kinds.BURST, 1, number)
        if number % 500 == 0:
            found.empty()
    found.empty(last=True)
    [taken] = found.taken()
    assert notes(taken) == list(range(10_000))


def test_a_ring_goes_round_while_it_is_emptied(writer: Path) -> None:
    found = rings.Rings(writer)
    for number in range(3 * kinds.ROOM):
        ring.note(kinds.BURST, 1, number)
        if number % 10_000 == 0:
            found.empty()
    found.empty(last=True)
    [taken] = found.taken()
    assert taken.lost == 0
    assert notes(taken) == list(range(3 * kinds.ROOM))


def test_what_was_overwritten_is_counted(writer: Path) -> None:
    found = rings.Rings(writer)
    found.empty()
    for number in range(2 * kinds.ROOM + 500):
        ring.note(kinds.BURST, 1, number)
    found.empty(last=True)
    [taken] = found.taken()
    kept = notes(taken)
    assert kept == list(range(kept[0], 2 * kinds.ROOM + 500)), "the latest, without a gap"
    assert taken.lost >= kinds.ROOM


def test_a_long_run_is_thinned_alike_at_both_ends(writer: Path) -> None:
    found = rings.Rings(writer)
    found._most = 20_000
    for number in range(30_000):
        ring.note(kinds.OUT | kinds.TASK << 8, 1, 0, 0, 0, number)
        ring.note(kinds.BURST, 1, number)
        if number % 5_000 == 0:
            found.empty()
    found.empty(last=True)
    [taken] = found.taken()
    table = rings.table(taken.records)
    tasks = table[table["head"] & 0xFF == kinds.OUT]["d"]
    assert taken.thinned > 1
    assert (tasks % taken.thinned == 0).all()
    assert len(tasks) == len(np.unique(tasks)) == -(-30_000 // taken.thinned)
    assert len(notes(taken)) == 30_000, "only tasks are thinned"


def test_names_and_counters(writer: Path) -> None:
    ring.count("log\troot\t20", 2)
    ring.count("log\troot\t20")
    ring.name("two\nlines \\n")
    found = rings.Rings(writer)
    found.empty(last=True)
    [taken] = found.taken()
    names = rings.names_of(taken.names)
    assert "two\nlines \\n" in names.values()
    assert rings.counters_of(taken.head, names) == {"log\troot\t20": 3}


@pytest.mark.parametrize("word", [-1, 1 << 70])
def test_a_number_that_does_not_fit_is_no_error(writer: Path, word: int) -> None:
    ring.note(kinds.BURST, 1, word)
    found = rings.Rings(writer)
    found.empty(last=True)
    assert notes(found.taken()[0]) == [word & (1 << 64) - 1]


def test_a_recording_comes_back_as_it_was(tmp_path: Path) -> None:
    made = Made()
    workers = made.pool(2)
    made.task(workers[0], 1, sent=1, begin=5_000, took=100)
    made.look(11, 1000)
    made.roll(11, 1000, pss=5)
    made.readings.threads = {11: {12: 0.5}}
    before = made.recording()
    with open(tmp_path / "run.doctor", "wb") as file:
        recording.save(before, file)
    after = recording.load(tmp_path / "run.doctor")
    assert after.facts == before.facts
    assert after.rings == before.rings
    assert after.readings == before.readings


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.doctor").write_bytes(b"PK\x03\x04 not at all")
    with pytest.raises(BadFile, match="no recording"):
        recording.load(tmp_path / "x.doctor")


def test_where_there_is_no_room_records_are_left_out_and_counted(
    writer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr("os.posix_fallocate", full)
    for number in range(5_000):
        ring.note(kinds.BURST, 1, number)
    found = rings.Rings(writer)
    found.empty(last=True)
    [taken] = found.taken()
    kept = notes(taken)
    assert 0 < len(kept) < 100
    assert len(kept) + taken.lost == 5_000
