"""A host without room for the data of some work: it goes elsewhere, or says what each host has said.

In the first tests the refusal is made up between the driver and the agents: a host is sent nothing of
what it refuses. In the others the address space of an agent is limited.
"""

from __future__ import annotations

import gc
import io
import logging
import pickle
import resource
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onecopy as oc
from onecopy._cluster import sending
from onecopy._cluster.carriers.loopback import Loopback, LoopbackCarrier
from onecopy._cluster.interface import Events, Item
from onecopy._protocol.preparation import Preparation
from onecopy.errors import human_bytes
from tests.arrays import Array
from tests.processes.test_cluster import agent_of_me, wait_for
from tests.scripts import until


class Refusing(LoopbackCarrier):
    """Answers for some hosts that there is no room for tasks with some name."""

    refuses: dict[int, str]
    events: Events

    def open(self, events: Events, preparation: Preparation) -> None:
        self.events = events
        super().open(events, preparation)

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        sent = 0
        for name, *values in items:
            if name == "give" and key in self.refuses:
                kept = [order for order in values[0] if self.refuses[key] not in order.name]
                refused = [order for order in values[0] if order not in kept]
                self._refuse(key, [order.id for order in refused])
                values = [kept]
            sent += super().send(key, [(name, *values)], waits)
        return sent

    def _refuse(self, key: int, numbers: list[int]) -> None:
        error = pickled(oc.NotEnoughMemory(1000 + key, 10, "memory"))
        said = [("failed", number, 0, error) for number in numbers]
        # As in life, where it is another thread than the one that sends.
        thread = threading.Thread(target=self.events.received, args=(key, said))
        thread.start()
        thread.join()


def pickled(error: Exception) -> bytes:
    """Pickle it as an agent does. A reducer for all exceptions may be registered here alone: other
    tests import distributed, which has tblib register one."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file)
    pickler.dispatch_table = {}
    pickler.dump(error)
    return file.getvalue()


@dataclass(frozen=True)
class Small(Loopback):
    """Made-up hosts, some of which refuse tasks by a part of their names."""

    refuses: dict[int, str] = field(default_factory=dict)

    def carrier(self) -> LoopbackCarrier:
        carrier = Refusing(self.hosts, self.workers)
        carrier.refuses = self.refuses
        return carrier


def large(at: int) -> int:
    return agent_of_me()


def other(folder: Path) -> int:
    """Wait until it runs on both hosts."""
    (folder / str(agent_of_me())).touch()
    wait = threading.Event()
    while len(list(folder.iterdir())) < 2:
        wait.wait(0.005)
    return agent_of_me()


def agent_by_name(pool: oc.Pool) -> dict[str, int]:
    engine: Any = pool._engine
    pool.pids()
    pids = [process.pid for process, _ in engine._carrier._agents.values()]
    return dict(zip([host.name for host in pool.hosts()], pids, strict=True))


def states(pool: oc.Pool) -> list[str]:
    return [host.state for host in pool.hosts()]


@pytest.mark.parametrize("workers", [1, 2])
def test_it_goes_elsewhere_and_the_host_works_again_afterwards(
    workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with oc.Pool(cluster=Small(2, workers, {1: "large"})) as pool:
        agents = agent_by_name(pool)
        with caplog.at_level(logging.WARNING):
            assert set(pool.map(large, range(200), chunksize=1)) == {agents["loopback-2"]}
        said = [record for record in caplog.records if "has no room" in record.getMessage()]
        assert len(said) == 1
        assert "loopback-1" in said[0].getMessage()
        until(lambda: states(pool) == ["ready", "ready"], "the host gets work again")
        assert set(pool.map(other, [tmp_path] * 2 * workers, chunksize=1)) == {*agents.values()}
        assert pool.stats().lost == 0


def test_a_call_goes_elsewhere() -> None:
    with oc.Pool(cluster=Small(2, 1, {2: "large"})) as pool:
        agents = agent_by_name(pool)
        assert {pool.apply(large, (0,)) for _ in range(5)} == {agents["loopback-1"]}


def test_where_no_host_has_room_each_is_named() -> None:
    with oc.Pool(cluster=Small(2, 1, {1: "large", 2: "large"})) as pool:
        agent_by_name(pool)
        with pytest.raises(oc.NotEnoughMemory) as caught:
            pool.apply(large, (0,))
        notes = "\n".join(caught.value.__notes__)
        assert "on loopback-1" in notes
        assert "on loopback-2" in notes
        assert "1001" in f"{caught.value}{notes}"
        assert "1002" in f"{caught.value}{notes}"
        until(lambda: states(pool) == ["ready", "ready"], "both get work again")
        assert pool.apply(abs, (-1,)) == 1


def first(array: Array) -> int:
    return int(array[0])


def test_a_plain_argument_of_too_much_is_not_sent(tmp_path: Path) -> None:
    """The host is asked, and neither dies of it nor keeps it."""
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 43)
    huge = np.memmap(tmp_path / "huge", "u1", mode="r")
    gone = weakref.ref(huge)
    with oc.Pool(cluster=oc.loopback(2)) as pool:
        with pytest.raises(oc.NotEnoughMemory) as caught:
            pool.apply(first, (np.asarray(huge),))
        assert caught.value.wanted == 1 << 43
        notes = "\n".join(caught.value.__notes__)
        assert "on loopback-1" in notes
        assert "on loopback-2" in notes
        del huge, caught
        gc.collect()
        # The thread of the host that has refused it last may not have come to its next item yet.
        until(lambda: gone() is None, "nothing holds it")
        until(lambda: states(pool) == ["ready", "ready"], "both get work again")
        assert pool.map(abs, [-1, -2]) == [1, 2]


def test_a_pool_that_is_closed_meanwhile_ends(tmp_path: Path) -> None:
    go: Callable[[Path], str] = wait_for_it
    pool = oc.Pool(cluster=Small(2, 1, {1: "wait_for_it"}))
    agent_by_name(pool)
    results = [pool.submit(go, tmp_path / "go") for _ in range(3)]
    until(lambda: "full" in states(pool), "one has no room")
    pool.close()
    (tmp_path / "go").touch()
    pool.join()
    assert [result.result() for result in results] == ["there"] * 3
    assert states(pool) == ["gone", "gone"]


def wait_for_it(path: Path) -> str:
    wait_for(path)
    return "there"


# Real limits.

ROOM = 200 << 20
TOO_MUCH = 300 << 20
HELD: Array = np.zeros(0, "u1")


def limit(pid: int, left: int) -> None:
    """Let a process map this many bytes more."""
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (used + left, resource.RLIM_INFINITY))


def unlimit(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)


def size_held(at: int) -> tuple[int, int]:
    return agent_of_me(), len(HELD)


def size_of(data: Any) -> tuple[int, int]:
    return agent_of_me(), len(data)


Work = Callable[[oc.Pool], list[tuple[int, int]]]


def captured_array(monkeypatch: pytest.MonkeyPatch) -> Work:
    data = np.zeros(TOO_MUCH, "u1")

    def size(at: int) -> tuple[int, int]:
        return agent_of_me(), len(data)

    return lambda pool: pool.map(size, range(8), chunksize=1)


def captured_bytes(monkeypatch: pytest.MonkeyPatch) -> Work:
    data = bytes(TOO_MUCH)

    def size(at: int) -> tuple[int, int]:
        return agent_of_me(), len(data)

    return lambda pool: pool.map(size, range(8), chunksize=1)


def module_variable(monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setitem(globals(), "HELD", np.zeros(TOO_MUCH, "u1"))
    return lambda pool: pool.map(size_held, range(8), chunksize=1)


def shared_array(monkeypatch: pytest.MonkeyPatch) -> Work:
    data = oc.share(np.zeros(TOO_MUCH, "u1"))
    return lambda pool: [pool.apply(size_of, (data,)) for _ in range(8)]


def plain_bytes(monkeypatch: pytest.MonkeyPatch) -> Work:
    data = bytes(TOO_MUCH)
    return lambda pool: [pool.apply(size_of, (data,)) for _ in range(2)]


KINDS = [captured_array, captured_bytes, module_variable, shared_array, plain_bytes]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Work that brings `TOO_MUCH` bytes to each host that it runs on."""
    made: Work = request.param(monkeypatch)
    return made


def test_much_data_goes_to_the_host_that_has_room(work: Work) -> None:
    with oc.Pool(cluster=oc.loopback(2)) as pool:
        agents = agent_by_name(pool)
        pool.map(abs, range(20), chunksize=1)
        limit(agents["loopback-1"], ROOM)
        assert set(work(pool)) == {(agents["loopback-2"], TOO_MUCH)}
        assert pool.hosts()[0].shipped == 0
        until(lambda: states(pool) == ["ready", "ready"], "both get work again")
        assert pool.stats().lost == 0


def test_much_data_for_which_no_host_has_room(work: Work) -> None:
    with oc.Pool(cluster=oc.loopback(2)) as pool:
        agents = agent_by_name(pool)
        pool.map(abs, range(20), chunksize=1)
        for pid in agents.values():
            limit(pid, ROOM)
        with pytest.raises(oc.NotEnoughMemory) as caught:
            work(pool)
        assert caught.value.wanted >= TOO_MUCH
        assert caught.value.available <= ROOM
        notes = "\n".join(caught.value.__notes__)
        assert "on loopback-1" in notes
        assert "on loopback-2" in notes
        del caught
        gc.collect()
        until(lambda: states(pool) == ["ready", "ready"], "both get work again")
        assert pool.map(abs, [-1, -2]) == [1, 2]
        for pid in agents.values():
            unlimit(pid)
        assert {size for _, size in work(pool)} == {TOO_MUCH}
        assert pool.stats().lost == 0


@pytest.mark.parametrize("kind", [captured_array, module_variable, shared_array])
def test_room_that_is_lost_while_data_come(
    kind: Callable[[pytest.MonkeyPatch], Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if another process had taken it after the host was asked. The data come again later."""
    monkeypatch.setattr(sending, "_ASKED", 1 << 60)
    work = kind(monkeypatch)
    with oc.Pool(cluster=oc.loopback(2)) as pool:
        agents = agent_by_name(pool)
        pool.map(abs, range(20), chunksize=1)
        for pid in agents.values():
            limit(pid, ROOM)
        with pytest.raises(oc.NotEnoughMemory):
            work(pool)
        until(lambda: states(pool) == ["ready", "ready"], "both get work again")
        assert pool.map(abs, [-1, -2]) == [1, 2]
        for pid in agents.values():
            unlimit(pid)
        assert {size for _, size in work(pool)} == {TOO_MUCH}


@dataclass(frozen=True)
class Tight(Loopback):
    """Made-up hosts, of which the first ones have little room from the start."""

    tight: int = 0

    def carrier(self) -> LoopbackCarrier:
        carrier = Limiting(self.hosts, self.workers)
        carrier.tight = self.tight
        return carrier


class Limiting(LoopbackCarrier):
    tight: int
    # More than an agent takes itself, and less than what comes.
    room = 700 << 20
    comes = 600 << 20

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        if key <= self.tight and items[0][0] == "begin":
            process, _ = self._agents[key]
            resource.prlimit(process.pid, resource.RLIMIT_AS, (self.room, resource.RLIM_INFINITY))
        return super().send(key, items, waits)


def hold(data: Array) -> None:
    HOLDING.append(data)


HOLDING: list[Array] = []


def size_holding(at: int) -> int:
    return len(HOLDING[0])


def test_a_host_without_room_for_the_initializer_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = np.zeros(Limiting.comes, "u1")
    with (
        caplog.at_level(logging.WARNING),
        oc.Pool(cluster=Tight(2, 1, tight=1), initializer=hold, initargs=(data,)) as pool,
    ):
        assert pool.map(size_holding, range(10)) == [Limiting.comes] * 10
        until(lambda: states(pool) == ["gone", "ready"], "one is left out")
        assert f"wanted {human_bytes(Limiting.comes)}" in pool.hosts()[0].why
    said = [each.getMessage() for each in caplog.records if "is not used" in each.getMessage()]
    assert len(said) == 1
    assert "loopback-1" in said[0]


def test_no_host_has_room_for_the_initializer() -> None:
    data = np.zeros(Limiting.comes, "u1")
    with oc.Pool(cluster=Tight(2, 1, tight=2), initializer=hold, initargs=(data,)) as pool:
        for _ in range(2):
            with pytest.raises(oc.NotEnoughMemory) as caught:
                pool.apply(size_holding, (0,))
            notes = "\n".join(caught.value.__notes__)
            assert "the initializer" in notes
            assert "on loopback-1" in notes
            assert "on loopback-2" in notes
