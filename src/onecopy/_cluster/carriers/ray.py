"""Hosts of a Ray cluster: one agent on each node that has CPUs.

Ray knows which nodes there are, places the agent, carries the messages and authenticates. A Ray
*actor* on each node (``ray_host``) starts the agent as a process of its own; it has all of the
node's CPUs, which Ray gives to no other program then. Ray ends the actors with the driver. Shared data
goes over streams of their own (``doors``), as the nodes of a Ray cluster reach each other at any
port; where Ray ciphers its messages, or no stream can be made, it goes with these.

Nodes are read from Ray's table every second. A node whose actor ends, or does not answer polls for
too long, is lost at once: Ray itself takes a minute to notice a cut link.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from itertools import count
from math import inf
from time import monotonic
from typing import Any, NamedTuple

import ray
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ray._private.state import state as cluster_state
from ray.exceptions import RayActorError, RayError, RayTaskError, RuntimeEnvSetupError
from ray.util import client as ray_client
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..._protocol.preparation import Preparation
from ...errors import HostMismatch, InsecureClusterWarning, NoHosts
from ..bulk import Bulk
from ..connection import framed, packed, unpacked
from ..interface import Events, HostInfo, Item
from . import ray_host
from .doors import REACH, Address, connect
from .running import check

# Seconds. The table is read every ``PERIOD``. A poll waits so long for messages; a node that has
# not answered a call for ``LOST`` is lost, and so is one that has not started its agent for ``START``.
# It gets another ``AGAIN`` later, for its link may be whole by then, or its CPUs free.
PERIOD = 1.0
POLL = 2.0
LOST = 30.0
START = 30.0
AGAIN = 30.0
# Bytes. Arguments of less than 100 kB are part of Ray's own messages, up to 10 MB of them in each.
_SLICE = 96 << 10
_CALL = 2 << 20
# Calls on their way to one node.
_WINDOW = 4

_logger = logging.getLogger("onecopy.cluster")


class Node(NamedTuple):
    """A node of the cluster.

    Attributes:
        id: Ray's.
        name: for people.
        cpus: the number of CPUs that Ray was given there.
    """

    id: str
    name: str
    cpus: int


def nodes() -> list[Node]:
    """Return the nodes that work can be given to."""
    draining = cluster_state.get_draining_nodes()
    found = []
    for each in ray.nodes():
        cpus = int(each["Resources"].get("CPU", 0))
        if each["Alive"] and cpus and each["NodeID"] not in draining:
            name = f"{each['NodeManagerHostname']} ({each['NodeManagerAddress']}"
            found.append(Node(each["NodeID"], f"{name}, {each['NodeID'][:6]})", cpus))
    return found


class _Host:
    """A node, as this carrier knows it."""

    def __init__(self, key: int, node: Node) -> None:
        self.info = HostInfo(key, node.name, node.cpus)
        self.node = node
        self.actor: Any = None
        self.door: Address | None = None
        self.bulk: Bulk | None = None
        self.leaving = False  # and that was reported
        self.left = threading.Event()  # the same
        self.calls = count()
        self.sending: deque[futures.Future[None]] = deque()


class RayCarrier:
    """See the module; a ``Carrier``.

    Raises:
        NoHosts: Ray is not initialised, or no node with CPUs answers.
        TypeError: this process is connected by Ray Client.
        HostMismatch: a node has other versions than this process.
    """

    local = False

    def __init__(self) -> None:
        _require_driver()
        _warn_if_open()
        self._job = ray.get_runtime_context().get_job_id()
        self._events: Events | None = None
        self._keys = count(1)
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}  # by node
        self._all: dict[int, _Host] = {}
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()
        self._resting: dict[str, float] = {}  # nodes that are not used, until when
        self._asked: dict[Node, futures.Future[dict[str, str]]] = {}
        self._ask(nodes())
        if not self._asked:
            raise NoHosts("no node of the Ray cluster has CPUs: ray start --num-cpus=...")
        futures.wait(self._asked.values(), timeout=START)
        for node, answer in self._answered():
            self._add(node, answer)
        if not self._all:
            raise NoHosts(f"no node of the Ray cluster has answered for {START:g} s")
        self.workers = sum(host.info.workers for host in self._all.values())

    def open(self, events: Events, preparation: Preparation) -> None:
        """See ``Carrier``."""
        self._events = events
        for host in list(self._all.values()):
            self._begin(host)
        self._start(self._watch, "onecopy-ray")

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        """See ``Carrier``."""
        host = self._all[key]
        total = 0
        for parts in _calls(framed(packed(items))):
            host.sending.append(self._call(host, "pass_on", next(host.calls), *parts))
            total += sum(memoryview(part).nbytes for part in parts)
            while len(host.sending) > _WINDOW or (host.sending and host.sending[0].done()):
                if not host.sending[0].done():
                    waits()
                self._result(host, host.sending.popleft())
        return total

    def bulk(self, key: int) -> Bulk | None:
        """See ``Carrier``."""
        return self._all[key].bulk

    def link(self, reader: int, source: int) -> bool:
        """See ``Carrier``."""
        asks, answers = self._all[reader], self._all[source]
        if asks.bulk is None or answers.bulk is None:
            return False
        try:
            call = self._call(answers, "link", asks.door, source)
            self._result(answers, call, 2 * REACH)
        except OSError as error:
            _logger.info("%s gives no data to %s: %s", answers.info.name, asks.info.name, error)
            return False
        return True

    def end(self, key: int) -> None:
        """See ``Carrier``."""
        self._kill(self._all[key])

    def close(self) -> None:
        """See ``Carrier``."""
        self._closed.set()
        for host in list(self._all.values()):
            self._kill(host)
        for thread in self._threads:
            thread.join(2 * POLL)  # one whose node does not answer waits for longer

    def after_fork(self) -> None:
        """See ``Carrier``: Ray is of no use in a forked child, and has no pool there."""
        self._closed.set()
        for host in self._all.values():
            if host.bulk is not None:
                host.bulk.detach_in_child()

    # Calls.

    def _connected(self) -> bool:
        """Return False if Ray was shut down: a call would start another cluster by itself."""
        return bool(ray.is_initialized()) and ray.get_runtime_context().get_job_id() == self._job

    def _require(self, host: _Host) -> Any:
        """Return the actor. Raises ConnectionError if nothing can be sent to it any more."""
        actor = host.actor
        if actor is None or host.left.is_set() or self._closed.is_set():
            raise ConnectionError(f"{host.info.name} has gone")
        if not self._connected():
            raise ConnectionError("Ray was shut down")
        return actor

    def _call(self, host: _Host, method: str, *arguments: Any) -> futures.Future[Any]:
        """Call a method of the actor; Ray copies the arguments now. Raises ConnectionError if the
        node has gone."""
        actor = self._require(host)
        try:
            return getattr(actor, method).remote(*arguments).future()  # type: ignore[no-any-return]
        except Exception as error:
            if self._connected():
                raise
            raise ConnectionError("Ray was shut down") from error

    def _result(self, host: _Host, call: futures.Future[Any], seconds: float | None = None) -> Any:
        """Return what a call returns. Raises OSError if it cannot be known, TimeoutError after
        ``seconds`` (``LOST`` if None) without an answer.

        It waits here and not in Ray, where a thread would not learn that Ray was shut down.
        """
        seconds = LOST if seconds is None else seconds
        give_up = monotonic() + seconds
        while not futures.wait([call], timeout=PERIOD).done:
            self._require(host)
            if monotonic() > give_up:
                raise TimeoutError(f"it has not answered for {seconds:g} s")
        try:
            return call.result()
        except RayError as error:
            if not self._connected():
                raise ConnectionError("Ray was shut down") from error
            if not isinstance(error, RayActorError):
                raise ConnectionError(f"it cannot be reached: {_first_line(error)}") from error
            why = "its node is being shut down" if error.preempted else "its actor has ended"
            raise ConnectionError(f"{why}: {_first_line(error)}") from error

    def _kill(self, host: _Host) -> None:
        """End the actor, and the agent with it; its CPUs are free then."""
        actor = host.actor
        if actor is not None and self._connected():
            ray.kill(actor)

    # Membership.

    def _answered(self) -> Iterator[tuple[Node, Any]]:
        """Yield the nodes that have described themselves since, each with the answer's future."""
        for node, call in list(self._asked.items()):
            if call.done():
                del self._asked[node]
                yield node, call

    def _ask(self, there: list[Node]) -> None:
        """Ask nodes that are new for their versions."""
        for node in there:
            rests = monotonic() < self._resting.get(node.id, 0)
            if not rests and node not in self._asked and node.id not in self._hosts:
                self._asked[node] = _versions_of(node).future()

    def _add(self, node: Node, answer: futures.Future[dict[str, str]]) -> _Host | None:
        """Return a host for a node; None for one that has gone. Raises HostMismatch for one that
        cannot be used."""
        try:
            check(node.name, answer.result())
        except (RayTaskError, RuntimeEnvSetupError) as error:
            raise HostMismatch(f"{node.name} cannot run onecopy: {error}") from error
        except RayError as error:
            _logger.info("%s has not described itself: %s", node.name, _first_line(error))
            self._resting[node.id] = monotonic() + AGAIN
            return None
        host = _Host(next(self._keys), node)
        self._hosts[node.id] = self._all[host.info.key] = host
        return host

    def _watch(self) -> None:
        """Take in nodes that come, and note those that go, until the pool ends."""
        while not self._closed.wait(PERIOD):
            if not self._connected():
                for host in list(self._all.values()):
                    self._lose(host, "Ray was shut down")
                return
            try:
                alive = {each["NodeID"] for each in ray.nodes() if each["Alive"]}
                draining = cluster_state.get_draining_nodes()
                self._ask(nodes())
            except (RayError, RuntimeError) as error:  # its head does not answer
                _logger.warning("Ray's nodes are not known now: %s", error)
                continue
            for host in list(self._hosts.values()):
                if host.node.id not in alive:
                    self._lose(host, "Ray has declared its node dead")
                elif host.node.id in draining and not host.leaving:
                    host.leaving = True
                    self._report_leaving(host)
            for node, answer in self._answered():
                try:
                    new = self._add(node, answer)
                    if new is not None:
                        self._begin(new)
                except HostMismatch as error:
                    self._resting[node.id] = inf
                    if node.id in alive:
                        warnings.warn(f"a node is not used: {error}", stacklevel=1)

    def _report_leaving(self, host: _Host) -> None:
        """Report that Ray drains the node: it is to be shut down, maybe at a set time."""
        if self._events is not None and not self._closed.is_set():
            self._events.leaving(host.info.key)

    def _start(self, target: Any, name: str, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _begin(self, host: _Host) -> None:
        self._start(self._serve, f"onecopy-from-{host.info.name}", host)

    def _lose(self, host: _Host, why: str) -> None:
        with self._lock:
            if host.left.is_set():
                return
            host.left.set()
            self._resting[host.node.id] = monotonic() + AGAIN
            self._hosts.pop(host.node.id, None)
        if host.bulk is not None:
            host.bulk.shut()  # a thread may be sending
        if self._events is not None and not self._closed.is_set():
            self._events.left(host.info.key, why)

    def _start_agent(self, host: _Host) -> None:
        host.actor = _actor(host.node)
        try:
            # The first call waits until the actor has been placed.
            host.door = None if _uses_tls() else self._opened(host)
            host.bulk = self._stream(host)
            self._result(host, self._call(host, "begin", host.bulk is not None), START)
        except TimeoutError as error:
            raise TimeoutError(
                f"{host.info.name}: Ray has not started the agent for {START:g} s: "
                f"not all of the node's {host.node.cpus} CPUs may be free"
            ) from error

    def _opened(self, host: _Host) -> Address | None:
        """Let the node open its door; None if it cannot."""
        try:
            return Address(*self._result(host, self._call(host, "open_door"), START))
        except ConnectionError as error:
            _logger.warning("%s takes no streams: %s", host.info.name, error)
            return None

    def _stream(self, host: _Host) -> Bulk | None:
        """Connect to a node's door; None if it cannot be reached."""
        if host.door is None:
            return None
        try:
            return Bulk(connect(host.door))
        except OSError as error:
            _logger.warning(
                "%s cannot be reached at port %d (%s): shared data goes with Ray's messages",
                host.info.name,
                host.door.port,
                error,
            )
            return None

    def _serve(self, host: _Host) -> None:
        """Start the agent of a node, and pass on what it sends until it ends or is lost."""
        assert self._events is not None
        why = "its agent has ended"
        try:
            self._start_agent(host)
            self._require(host)
            self._events.came(host.info)
            while not host.left.is_set():
                for message in self._result(host, self._call(host, "poll", POLL)):
                    if ray_host.is_last(message):
                        why = f"its agent {self._result(host, self._call(host, 'how'))}"
                        return
                    if not host.left.is_set() and not self._closed.is_set():
                        self._events.received(host.info.key, unpacked(message))
        except OSError as error:
            why = str(error)
        finally:
            self._kill(host)
            self._lose(host, why)
            host.actor = None
            if host.bulk is not None:
                host.bulk.close()


def _require_driver() -> None:
    """Raise an error if this process is no driver of a Ray cluster."""
    if ray_client.ray.is_connected():
        raise TypeError(
            "a program that is connected by Ray Client (ray://) cannot have a pool on its cluster: "
            'run it on a node of the cluster with ray.init("auto"), or by `ray job submit`'
        )
    if not ray.is_initialized():
        raise NoHosts(
            'Ray is not initialised: call ray.init("auto") on a node of a cluster, or ray.init() '
            "for this machine alone, before oc.Pool(cluster=ray)"
        )


def _versions_of(node: Node) -> Any:
    """Ask a node for its versions; return Ray's reference to the answer."""
    where = NodeAffinitySchedulingStrategy(node.id, soft=False)
    task = ray.remote(ray_host.facts)
    return task.options(num_cpus=0, max_retries=0, scheduling_strategy=where).remote()


def _actor(node: Node) -> Any:
    """Return a new actor on a node; it starts when the node's CPUs are free."""
    kind = ray.remote(concurrency_groups={"down": 1, "up": 1, "beside": 1})(ray_host.Handle)
    return kind.options(
        num_cpus=node.cpus,
        max_restarts=0,
        max_task_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
    ).remote()


def _calls(pieces: list[memoryview]) -> Iterator[list[Any]]:
    """Yield the arguments of calls that bring these bytes."""
    call: list[Any] = []
    room = _CALL
    for part in _slices(pieces):
        call.append(part)
        room -= memoryview(part).nbytes
        if room < _SLICE:
            yield call
            call, room = [], _CALL
    if call:
        yield call


def _slices(pieces: list[memoryview]) -> Iterator[Any]:
    """Yield the bytes in slices that Ray sends along with a call; long pieces are not copied."""
    small: list[memoryview] = []
    room = _SLICE
    for piece in pieces:
        for at in range(0, piece.nbytes, _SLICE):
            part = piece[at : at + _SLICE]
            if part.nbytes > room:
                yield _joined(small)
                small, room = [], _SLICE
            small.append(part)
            room -= part.nbytes
    if small:
        yield _joined(small)


def _joined(parts: list[memoryview]) -> Any:
    return pickle.PickleBuffer(parts[0]) if len(parts) == 1 else b"".join(parts)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _uses_tls() -> bool:
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _warn_if_open() -> None:
    """Warn of a cluster on other machines to which anybody can connect."""
    address = ray.get_runtime_context().gcs_address
    here = ray.util.get_node_ip_address()
    host = address.rpartition(":")[0].strip("[]")
    if host in (here, "127.0.0.1", "::1", "localhost") or is_token_auth_enabled() or _uses_tls():
        return
    warnings.warn(
        f"the Ray cluster at {address} is open: any program that reaches it can run code on its "
        "nodes. Set RAY_AUTH_MODE=token and RAY_USE_TLS=1, or use a network that is closed",
        InsecureClusterWarning,
        stacklevel=4,
    )
