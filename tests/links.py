"""Two ends of a channel in one process, with no channel between them; and a host's beside them.

Descriptors go from one to the other by `os.dup`, bodies by reference. The receiver
makes segments of its own of what is announced, so it maps the memory a second time,
as another process would.
"""

from __future__ import annotations

import os
import pickle
from typing import Any

from onecopy._cluster.mirrors import Mirrors
from onecopy._cluster.shipping import Shipping
from onecopy._codec.codec import Payload, decode, encode, write_message
from onecopy._codec.link import Link
from onecopy._codec.parcel import Parcel, Wanted, pack, payload_of, taken, unpack
from onecopy._memory.arena import Arena
from onecopy._memory.segment import registry


class Ends:
    """An owner's end and a worker's.

    Attributes:
        owner, worker: the links.
        body: of the message that was sent last: what a socket would have carried.
    """

    def __init__(self) -> None:
        self.owner = Link(Arena(), keep=False)
        self.worker = Link(Arena(), keep=True)
        self.body = b""

    def send(self, obj: Any) -> Any:
        """`obj` as the worker gets it."""
        return self.carry(encode(obj))

    def send_back(self, obj: Any) -> Any:
        """`obj` as the owner gets it."""
        return self._carry(encode(obj), self.worker, self.owner)

    def carry(self, encoded: Payload) -> Any:
        """The value that the worker decodes from what the owner has encoded."""
        return self._carry(encoded, self.owner, self.worker)

    def _carry(self, encoded: Payload, here: Link, there: Link) -> Any:
        self.give_back()
        rich, self.body = write_message(encoded, here)
        announce(here, there)
        return decode(rich, memoryview(self.body), there)

    def give_back(self) -> None:
        """Blocks whose last view has died go back to their arenas."""
        for here, there in ((self.owner, self.worker), (self.worker, self.owner)):
            there.came_back([here.frees.popleft() for _ in range(len(here.frees))])

    def moved(self) -> int:
        """Bytes that messages so far have moved into arenas, and the last body's."""
        return self.owner.bytes_copied + self.worker.bytes_copied + len(self.body)


class Far:
    """A driver, and a host with one worker, that share no memory.

    Attributes:
        driver: the driver's link to the host.
        shipping: what the driver knows of the host.
        mirrors: the driver's segments on the host.
        near: the host's own channel to its worker.
    """

    def __init__(self) -> None:
        self.driver = Link(Arena(), keep=False)
        self.shipping = Shipping("ship")
        self.mirrors = Mirrors(lambda segment: None)
        self.near = Ends()

    def send(self, obj: Any) -> Any:
        """`obj` as the host's worker gets it."""
        return self.carry(encode(obj))

    def carry(self, encoded: Payload) -> Any:
        """Return what the host's worker makes of something that the driver has encoded."""
        parcel, wanted = pack(encoded)
        for each in wanted:
            self._ship(each)
        return self.near.carry(payload_of(across(parcel), self.mirrors.segment))

    def send_back(self, obj: Any) -> Any:
        """`obj`, which the host's worker returns, as the driver gets it."""
        near = self.near
        near.give_back()
        rich, body = write_message(encode(obj), near.worker)
        announce(near.worker, near.owner)
        parcel = taken(rich, memoryview(body), near.owner, self.mirrors.knows)
        return unpack(across(parcel), self.driver)

    def _ship(self, wanted: Wanted) -> None:
        segment = wanted[0]
        self.driver.reference(segment, 0)
        for items in self.shipping.items(wanted):
            for name, *values in items:
                if name == "segment":
                    registry.by_id.pop(segment.id, None)
                    self.mirrors.begin(*values)
                    registry.by_id[segment.id] = segment
                else:
                    self.mirrors.fill(*values)


def across(parcel: Parcel) -> Parcel:
    """The parcel as it is when it has come, with buffers of its own."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(parcel, 5, buffer_callback=buffers.append)
    received: Parcel = pickle.loads(data, buffers=[bytearray(each.raw()) for each in buffers])
    return received


def announce(here: Link, there: Link) -> int:
    """Makes what `here` has mentioned known to `there`; returns how many segments."""
    said, fds = here.take_new()
    for segment_id, *_ in said:
        registry.by_id.pop(segment_id, None)
    there.announced(said, [os.dup(fd) for fd in fds])
    return len(said)


def stream(obj: Any) -> int:
    """Bytes in the stream, which go through the pipe whatever the size of the data."""
    return encode(obj)._pickled.size


def copied(obj: Any) -> int:
    """Bytes of buffers that sending `obj` would copy."""
    plan = encode(obj).plan
    return plan.copied if plan is not None else 0
