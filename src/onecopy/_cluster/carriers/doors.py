"""Plain streams to an agent where the cluster's own software offers none: by a port of the host.

The process that has started the agent listens at a *door*. The driver connects to it for the stream of
shared data (``bulk``), and processes of other hosts for those between agents (``peers``). Who connects
shows the door's key, 32 random bytes that the driver has got by the cluster's own messages: so a door is
as open as these are. The driver uses doors only where those are not ciphered.

::

    hello:  the key | number u64: 0 from the driver, else the host that is to be asked by this stream
    answer: 1
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import queue
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

_HELLO = struct.Struct("<32sQ")
_WELCOME = b"\1"
_DRIVER = 0
# Seconds to wait for a connection, for its hello, and for the answer.
REACH = 4.0
# Seconds until it listens again after an error.
_AGAIN = 0.1


class Address(NamedTuple):
    """The place of a door, and what opens it."""

    host: str
    port: int
    key: bytes


class Door:
    """See the module. It is open as long as its process lives.

    Args:
        host: the address at which it listens.
        peer: called, in the door's thread, with a stream of another host and that host's number.
        patience: seconds to wait for who has come to say who it is, and for the driver to come.
    """

    def __init__(
        self, host: str, peer: Callable[[socket.socket, int], None], patience: float = REACH
    ) -> None:
        self._patience = patience
        self._listening = socket.create_server((host, 0))
        self.address = Address(host, self._listening.getsockname()[1], secrets.token_bytes(32))
        self._peer = peer
        self._of_driver: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="onecopy-door", daemon=True)
        self._thread.start()

    def driver(self) -> socket.socket:
        """Return the driver's stream, which it says it has. Raises OSError if it has not."""
        try:
            return self._of_driver.get(timeout=self._patience)
        except queue.Empty:
            raise TimeoutError("the driver's stream has not come") from None

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError as error:
                if error.errno == errno.EINVAL:  # it was shut
                    return
                # Who had connected has gone; or no descriptor is left, and one may be soon.
                time.sleep(_AGAIN)
                continue
            try:
                sock.settimeout(self._patience)
                number = _greeted(sock, self.address.key)
            except (OSError, EOFError):
                sock.close()
                continue
            if number == _DRIVER:
                self._of_driver.put(sock)
            else:
                self._peer(sock, number)


def _greeted(sock: socket.socket, key: bytes) -> int:
    """Return the number that a process which has connected says. Raises OSError or EOFError for one
    without the key."""
    said = bytearray(_HELLO.size)
    # Not MSG_WAITALL: with a time limit the socket does not block, and the call returns what is there.
    view = memoryview(said)
    while view:
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    shown, number = _HELLO.unpack(said)
    if not hmac.compare_digest(shown, key):
        raise EOFError
    sock.sendall(_WELCOME)
    _plain(sock)
    return int(number)


def connect(door: Address, number: int = _DRIVER) -> socket.socket:
    """Return a stream through a door. Blocks, for some seconds at most.

    Args:
        door: the other host's.
        number: the number by which that knows this host; not given by the driver.

    Raises:
        OSError: it cannot be reached, or does not answer.
    """
    sock = socket.create_connection((door.host, door.port), REACH)
    try:
        sock.sendall(_HELLO.pack(door.key, number))
        if sock.recv(1) != _WELCOME:
            raise ConnectionError("the other end of the stream has closed it")
        _plain(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _plain(sock: socket.socket) -> None:
    """Make it a stream that blocks, and sends a question at once."""
    sock.settimeout(None)
    with contextlib.suppress(OSError):  # the other end has gone: the next call says so
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
