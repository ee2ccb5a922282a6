"""A worker's configuration: one typed record, the first frame on its socket."""

from __future__ import annotations

from typing import NamedTuple

from .identity import Identity
from .preparation import Preparation


class WorkerConfig(NamedTuple):
    """See the module.

    Attributes:
        identity: the worker's identity.
        preparation: the environment to set up; None for a worker forked from a process that has it.
        claims: the size of the page of claims, in bytes.
        slot: the index of the worker's claim there.
        room: the offset of its page for results.
        threads: the number of native threads that it may use, or None to leave them alone.
        initializer: an initializer will be sent, or is inherited.
        executor: SystemExit in a task is that task's error.
        reseed: give its random number generators their own seeds.
        logs: send log records and warnings to the owner.
        prints: the destination of printed lines, see ``options.PRINTS``.
        profile: sample its stack while it runs tasks.
        authkey: the key of its owner's managers, or None.
    """

    identity: Identity
    preparation: Preparation | None
    claims: int
    slot: int
    room: int
    threads: int | None
    initializer: bool
    executor: bool
    reseed: bool
    logs: bool
    prints: str
    profile: bool
    authkey: bytes | None
