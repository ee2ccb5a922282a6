"""A bug in a thread that serves hosts ends the host, or its agent: no caller waits for ever."""

from __future__ import annotations

import queue
import threading
from typing import Any, cast

import pytest

import onecopy as oc
from onecopy._cluster.carriers.running import LAST, Running
from onecopy._cluster.connection import Packed, packed, unpacked
from onecopy._cluster.engine import ClusterEngine
from onecopy._cluster.interface import Item
from onecopy._cluster.outbox import Outbox
from tests.scripts import until

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Bug(Exception):
    pass


def test_messages_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    received = ClusterEngine.received

    def with_a_bug(self: ClusterEngine, key: int, items: list[Item]) -> None:
        if any(name == "ended" for name, *_ in items):
            raise Bug
        received(self, key, items)

    monkeypatch.setattr(ClusterEngine, "received", with_a_bug)
    pool = oc.Pool(cluster=oc.loopback(2), hosts_timeout=0.1)
    with pytest.raises(oc.NoHosts, match="its messages are not read any more"):
        pool.apply(abs, (-1,))
    pool.terminate()
    pool.join()


def test_an_agent_whose_messages_cannot_be_passed_on() -> None:
    said: list[Packed] = []

    def say(message: Packed) -> None:
        said.append(message)
        if message is not LAST:
            raise Bug

    agent = Running(say)
    agent.begun()
    agent.connection.pass_on(packed([("ping", 1)]))
    until(lambda: len(said) == 2)
    assert unpacked(said[0])[0][0] == "pong"
    assert said[1] is LAST
    assert agent.ended.is_set()
    assert agent.how == "was killed by SIGKILL"


def test_an_agent_that_is_ended_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    start = Running.begun.__globals__["interpreter"].start_module

    def slowly(*arguments: Any) -> int:
        goes_on.wait()
        return cast(int, start(*arguments))

    monkeypatch.setattr("onecopy._launch.interpreter.start_module", slowly)
    said: queue.SimpleQueue[Packed] = queue.SimpleQueue()
    agent = Running(said.put)
    agent.end()
    goes_on.set()
    assert said.get(timeout=30) is LAST
    agent.begun()


class Broken:
    """A connection with a bug. ``shuts``: set when it is shut."""

    def __init__(self) -> None:
        self.shuts = threading.Event()

    def send(self, message: object) -> None:
        raise Bug

    def shut(self) -> None:
        self.shuts.set()


def test_an_agent_that_cannot_send() -> None:
    connection: Any = Broken()
    outbox = Outbox(connection, None, connection.shut)
    outbox.start()
    outbox.put("said", 1)
    assert connection.shuts.wait(30)
    outbox.close()
