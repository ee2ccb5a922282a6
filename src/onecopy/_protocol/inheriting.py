"""Objects that only a starting child may receive: locks, events, queues and pipes of
``multiprocessing``, and the key of its managers.

Such objects refuse to be pickled unless a process is being started: they ask the object that starts
it (``multiprocessing.context.get_spawning_popen``) to pass their descriptors on. The standard
library's pools pass an initializer and its arguments at that time. Here these are sent in a
message, with the descriptors as segments of size 0. A forked worker has inherited all of it, and
needs none of this.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .._codec.codec import Encoded, encode
from .._codec.pickling import NO_REDUCERS, Namespace
from .._memory.segment import Kind, ReceivedFile, Segment, registry


class Descriptor:
    """A descriptor in a message to a worker; there, ``detach`` returns a duplicate."""

    def __init__(self, segment_id: int) -> None:
        self.segment_id = segment_id

    def detach(self) -> int:
        """Return a descriptor; ``multiprocessing.reduction`` calls this in the worker."""
        return os.dup(registry.by_id[self.segment_id].descriptor())


class _Starter:
    """A replacement for the ``Popen`` of a child that is being started."""

    DupFd = Descriptor

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def duplicate_for_child(self, fd: int) -> int:
        """Return the id of a segment that holds a duplicate of ``fd``."""
        segment = Segment(ReceivedFile(os.dup(fd), "descriptor"), Kind.OPEN, 0)
        self.segments.append(segment)
        return segment.id


def encode_initial(initial: Any, namespace: Namespace) -> Encoded:
    """Encode like ``codec.encode``, including objects that only a starting process may receive.

    Raises NotPicklable.
    """
    if "multiprocessing.context" not in sys.modules:
        return encode(initial, namespace, "initializer")
    from multiprocessing import context

    # It is loaded wherever an object needs it.
    reduction = sys.modules.get("multiprocessing.reduction")
    reducers = getattr(getattr(reduction, "ForkingPickler", None), "_extra_reducers", NO_REDUCERS)
    starter, before = _Starter(), context.get_spawning_popen()
    passes_on: Any = starter
    context.set_spawning_popen(passes_on)
    try:
        encoded = encode(initial, namespace, "initializer", reducers=reducers)
    finally:
        context.set_spawning_popen(before)
    encoded.carried = starter.segments
    return encoded


def authkey() -> bytes | None:
    """Return the key of this process's managers; None if it has none yet."""
    if "multiprocessing.managers" not in sys.modules:
        return None
    from multiprocessing import current_process

    return bytes(current_process().authkey)


def take_authkey(key: bytes | None) -> None:
    """Set the key in a worker, so that the owner's managers accept it."""
    if key is not None:
        from multiprocessing import current_process

        current_process().authkey = key
