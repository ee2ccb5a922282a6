"""The actions in a child that is forked from this process, in one list.

A fork may happen in any thread, at any moment, while others hold our locks; only the forking thread
exists in the child. So each module with locks, sockets or threads registers its action:

===========================  ==================================================================
``_system.interrupts``       the thread that exists is the main one
``_memory.registry``         new lock; listeners, the parent's pools among them, are forgotten
``_codec.store``             the writable mapping of the common segment is the parent's: unmapped
``_objects.counter``, log    what was announced to the parent's processes is forgotten
``_engine.workers``          no fork happens while the worker's end of a socket is open here
``_engine.processes``        pools are the parent's: sockets closed, what waits fails
``_engine.threads``          pools are the parent's: there are no worker threads here
``_cluster.engine``          pools are the parent's: connections closed, what waits fails
``_engine.future``, results  new locks; what waits for a parent's result fails
``_engine.dropped``          nothing that waits is the child's
``executor``                 executors are the parent's
``_progress.display``        nothing is drawn; the streams are the child's own again
``_worker.main``             a child of a task never reads its worker's socket
===========================  ==================================================================

They run in the order of registration, which is that of the imports: from the memory up.
"""

from __future__ import annotations

import os
from collections.abc import Callable

_in_child: list[Callable[[], None]] = []


def in_child(act: Callable[[], None]) -> None:
    """Call ``act`` in each child forked from now on, after the actions registered before. It must
    not wait for a lock, nor raise: another thread may have been anywhere. So who closes a
    descriptor marks it as closed before, and not after."""
    if not _in_child and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_run)
    _in_child.append(act)


def _run() -> None:
    for act in _in_child:
        act()
