"""Hosts of a Dask cluster: one agent on each, whatever number of Dask workers it has.

Dask knows who is there, authenticates, and carries messages: over a connection from the driver to
one Dask worker of each host (``dask_routes``), which starts the agent as a process of its own
and passes messages on unread (``dask_host``). The agent ends with that connection.

Membership is learnt from the scheduler's list and events, and from these connections, never from calls
that fail: a call after a death tries to connect for 30 seconds. No work is pinned to a worker as a Dask
task, which would wait for ever for one that has left (distributed#7346).
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from itertools import count
from time import monotonic
from typing import Any

import distributed

from ..._protocol.preparation import Preparation
from ...errors import HostMismatch, InsecureClusterWarning, NoHosts
from ..bulk import Bulk
from ..connection import Packed, packed, size_of, unpacked
from ..interface import Events, HostInfo, Item
from .comms import BEAT
from .dask_host import Facts, facts, prepare
from .dask_routes import ByScheduler, Direct, Route, is_last, is_leaving
from .running import check

# Seconds. The scheduler's list of workers is looked at this often, besides its events; a lost host
# that is in it is tried again after as long, and then after twice as long, some times over.
LOOK = 2.0
_DOUBLED = 6

_logger = logging.getLogger("onecopy.cluster")

__all__ = ["DaskCarrier", "facts"]


class _Host:
    """A host, as this carrier knows it."""

    def __init__(self, key: int, machine: str, address: str, name: str) -> None:
        self.info = HostInfo(key, name, 0)
        self.machine = machine
        self.address = address
        self.route: Route | None = None
        self.heard: Heard | None = None
        self.retired = False  # Dask could not, because of our actor
        self.left = threading.Event()  # and that was reported


class _Seen:
    """The Dask workers that were asked where they are, and when those of a lost host are asked
    again: less and less often. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._machines: dict[str, str] = {}  # by address
        self._threads: dict[str, int] = {}  # by address
        self._losses: Counter[str] = Counter()
        self._again: dict[str, float] = {}  # by machine (monotonic, seconds)

    def add(self, address: str, machine: str, threads: int) -> None:
        """Note that a Dask worker has told where it is, and how many threads it has."""
        with self._lock:
            self._machines[address] = machine
            self._threads[address] = threads

    def threads(self, machine: str, alive: set[str]) -> int:
        """Return the threads of the Dask workers that are there and alive, together."""
        with self._lock:
            there = [each for each, found in self._machines.items() if found == machine]
            return sum(self._threads.get(each, 0) for each in there if each in alive)

    def lost(self, place: str) -> None:
        """Note that a machine was lost, or that a Dask worker did not answer."""
        with self._lock:
            machine = self._machines.get(place, place)
            self._losses[machine] += 1
            wait = LOOK * 2 ** min(self._losses[machine] - 1, _DOUBLED)
            self._again[machine] = monotonic() + wait

    def new(self, addresses: Iterable[str]) -> list[str]:
        """Return those to ask now; they count as asked then."""
        with self._lock:
            due = {machine for machine, when in self._again.items() if when <= monotonic()}
            for machine in due:
                del self._again[machine]
            found = [each for each in addresses if self._machines.get(each) in (None, *due)]
            for each in found:
                self._machines.setdefault(each, each)
        return found


class DaskCarrier:
    """See the module; a ``Carrier``.

    Args:
        client: a connected ``distributed.Client`` that is not asynchronous.
        owned: ``close`` closes the client too.

    Raises:
        TypeError: the client is asynchronous.
        HostMismatch: a host has other versions than this process.
        NoHosts: no Dask worker is connected.
    """

    local = False

    def __init__(self, client: distributed.Client, *, owned: bool = False) -> None:
        if client.asynchronous:
            raise TypeError("cluster= needs a client that is not asynchronous")
        _warn_if_open(client)
        self._client: Any = client  # much of it has no types
        self._owned = owned
        self._events: Events | None = None
        self._keys = count(1)
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}  # by machine
        self._all: dict[int, _Host] = {}
        self._seen = _Seen()
        self._threads: list[threading.Thread] = []
        # What has come from the hosts that are connected; None: the end.
        self._inbox: queue.SimpleQueue[tuple[_Host, Packed | str] | None] = queue.SimpleQueue()
        self._due = threading.Event()  # the watch has to look
        self._closed = threading.Event()
        first = self._look(None)
        if not first:
            raise NoHosts("no Dask worker is connected to the scheduler: wait_for_workers first")
        self.workers = sum(host.info.workers for host in first)

    def open(self, events: Events, preparation: Preparation) -> None:
        """See ``Carrier``."""
        self._events = events
        self._start(self._read, "onecopy-from-hosts")
        for host in list(self._all.values()):
            self._begin(host)
        self._start(self._watch, "onecopy-hosts")

    def send(self, key: int, items: list[Item], waits: Callable[[], None]) -> int:
        """See ``Carrier``."""
        host = self._all[key]
        message = packed(items)
        route = host.route
        if route is None or host.left.is_set():
            raise ConnectionError(f"{host.info.name} has gone")
        route.send(message, waits)
        return size_of(message)

    def bulk(self, key: int) -> Bulk | None:
        """See ``Carrier``."""
        route = self._all[key].route
        return route.bulk if route is not None else None

    def link(self, reader: int, source: int) -> bool:
        """See ``Carrier``."""
        asks, answers = self._all[reader].route, self._all[source].route
        if not (isinstance(asks, Direct) and isinstance(answers, Direct)):
            return False
        return answers.link(asks, source)

    def end(self, key: int) -> None:
        """See ``Carrier``."""
        host = self._all[key]
        route = host.route
        if route is not None and not host.left.is_set():
            route.end()

    def close(self) -> None:
        """See ``Carrier``."""
        self._closed.set()
        self._due.set()
        for key in list(self._all):
            self.end(key)
        self._inbox.put(None)
        for thread in self._threads:
            thread.join(2 * BEAT)  # one whose host does not answer waits for longer
        for host in list(self._all.values()):
            self._part(host, "")
        if self._owned:
            self._client.close()

    def after_fork(self) -> None:
        """See ``Carrier``: a client is of no use in a forked child, and has no pool there."""
        self._closed.set()

    # Membership.

    def _look(self, addresses: list[str] | None) -> list[_Host]:
        """Return the machines among these Dask workers that have no agent yet; None: all."""
        found: dict[str, Facts] = self._client.run(prepare, workers=addresses)
        new: dict[str, _Host] = {}
        with self._lock:
            for address, said in found.items():
                machine = _machine(address, said)
                self._seen.add(address, machine, said.threads)
                known = self._hosts.get(machine)
                if known is not None and not known.left.is_set():
                    continue
                check(said.host, said.versions)
                if machine not in new:
                    name = f"{said.host} ({address.rpartition('/')[2]})"
                    new[machine] = _Host(next(self._keys), machine, address, name)
            # The client's list may be a little old: it may lack the ones that have just answered.
            alive = {*found, *self._client.scheduler_info(n_workers=-1)["workers"]}
            for host in new.values():
                there = self._seen.threads(host.machine, alive)
                host.info = replace(host.info, workers=there)
            self._hosts.update(new)
            self._all.update({host.info.key: host for host in new.values()})
        return list(new.values())

    def _heard(self, host: _Host, said: dict[str, Any]) -> None:
        """Handle an event of the scheduler; in the client's event loop, so nothing waits here."""
        if said.get("action") == "remove-worker":
            # A connection says itself when it ends, which is later if there is work to finish.
            if host.route is None or isinstance(host.route, ByScheduler):
                self._lose(host, "its Dask worker has left")
        elif said.get("action") == "could-not-retire" and isinstance(host.route, ByScheduler):
            host.retired = True
            self._leave(host)

    def _watch(self) -> None:
        """Welcome Dask workers that have come, and those whose host was lost and that are still
        there: after a link was mended, or an agent was killed."""
        assert self._events is not None
        while not self._closed.is_set():
            if self._client.status == "running":
                about = self._client.scheduler_info(n_workers=-1)["workers"]
                for address in self._seen.new(about):
                    self._start(self._welcome, f"onecopy-welcome-{address}", address)
            else:
                if self._client.status == "closed":
                    for host in list(self._all.values()):
                        self._part(host, "the Dask client was closed")
                if all(host.left.is_set() for host in self._all.values()):
                    self._events.over("the connection to the Dask scheduler was lost")
            self._due.wait(LOOK)
            self._due.clear()

    def _welcome(self, address: str) -> None:
        if self._closed.is_set():
            return
        try:
            new = self._look([address])
        except HostMismatch as error:
            warnings.warn(f"{address} is not used: {error}", stacklevel=1)
            return
        except (OSError, ValueError, CancelledError):
            self._seen.lost(address)  # it has gone again, or cannot be reached yet
            return
        for host in new:
            self._begin(host)

    def _begin(self, host: _Host) -> None:
        self._start(self._serve, f"onecopy-from-{host.info.name}", host)

    def _start(self, run: Callable[..., None], name: str, *arguments: Any) -> None:
        self._threads = [each for each in self._threads if each.is_alive()]
        thread = threading.Thread(target=run, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _leave(self, host: _Host) -> None:
        if self._events is not None and not self._closed.is_set() and not host.left.is_set():
            self._events.leaving(host.info.key)

    def _lose(self, host: _Host, why: str) -> None:
        with self._lock:
            if host.left.is_set():
                return
            host.left.set()
        self._seen.lost(host.machine)
        self._due.set()
        if self._events is not None and not self._closed.is_set():
            self._events.left(host.info.key, why)

    def _serve(self, host: _Host) -> None:
        """Start the agent of a host, and ask it for what it sends if there is no connection."""
        assert self._events is not None
        why = ""
        route: Route | None = None
        host.heard = partial(self._heard, host)
        _listen(self._client, host.address, host.heard)
        try:
            route = host.route = self._route(host)
            with self._lock:  # it has to come before it can leave
                if host.left.is_set():
                    return
                self._events.came(host.info)
            if isinstance(route, ByScheduler):
                while not host.left.is_set():
                    for message in route.take():
                        self._handle(host, message)
        except TimeoutError:
            why = "it does not answer"
        except (OSError, RuntimeError, ValueError, CancelledError) as error:
            why = str(error)
        finally:
            # Else it is connected, and ``_read`` hears of its end.
            if route is None or isinstance(route, ByScheduler) or host.left.is_set():
                self._part(host, why)
            if host.retired and isinstance(route, ByScheduler):
                self._retire(route)

    def _read(self) -> None:
        """Handle what comes from the hosts that are connected, until the carrier is closed."""
        while (got := self._inbox.get()) is not None:
            host, said = got
            if isinstance(said, str):
                self._part(host, said)
            else:
                self._handle(host, said)
                route = host.route
                if route is not None:
                    route.handled(said)
            del got, said  # a message is not kept while nothing comes

    def _handle(self, host: _Host, message: Packed) -> None:
        """Pass on a message of an agent."""
        if is_last(message):
            self._part(host, "its agent has ended")
        elif is_leaving(message):
            self._leave(host)
        elif self._events is not None and not host.left.is_set() and not self._closed.is_set():
            try:
                self._events.received(host.info.key, unpacked(message))
            except Exception as error:  # no memory for it, say
                self._part(host, f"what it has sent cannot be read: {error!r}")

    def _part(self, host: _Host, why: str) -> None:
        """End the connection to a host, and report that it has gone."""
        route, host.route = host.route, None
        if route is not None:
            route.end()
        if host.heard is not None:
            _listen_no_more(self._client, host.address, host.heard)
        self._lose(host, why)

    def _retire(self, route: ByScheduler) -> None:
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it has gone already
            route.retire(self._closed)

    def _route(self, host: _Host) -> Route:
        """Reach the host by the scheduler if there is no other way. Raises as ``Direct`` does."""
        try:
            return Direct(self._client, host.address, lambda said: self._inbox.put((host, said)))
        except OSError as error:
            if host.left.is_set() or self._closed.is_set():
                raise
            _logger.warning(
                "%s cannot be reached from here (%s): its messages go by the scheduler",
                host.address,
                error,
            )
            return ByScheduler(self._client, host.address)


Heard = Callable[[dict[str, Any]], None]
"""Called in the client's event loop with an event of one Dask worker."""

# A client calls one function for a topic: it passes events on to all pools of that client. A topic
# is a worker's address. That of all workers would also bring what Dask's ``replicate`` logs, which
# cannot be pickled: the scheduler closes the client's connection then (distributed 2026.8).
_listeners: weakref.WeakKeyDictionary[Any, dict[str, list[Heard]]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _listen(client: Any, address: str, heard: Heard) -> None:
    """Pass the scheduler's events about a Dask worker on."""
    with _lock:
        topics = _listeners.setdefault(client, {})
        listeners = topics.setdefault(address, [])
        listeners.append(heard)
        if len(listeners) > 1:
            return

    def said(event: Any) -> None:
        _, what = event
        if isinstance(what, dict):
            for each in list(listeners):
                each(what)

    client.subscribe_topic(address, said)


def _listen_no_more(client: Any, address: str, heard: Heard) -> None:
    with _lock:
        topics = _listeners.get(client, {})
        listeners = topics.get(address, [])
        if heard not in listeners:
            return
        listeners.remove(heard)
        if not listeners:
            del topics[address]
            if client.status == "running":
                client.unsubscribe_topic(address)


def _machine(address: str, said: Facts) -> str:
    """Return what is equal for Dask workers that can share memory."""
    return said.machine


def _warn_if_open(client: Any) -> None:
    """Warn of a scheduler on another machine to which anybody can connect."""
    address = client.scheduler.address
    protocol, _, place = address.partition("://")
    host = place.rpartition(":")[0]
    try:
        here = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        here = protocol == "inproc" or host == "localhost"
    if protocol in ("tcp", "ws", "ucx") and not here:
        warnings.warn(
            f"the scheduler at {address} is open: any program that reaches it can run code on its "
            "workers. Use TLS (distributed.Security), or a network that is closed",
            InsecureClusterWarning,
            stacklevel=4,
        )
