"""What only a child may get, and only when it is started: locks, events, queues and pipes of
``multiprocessing``, and the key of its managers.

Such objects refuse to be pickled unless a process is being started: they ask the object that
starts it (``multiprocessing.context.get_spawning_popen``) to pass their descriptors on. A pool's
initializer and its arguments are what the standard library's pools pass at that time; here they
travel in a message, with the descriptors as segments of no size. A forked worker has inherited
all of it, and needs nothing of this.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .._codec.codec import Encoded, encode
from .._codec.pickling import NO_REDUCERS, Namespace
from .._memory.segment import Kind, ReceivedFile, Segment, registry


class Descriptor:
    """A descriptor on its way to a worker; there, ``detach`` gives one of its own."""

    def __init__(self, segment_id: int) -> None:
        self.segment_id = segment_id

    def detach(self) -> int:
        """What ``multiprocessing.reduction`` calls in the worker."""
        return os.dup(registry.by_id[self.segment_id].descriptor())


class _Starter:
    """Stands for the ``Popen`` of a child that is being started."""

    DupFd = Descriptor

    def __init__(self) -> None:
        self.segments: list[Segment] = []

    def duplicate_for_child(self, fd: int) -> int:
        """A segment that stands for a copy of ``fd``; its id."""
        segment = Segment(ReceivedFile(os.dup(fd), "descriptor"), Kind.OPEN, 0)
        self.segments.append(segment)
        return segment.id


def encode_initial(initial: Any, namespace: Namespace) -> Encoded:
    """As ``codec.encode``, also for what may be passed to a starting process alone.

    Raises NotPicklable.
    """
    if "multiprocessing.context" not in sys.modules:
        return encode(initial, namespace, "initializer")
    from multiprocessing import context

    # Loaded wherever there is something that needs it.
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
    """The key with which this process's managers are spoken to; None when it has none yet."""
    if "multiprocessing.managers" not in sys.modules:
        return None
    from multiprocessing import current_process

    return bytes(current_process().authkey)


def take_authkey(key: bytes | None) -> None:
    """In a worker: managers of the owner let it in."""
    if key is not None:
        from multiprocessing import current_process

        current_process().authkey = key
