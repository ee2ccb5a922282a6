"""The process on a host that serves one driver's messages, with an engine of its own.

Started by a carrier with one end of a socket pair as descriptor 3. It ends when the driver's end is
closed, and the kernel ends its workers with it. It unpickles what belongs to onecopy, and nothing
of the user's: that is for workers.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from time import monotonic_ns
from typing import Any, TypeVar

from .._codec.codec import Encoded
from .._codec.homes import installed_folders
from .._codec.parcel import Parcel, encoded_of, payload_of
from .._engine.functions import Function
from .._observe.memory import memory
from .._protocol.log_settings import settings
from .._protocol.versions import Version
from .._system import death
from .._system.cpus import cpu_count
from .._system.memory import require
from .._system.title import set_title
from ..errors import NotEnoughMemory, OnecopyError
from .bulk import Bulk, taken_over
from .connection import Connection
from .given import Given, Named
from .host_engine import HostEngine
from .messages import LACKING, NO_ROOM, Order, Setup
from .mirrors import Mirrors
from .outbox import Outbox, caused, packed
from .peers import Peers

T = TypeVar("T", Function, Version)


class Agent:
    """See the module. One thread serves; the engine's own threads do the rest.

    Args:
        connection: to the driver.
        streams: what ``taken_over`` returns: the driver's stream of bytes of segments, and the way by
            which streams to other agents come; None: there are none.
    """

    def __init__(
        self, connection: Connection, streams: tuple[socket.socket, socket.socket] | None
    ) -> None:
        self._connection = connection
        self._bulk = Bulk(streams[0]) if streams is not None else None
        self._outbox = Outbox(connection, self._bulk, connection.shut)
        self._mirrors = Mirrors(lambda segment: self._outbox.put("lacks", "segment", segment))
        self._peers = Peers(streams[1], self._mirrors) if streams is not None else None
        self._engine: HostEngine | None = None
        self._setup: Setup | None = None
        # An error: there was no room for it.
        self._functions: dict[int, Function | Exception] = {}
        self._versions: dict[int, Version | Exception] = {}
        self._numbers: dict[tuple[str, tuple[str, ...]], int] = {}
        self._tuples: dict[tuple[int, ...], tuple[Version, ...]] = {(): ()}
        self._works: dict[int, Given] = {}
        self._closing = False

    def serve(self) -> None:
        """Serve until the driver has closed its end, or has asked for the end."""
        self._outbox.start()
        try:
            while not self._closing:
                for name, *values in self._connection.receive():
                    getattr(self, f"on_{name}")(*values)
        except EOFError:
            self.on_terminate()
        if self._engine is not None:
            self._engine.join()
        self._outbox.put("bye")
        self._outbox.close()
        if self._bulk is not None:
            self._bulk.close()
        if self._peers is not None:
            self._peers.close()

    # The pool: its start and its end.

    def on_begin(self, setup: Setup) -> None:
        """Take on the driver's environment, and start the engine, or wait for its initializer."""
        set_title(f"onecopy: agent of {setup.host}", "onecopy-agent")
        preparation = setup.preparation
        preload = preparation.preload
        if setup.local:
            os.environ.clear()
            os.environ.update(preparation.environment)
        else:
            # Another machine: its own environment and packages, and the driver's folders that are
            # here too (on a shared disk).
            more = [each for each in preparation.path if each and os.path.isdir(each)]
            path = tuple(dict.fromkeys((*sys.path, *more)))
            installed = installed_folders()
            preparation = preparation._replace(
                path=path, installed=installed, umask=None, passengers=b""
            )
        preparation._replace(preload=()).enter()
        settings.relay(setup.settings)
        options = setup.options._replace(preload=preload)
        if not setup.local and options.threads is not None:
            options = options._replace(threads=max(1, cpu_count() // options.workers))
        self._setup = replace(setup, options=options)
        if setup.initializer is None:
            self._start(None)

    def on_initializer(self, versions: tuple[int, ...], parcel: Parcel) -> None:
        """Start the engine with this initializer."""
        assert self._setup is not None
        name = self._setup.initializer or ""
        try:
            function = Function(0, Named(name), self._encoded(parcel))
            function.versions = self._known(versions)
        except (OSError, NotEnoughMemory) as error:
            self._outbox.put("broken", packed(error), None)
        else:
            self._start(function)

    def _start(self, initializer: Function | None) -> None:
        assert self._setup is not None
        options = self._setup.options
        if initializer is not None:
            options = options._replace(initializer=initializer.call)
        try:
            self._engine = HostEngine(options, initializer, self._outbox, self._mirrors)
        except (OSError, OnecopyError) as error:
            self._outbox.put("broken", packed(error), caused(error.__cause__))

    def on_close(self) -> None:
        """Let the workers end when all is done, then end."""
        self._closing = True
        if self._engine is not None:
            self._engine.close()

    def on_terminate(self) -> None:
        """End the workers now, then end."""
        self._closing = True
        if self._engine is not None:
            self._engine.terminate()

    def on_kill(self, number: int) -> None:
        """Kill the workers with a signal, then end."""
        self._closing = True
        if self._engine is not None:
            self._engine.kill(signal.Signals(number))

    # What work refers to.

    def on_ping(self, sent: int) -> None:
        """Say what time it is here."""
        self._outbox.put("pong", sent, monotonic_ns())

    def on_settings(self, body: bytes) -> None:
        """The driver's log settings have changed."""
        settings.relay(body)

    def on_segment(self, segment_id: int, size: int) -> None:
        """A segment comes, piece by piece."""
        self._mirrors.begin(segment_id, size)

    def on_piece(self, segment_id: int, offset: int, data: Any) -> None:
        """Bytes of a segment."""
        self._mirrors.fill(segment_id, offset, data)

    def on_bytes(self, segment_id: int, offset: int, size: int, asked: bool) -> None:
        """The same bytes, which come beside the messages; ``asked``: say that they are here."""
        assert self._bulk is not None
        self._mirrors.receive(segment_id, offset, size, self._bulk)
        if asked and not self._mirrors.lost(segment_id):
            self._outbox.put("has", segment_id, offset, size)

    def on_fetch(self, segment_id: int, offset: int, size: int, source: int) -> None:
        """Get the same bytes from another host: say if they are here, or have not come, or if there
        is no room for them."""
        assert self._peers is not None
        why = ""
        try:
            if not self._mirrors.lost(segment_id):
                self._peers.fetch(source, segment_id, offset, size)
        except EOFError:
            why = LACKING
        if self._mirrors.lost(segment_id):
            why = NO_ROOM
        self._outbox.put("fetched", segment_id, why)

    def on_file(self, segment_id: int, *how: Any) -> None:
        """A file that this host may see too: say why not."""
        self._outbox.put("mapped", segment_id, self._mirrors.map_file(segment_id, *how))

    def on_decode(self, segment_id: int, *how: Any) -> None:
        """Files that this host may decode itself: say why not, when that is known. In a thread of its
        own: this one always reads."""

        def decode() -> None:
            self._outbox.put("mapped", segment_id, self._mirrors.decode(segment_id, *how))

        threading.Thread(target=decode, name="onecopy-decode", daemon=True).start()

    def on_forget(self, segment_id: int) -> None:
        """The driver has no view of a segment any more."""
        self._outbox.put(*self._mirrors.forget(segment_id))

    def on_function(self, number: int, name: str, parcel: Parcel) -> None:
        """A function that workers keep."""
        try:
            self._functions[number] = Function(number, Named(name), self._encoded(parcel))
        except (OSError, NotEnoughMemory) as error:
            self._functions[number] = error.with_traceback(None)
            self._outbox.put("lacks", "function", number)

    def on_forget_function(self, number: int) -> None:
        """No more work with this function comes."""
        self._functions.pop(number, None)
        if self._engine is not None:
            self._engine.core.forget_function(number).carry_out()

    def on_version(self, version: tuple[Any, ...], parcel: Parcel | None, later: bool) -> None:
        """A variable's value, in place of an earlier one."""
        home, path, number, digest, reason = version
        try:
            encoded = None if parcel is None else self._encoded(parcel)
            made = self._versions[number] = Version(home, path, number, encoded, digest, reason)
            made.later = later
        except (OSError, NotEnoughMemory) as error:
            self._versions[number] = error.with_traceback(None)
            self._outbox.put("lacks", "version", number)
        before = self._numbers.get((home, path))
        self._numbers[home, path] = number
        if before is not None and before != number:
            self._versions.pop(before, None)
            self._tuples = {(): ()}

    def _encoded(self, parcel: Parcel) -> Encoded:
        return encoded_of(parcel, self._mirrors.segment)

    def _known(self, numbers: tuple[int, ...]) -> tuple[Version, ...]:
        known = self._tuples.get(numbers)
        if known is None:
            known = self._tuples[numbers] = tuple(_there(self._versions[each]) for each in numbers)
        return known

    # Work.

    def on_room(self, number: int, size: int) -> None:
        """Answer if there is room for what is to come for some work, or refuse the work."""
        refusal = b""
        try:
            require(size)
        except NotEnoughMemory as error:
            refusal = packed(error)
            self._outbox.put("failed", number, 0, refusal)
        self._outbox.put("room", number, refusal)

    def on_give(self, orders: list[Order]) -> None:
        """Give work to the engine."""
        for order in orders:
            try:
                payload = payload_of(order.parcel, self._mirrors.segment)
                function = _there(self._functions[order.function]) if order.function else None
                versions = self._known(order.versions)
                work = Given(order, payload, function, versions, self._told)
                self._works[order.id] = work
                assert self._engine is not None
                self._engine.give(work)
            except Exception as error:  # no room for its data, or the engine has ended
                self._works.pop(order.id, None)
                self._outbox.put("failed", order.id, 0, packed(error))

    def _told(self, work: Given, error: BaseException | None) -> None:
        self._works.pop(work.order.id, None)
        if error is not None:
            self._outbox.put("failed", work.order.id, work.worker, packed(error))

    def on_withdraw(self, numbers: list[int]) -> None:
        """Take back what no worker has been given, and the rest of chunks that run."""
        engine = self._engine
        works = [self._works[number] for number in numbers if number in self._works]
        if engine is None:
            return
        back = engine.withdraw(works)
        for work in back:
            self._works.pop(work.order.id, None)
        self._outbox.put("withdrawn", [work.order.id for work in back])
        for work in works:
            if work.order.cuttable and work not in back:
                engine.cut(work)

    def on_abort(self, number: int) -> None:
        """Kill what runs this, or take it back if nothing does."""
        work = self._works.get(number)
        if work is None or self._engine is None:
            return
        if self._engine.withdraw([work]):
            self._works.pop(number, None)
            self._outbox.put("withdrawn", [number])
        else:
            self._engine.abort(work)

    # What is seen of it.

    def on_look(self, number: int) -> None:
        """Read the memory of all processes now, for a report."""
        self._answer(number, self._read)

    def on_present(self, number: int) -> None:
        """Answer with what each worker runs, for ``onecopy top``."""
        self._answer(number, lambda: self._engine.present() if self._engine is not None else [])

    def on_weigh(self, number: int) -> None:
        """Answer with the memory of all processes."""
        self._answer(number, memory)

    def _read(self) -> None:
        watch = self._engine.history.watch if self._engine is not None else None
        if watch is not None:
            watch.sample()  # which is told before the answer

    def _answer(self, number: int, find: Callable[[], Any]) -> None:
        """Answer in a thread of its own: reading takes 20 ms per GB, and this one serves."""

        def answer() -> None:
            self._outbox.put("answer", number, find())

        threading.Thread(target=answer, name="onecopy-answer", daemon=True).start()

    def on_hush(self, worker: int, hushed: bool) -> None:
        """Read less, or again, from a worker that prints too much."""
        if self._engine is not None:
            self._engine.hush(worker, hushed=hushed)


def _there(kept: T | Exception) -> T:
    """Return a function or a version. Raises the error if there was no room for it."""
    if isinstance(kept, Exception):
        raise kept.with_traceback(None)
    return kept


def main(parent: str) -> None:
    """Serve on descriptor 3; never returns.

    Args:
        parent: the pid of the process that has started it; the agent ends with it.
    """
    death.die_with(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    sock = socket.socket(fileno=3)
    sock.set_inheritable(False)
    code = 1
    try:
        Agent(Connection(sock), taken_over(sock)).serve()
        code = 0
    except BaseException:  # a bug: the driver sees that this host is lost
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
